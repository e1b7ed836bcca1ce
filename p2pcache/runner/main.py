"""The composite Action: ``start`` in its step, ``finish`` in its post; an error is the last line on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import msgspec
from actions_toolkit import core  # type: ignore[import-untyped]  # it ships no types

from p2pcache.gateway.ask import NodeError
from p2pcache.runner import inputs, intercepted_job, lifecycle, supervisor
from p2pcache.runner.diagnosis import show
from p2pcache.runner.inputs import InputError, Inputs
from p2pcache.runner.intercepted_job import Interception
from p2pcache.runner.job import Job, exported, write_gh_config
from p2pcache.runner.supervisor import SupervisorError
from p2pcache.settings import SettingsError, environment

FAILURES = (InputError, SettingsError, SupervisorError, NodeError, OSError)
"""Errors that end a step with one sentence."""


def start(environ: Mapping[str, str]) -> None:
    """Start the job's node and set the outputs and variables for later steps.

    Raises:
        InputError, SettingsError, SupervisorError: with one sentence for the step's warning.
    """
    job = Job.from_env(environ)
    if supervisor.ready(job.run) and (record := job.recall()):
        repeat_outputs(record)
        return
    given = inputs.read(environ)
    job.directory.mkdir(parents=True, exist_ok=True)
    if given.gh:
        write_gh_config(job, str(job.socket), given.variables)
    if names := intercepted_job.remove_stale():
        core.info(f"p2pcache: {', '.join(names)} led to a cache that is gone: taken out of the hosts file")
    record = lifecycle.begin(job, given)
    if given.intercept:
        _intercept(job, given, record)
    lifecycle.diagnose(job, given, record)
    # For the post step. A second use has none, so that the first one's report covers the whole job.
    environment = json.dumps(
        {
            "python": sys.executable,
            "path": environ.get("PYTHONPATH", ""),
            "socket": str(job.socket),
            "actions": inputs.ACTIONS in given.settings.backends,
        }
    )
    publish(record, {"environment": environment}, gh=str(job.gh))


def finish(environ: Mapping[str, str]) -> None:
    """Report and stop.

    Raises:
        NodeError: the node does not answer, and the job is strict.
    """
    job = Job.from_env(environ)
    if record := job.recall():
        if "variables" in record:
            ended = intercepted_job.end(_place(job, record["upstream"], environ))
            record["intercepted"] = msgspec.to_builtins(ended)
        try:
            lifecycle.report(job, record, environ)
        finally:
            supervisor.stop(job.run)


def _intercept(job: Job, given: Inputs, record: dict[str, Any]) -> None:
    """Have clients served under GitHub's own name, and add to the record what later steps and the end need of it."""
    found = intercepted_job.begin(_place(job, given.settings.upstream, given.variables))
    record["outputs"] |= found.outputs
    record |= {"variables": dict(found.variables), "upstream": given.settings.upstream}
    if found.notice:
        (core.warning if found.warning else core.notice)(f"p2pcache: {found.notice}")
    job.remember(record)


def _place(job: Job, upstream: str, environ: Mapping[str, str]) -> Interception:
    return Interception(job.interceptor, job.socket, upstream, environ)


def repeat_outputs(record: Mapping[str, Any]) -> None:
    """Set the first use's outputs for a second use in the same job, and change nothing else."""
    core.notice("p2pcache runs in this job already: this second use changes nothing.")
    for name, value in record["outputs"].items():
        core.set_output(name, value)


def publish(record: Mapping[str, Any], more: Mapping[str, str], gh: str) -> None:
    """Set the outputs and variables of docs/interface.md#the-action.

    Args:
        record: the state of the job, see `lifecycle.begin`.
        more: further outputs.
        gh: the folder of gh's configuration.
    """
    outputs = record["outputs"]
    for name, value in {**outputs, **more}.items():
        core.set_output(name, value)
    variables = {
        **exported(outputs),
        "CACHE_ENABLE_P2P": "true" if record["p2p"] else "false",
        "CACHE_LISTEN_PORT": str(record["p2p-port"]),  # the bound one, which may differ from the configured one
        **record.get("variables", {}),
    }
    if record["gh"]:
        variables["GH_CONFIG_DIR"] = gh
    for name, value in variables.items():
        if value:
            core.export_variable(name, value)
    for note in record["notes"]:
        core.info(note)
    for warning in record["warnings"]:
        core.warning(f"p2pcache: {warning}")
    if diagnosis := record.get("diagnosis"):
        show(diagnosis)
    core.info(f"p2pcache answers at {outputs['api-url']} and on {outputs['socket']}")


def main(arguments: list[str], environ: Mapping[str, str]) -> int:
    """Run ``start`` or ``finish`` and return the exit status."""
    try:
        {"start": start, "finish": finish}[arguments[0]](environ)
    except FAILURES as error:
        print(inputs.with_input_names(str(error), environ), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], environment()))

"""The composite Action: ``start`` in its step, ``finish`` at the job's end; stderr ends with what went wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from actions_toolkit import core  # type: ignore[import-untyped]  # it ships no types

from p2pcache.gateway.ask import NodeError
from p2pcache.runner import inputs, lifecycle, supervisor
from p2pcache.runner.inputs import InputError
from p2pcache.runner.job import Job, exported, write_gh_config
from p2pcache.runner.supervisor import SupervisorError
from p2pcache.settings import SettingsError, environment

FAILURES = (InputError, SettingsError, SupervisorError, NodeError, OSError)
"""What ends a step with one sentence."""


def start(environ: Mapping[str, str]) -> None:
    """Start the job's node and tell later steps how to use it.

    Raises:
        InputError, SettingsError, SupervisorError: one sentence each, for the step's warning.
    """
    job = Job.from_env(environ)
    if supervisor.ready(job.run) and (record := job.recall()):
        say_second_use(record)
        return
    given = inputs.read(environ)
    job.directory.mkdir(parents=True, exist_ok=True)
    if given.gh:
        write_gh_config(job, str(job.socket), given.variables)
    record = lifecycle.begin(job, given)
    # For the post step: a second use has none, so that the first use's report comes when the whole job has run.
    environment = json.dumps({"python": sys.executable, "path": environ.get("PYTHONPATH", "")})
    publish(record, {"environment": environment}, gh=str(job.gh))


def finish(environ: Mapping[str, str]) -> None:
    """Report and stop. Nothing here fails a job that is not strict.

    Raises:
        NodeError: strict, and the node could not be asked for its statistics.
    """
    job = Job.from_env(environ)
    if record := job.recall():
        try:
            lifecycle.report(job, record, environ)
        finally:
            supervisor.stop(job.run)


def say_second_use(record: Mapping[str, Any]) -> None:
    """Leave everything as it is, and give this use the first one's outputs."""
    core.notice("p2pcache runs in this job already: this second use changes nothing.")
    for name, value in record["outputs"].items():
        core.set_output(name, value)


def publish(record: Mapping[str, Any], more: Mapping[str, str], gh: str) -> None:
    """Set the outputs and variables of docs/interface.md#the-action; `gh`: the folder of its configuration."""
    outputs = record["outputs"]
    for name, value in {**outputs, **more}.items():
        core.set_output(name, value)
    variables = {
        **exported(outputs),
        "CACHE_ENABLE_P2P": "true" if record["p2p"] else "false",
        "CACHE_LISTEN_PORT": str(record["p2p-port"]),  # the one that is listened on, whatever was wished for
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
    core.info(f"p2pcache answers at {outputs['api-url']} and on {outputs['socket']}")


def main(arguments: list[str], environ: Mapping[str, str]) -> int:
    """``start`` or ``finish``; the exit status."""
    try:
        {"start": start, "finish": finish}[arguments[0]](environ)
    except FAILURES as error:
        print(inputs.in_words_of_inputs(str(error), environ), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], environment()))

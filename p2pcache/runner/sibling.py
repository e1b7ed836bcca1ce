"""The Docker Action: its container lives for one step, so the node runs in a sibling started through the engine.

``start`` and ``finish`` run in the Action's own containers, ``run`` is the sibling's main process. They share the
runner's temporary folder, through which also host steps, job-container steps and other Docker Actions reach the node.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from actions_toolkit import core  # type: ignore[import-untyped]  # it ships no types

from p2pcache.declarations import SETTING
from p2pcache.runner import direct, docker, evidence, inputs, lifecycle, supervisor, watch
from p2pcache.runner.docker import DockerEngine, EngineError
from p2pcache.runner.job import Job, write_gh_config
from p2pcache.runner.main import FAILURES, publish, repeat_outputs
from p2pcache.runner.network import Mode
from p2pcache.settings import environment, hide

START_SECONDS = 60.0
STOP_SECONDS = 18
LOOK_SECONDS = 0.1
ACT = "ACT"
"""Set by act, which differs from a runner."""
ID_TOKEN = ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN")
"""By which a job without a secret proves itself to a hub that admits by OIDC."""
KEPT = ("INPUT_", "CACHE_", "GITHUB_", "MCP_", "AWS_")
"""Prefixes of the variables that the sibling gets, beside `CREDENTIALS`; none of the runner's other ones has one."""
DROPPED = ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STATE", "GITHUB_STEP_SUMMARY")
CREDENTIALS = ("ACTIONS_RESULTS_URL", "ACTIONS_RUNTIME_TOKEN")
"""The runner's own, for the Actions cache: they go to the node's memory, where that is used, and nowhere else."""
NETWORKS = {Mode.HOST: "host", Mode.BRIDGE: "bridge", Mode.NONE: "none"}
ALONE = (
    "there is no Docker engine to be asked here (no /var/run/docker.sock): "
    "use p2pcache's composite Action in a job that has Python"
)


class SiblingError(RuntimeError):
    """The sibling cannot run; the message is one sentence."""


def start(environ: Mapping[str, str], seconds: float = START_SECONDS) -> None:
    """Start the sibling and set the outputs and variables for later steps.

    Raises:
        SiblingError, EngineError: with one sentence.
    """
    engine = DockerEngine()
    own = _own_container(engine)
    shared, host_shared = _shared_folder(own, environ)
    job = Job(shared / "p2pcache")
    record = job.recall()
    if "outputs" in record and _running(engine, record.get("container", "")):
        repeat_outputs(record)
        return
    job_container = environ.get("INPUT_JOB-CONTAINER") or _shared_network(own)
    job.directory.mkdir(parents=True, exist_ok=True)
    _chown_to_runner(job.directory)
    (job.directory / "job.json").unlink(missing_ok=True)
    name = "p2pcache-" + hashlib.sha256(host_shared.encode()).hexdigest()[:12]
    _remove(engine, name)
    container = engine.create(name, _settings(own, shared, host_shared, _network(environ, job_container)))
    try:
        engine.start(container, json.dumps(_passed_variables(environ)).encode())
        record = _await_record(engine, container, job, seconds)
    except (SiblingError, EngineError):
        _remove(engine, container)
        raise
    # The path at which the job's steps see `shared`.
    mounts = engine.inspect(job_container)["Mounts"] if job_container else []
    shown = Job(Path(_in_container(mounts, host_shared)) / "p2pcache")
    record["outputs"].update({"socket": str(shown.socket), "stats-file": str(shown.stats)})
    record["container"] = container
    if record["gh"]:
        write_gh_config(job, str(shown.socket), {})
        _chown_to_runner(job.gh)
    job.remember(record)
    core.info(record["facts"]["Network"])
    core.info(record["sentence"])
    publish(record, {}, gh=str(shown.gh))


def finish(environ: Mapping[str, str]) -> None:
    """Report, and remove the sibling.

    Raises:
        NodeError: the node does not answer, and the job is strict.
        EngineError: the sibling cannot be removed.
    """
    if not docker.SOCKET.exists():
        return
    engine = DockerEngine()
    job = Job(_shared_folder(_own_container(engine), environ)[0] / "p2pcache")
    record = job.recall()
    if container := record.get("container"):
        try:
            lifecycle.report(job, record, environ)
        finally:
            if _running(engine, container):
                engine.stop(container, STOP_SECONDS)
            _remove(engine, container)
            job.remember({})


def run(environ: Mapping[str, str]) -> None:
    """Run a node until SIGTERM or SIGINT: the sibling's main process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    watch.conceal()
    job = Job.from_env(environ)
    try:
        passed = _passed_on_stdin()
        credentials = [passed.pop(name, "") for name in CREDENTIALS]
        hide(passed)
        given = inputs.read(environment())
        record = lifecycle.begin(job, given)
        if inputs.ACTIONS in given.settings.backends:
            lifecycle.authorize(job, *credentials)
        lifecycle.diagnose(job, given, record)
    except (*FAILURES, SiblingError) as error:
        job.remember({"error": str(error)})
        raise
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    supervisor.stop(job.run)


def _passed_variables(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in environ.items() if k.startswith(KEPT) and k not in DROPPED and v}
    if _uses_actions_cache(environ):
        kept |= {name: environ[name] for name in CREDENTIALS if environ.get(name)}
    if not (environ.get("INPUT_SECRET") or environ.get("CACHE_SECRET")):
        kept |= {name: environ[name] for name in ID_TOKEN if environ.get(name)}
    return kept | ({ACT: environ[ACT]} if ACT in environ else {})


def _uses_actions_cache(environ: Mapping[str, str]) -> bool:
    """Return whether the sibling's node may need `CREDENTIALS`; without a need nobody else gets them."""
    chosen = (environ.get(name, "") for name in ("INPUT_BACKENDS", *SETTING["backends"].variables))
    asked = environ.get("INPUT_PERSIST", "").strip().lower() == "true" or inputs.ACTIONS in ",".join(chosen).lower()
    return asked and inputs.has_cache_service(environ)


def _passed_on_stdin() -> dict[str, str]:
    """Return the variables that `start` writes to this container's standard input.

    Raises:
        SiblingError: the input is not a JSON object.
    """
    try:
        return {str(name): str(value) for name, value in json.loads(sys.stdin.buffer.read()).items()}
    except (ValueError, AttributeError):
        raise SiblingError("the container was started without what the step knows") from None


def _own_container(engine: DockerEngine) -> dict[str, Any]:
    seen = evidence.collect()
    # With a shared network (act) /etc belongs to the sharing container; the cgroup is this container's own.
    me = seen.cgroup_id or seen.mount_id
    if not me or not docker.SOCKET.exists():
        raise SiblingError(ALONE)
    return engine.inspect(me)


def _shared_folder(own: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[Path, str]:
    """Return a folder that the job shares, here and on the host: RUNNER_TEMP, or under act that of GITHUB_OUTPUT."""
    files = Path(environ.get("GITHUB_OUTPUT", "/nonexistent/file")).parent
    for folder in (Path(environ.get("RUNNER_TEMP", "/nonexistent")), files):
        if on_host := _on_host(own["Mounts"], str(folder)):
            return folder, on_host
    raise SiblingError("no folder here is shared with the host, so no later step could reach the node")


def _shared_network(own: Mapping[str, Any]) -> str:
    """Return the container whose network this one shares: under act, the job's."""
    kind, _, container = str(own["HostConfig"]["NetworkMode"]).partition(":")
    return container if kind == "container" else ""


def _settings(own: Mapping[str, Any], shared: Path, host_shared: str, network: str) -> dict[str, Any]:
    owner = shared.stat()
    return {
        "Image": own["Image"],
        "Entrypoint": [sys.executable, "-I", "-m", "p2pcache.runner.sibling"],
        "Cmd": ["run"],
        # Any user of the engine can read these while the container exists: everything else goes to its stdin.
        "Env": [f"RUNNER_TEMP={shared}", f"HOME={shared}"],
        "OpenStdin": True,
        "StdinOnce": True,
        # The runner empties its temporary folder as its own user, and prunes containers with its label.
        "User": f"{owner.st_uid}:{owner.st_gid}",
        "Labels": own["Config"].get("Labels") or {},
        "WorkingDir": "/",
        "HostConfig": {"Binds": [f"{host_shared}:{shared}"], "NetworkMode": network, "Init": True},
    }


def _network(environ: Mapping[str, str], job_container: str) -> str:
    """Return the network whose loopback the job's steps share, unless the user configured another."""
    wanted = environ.get("INPUT_MODE", "auto").strip().lower()
    if wanted in NETWORKS:
        return NETWORKS[Mode(wanted)]
    if wanted == Mode.CUSTOM and (name := environ.get("INPUT_JOB-NETWORK")):
        return name
    return f"container:{job_container}" if job_container else "host"


def _chown_to_runner(folder: Path) -> None:
    owner = folder.parent.stat()
    os.chown(folder, owner.st_uid, owner.st_gid)


def _on_host(mounts: list[Mapping[str, Any]], path: str) -> str:
    """Return the path on the host of a container's `path`, or "" if it is not on a mount."""
    for mount in sorted(mounts, key=lambda m: len(m["Destination"]), reverse=True):
        if PurePosixPath(path).is_relative_to(mount["Destination"]):
            return str(PurePosixPath(mount["Source"]) / PurePosixPath(path).relative_to(mount["Destination"]))
    return ""


def _in_container(mounts: list[Mapping[str, Any]], path: str) -> str:
    """Return the path in a container of the host's `path`; itself without mounts, on the host."""
    for mount in sorted(mounts, key=lambda m: len(m["Source"]), reverse=True):
        if PurePosixPath(path).is_relative_to(mount["Source"]):
            return str(PurePosixPath(mount["Destination"]) / PurePosixPath(path).relative_to(mount["Source"]))
    return path


def _await_record(engine: DockerEngine, container: str, job: Job, seconds: float) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        record = job.recall()
        if "error" in record:
            raise SiblingError(str(record["error"]))
        if "outputs" in record and not record.get("diagnosing"):
            return record
        if not _running(engine, container):
            words = engine.last_line(container) or "it said nothing"
            raise SiblingError(f"the sibling container ended before its node was ready: {words}")
        time.sleep(LOOK_SECONDS)
    if "outputs" in (record := job.recall()):
        return record  # without the diagnosis, which takes too long
    raise SiblingError(f"the sibling container's node was not ready after {seconds:g} s")


def _running(engine: DockerEngine, container: str) -> bool:
    try:
        return bool(container) and bool(engine.inspect(container)["State"]["Running"])
    except EngineError:
        return False


def _remove(engine: DockerEngine, container: str) -> None:
    try:
        engine.remove(container)
    except EngineError as error:
        if "No such container" not in str(error) and "already in progress" not in str(error):
            raise


def main(arguments: list[str], environ: Mapping[str, str]) -> int:
    """Run ``start``, ``finish`` or ``run`` and return the exit status."""
    try:
        {"start": start, "finish": finish, "run": run}[arguments[0]](environ)
    except (*FAILURES, SiblingError, EngineError) as error:
        return _fail(inputs.with_input_names(str(error), environ), arguments[0], environ)
    return 0


def _fail(reason: str, command: str, environ: Mapping[str, str]) -> int:
    if command == "run":
        print(reason, file=sys.stderr)
        return 1
    strict = direct.strict(environ)
    (core.error if strict else core.warning)(
        f"p2pcache: {reason}. " + ("" if strict else "The job goes on without it.")
    )
    if command == "start" and Path(environ.get("GITHUB_OUTPUT", "")).is_file():
        direct.bypass(environ)
    return int(strict)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], environment()))

"""Start and stop a supervised node in the background: what ``p2pcache up``, ``down`` and the Action call."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from p2pcache import values
from p2pcache.gateway import listen as bind
from p2pcache.gateway.listen import ListenError
from p2pcache.runner import watch
from p2pcache.settings import environment

LOOK_SECONDS = 0.02
STOP_SECONDS = watch.GRACE_SECONDS + 2.0


class SupervisorError(RuntimeError):
    """A node could not be started or stopped; the message names the reason and what to do."""


class RunningError(SupervisorError):
    """A node runs in that directory already."""


class DirectoryError(SupervisorError):
    """The directory cannot hold what a node needs; the message names the reason."""


def start(
    argv: Sequence[str],
    directory: Path,
    deadline: float,
    *,
    command: Sequence[str] = (sys.executable, "-m", "p2pcache", "serve"),
    environ: Mapping[str, str] | None = None,
    remove_at_end: Sequence[Path] = (),
) -> dict[str, Any]:
    """Start a node that outlives this process and is restarted when it dies.

    Args:
        argv: the flags of ``p2pcache serve``; ``--listen`` (default 127.0.0.1:0) and ``--socket`` (default
            ``DIRECTORY/node.sock``) are bound here and handed over as descriptors.
        directory: where pid, log and ready file are kept; made when absent.
        deadline: seconds until the gateway has to answer.
        command: what is started, before its flags.
        environ: the node's environment, this process's by default.
        remove_at_end: files that would lead clients to a node that is gone for good, e.g. gh's configuration.

    Returns:
        The ready file (docs/interface.md#the-ready-file).

    Raises:
        RunningError: a node runs there already.
        DirectoryError: the directory cannot be used.
        SupervisorError: an address is taken, or the node did not become ready.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        directory = directory.resolve()
        with _alone(directory, deadline):
            if status(directory) is not None:
                raise RunningError(f"a node is already running in {directory}: stop it with `p2pcache down` first")
            return _start(list(argv), directory, deadline, command, environ, remove_at_end)
    except OSError as error:
        raise DirectoryError(f"{directory}: {error.strerror}") from None


def _start(
    argv: list[str],
    directory: Path,
    deadline: float,
    command: Sequence[str],
    environ: Mapping[str, str] | None,
    remove_at_end: Sequence[Path],
) -> dict[str, Any]:
    argv, listen = _take(argv, "--listen", "127.0.0.1:0")
    argv, path = _take(argv, "--socket", str(directory / "node.sock"))
    argv, named = _take(argv, "--ready-file", "")
    ready = directory / "ready.json"
    ready.unlink(missing_ok=True)
    if named:
        _lead(ready, Path(named))
        remove_at_end = (*remove_at_end, Path(named).absolute())
    with contextlib.ExitStack() as listeners:
        try:
            where = values.listen(listen)
            tcp = listeners.enter_context(bind.tcp(where.host, where.port))
            unix = listeners.enter_context(bind.unix(Path(path)))
        except ListenError as error:
            raise SupervisorError(str(error)) from None
        except ValueError:
            raise SupervisorError(f"--listen: read {listen!r}: expected HOST:PORT, e.g. 127.0.0.1:0") from None
        flags = ["--listen", f"fd:{tcp.fileno()}", "--socket", path, "--socket-fd", str(unix.fileno())]
        flags += ["--ready-file", named or str(ready), *argv]
        process = _supervised([*command, *flags], directory, (tcp, unix), environ, [path, *map(str, remove_at_end)])
    return _await_ready(process, ready, directory, deadline)


def start_beside(
    command: Sequence[str],
    directory: Path,
    deadline: float,
    *,
    listeners: Sequence[socket.socket],
    environ: Mapping[str, str],
    at_end: Sequence[str],
) -> dict[str, Any]:
    """Start another process that outlives this one and is restarted when it dies, as `start` does with a node.

    Args:
        command: which writes ``DIRECTORY/ready.json``; ``--secrets-fd N`` is added.
        directory: as of `start`, of this process alone.
        deadline: seconds until that file has to be there.
        listeners: sockets that it inherits under their numbers; they are held while it is being replaced.
        environ: its environment.
        at_end: a command that is run once nothing is started again.

    Returns:
        What is in the file.

    Raises:
        SupervisorError: it did not become ready.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        directory = directory.resolve()
        ready = directory / "ready.json"
        ready.unlink(missing_ok=True)
        process = _supervised(command, directory, listeners, environ, [str(ready)], holds=False, at_end=at_end)
    except OSError as error:
        raise DirectoryError(f"{directory}: {error.strerror}") from None
    return _await_ready(process, ready, directory, deadline)


def _supervised(
    command: Sequence[str],
    directory: Path,
    listeners: Sequence[socket.socket],
    environ: Mapping[str, str] | None,
    unlink: Sequence[str],
    *,
    holds: bool = True,
    at_end: Sequence[str] = (),
) -> subprocess.Popen[bytes]:
    """Start `watch`, which starts `command`: the secret variables reach both by a socket."""
    clear, secrets = watch.divided(environment() if environ is None else environ)
    ours, theirs = socket.socketpair()
    with theirs, (directory / "node.log").open("ab") as log:
        plan = {"secrets": theirs.fileno(), "directory": str(directory), "unlink": unlink, "holds": holds}
        script = [sys.executable, "-I", "-S", watch.__file__, json.dumps({**plan, "at_end": list(at_end)})]
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, flags checked by what it starts
            [*script, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(*(each.fileno() for each in listeners), theirs.fileno()),
            env=clear,
            start_new_session=True,
        )
    watch.give(ours, secrets)
    return process


def _lead(ready: Path, named: Path) -> None:
    """Link `ready`, where this module looks, to the file that a user named: the node writes one."""
    try:
        named.unlink(missing_ok=True)
        ready.symlink_to(named.absolute())
    except OSError as error:
        raise SupervisorError(f"--ready-file {named}: {error.strerror}; name a file that can be written") from None


@contextlib.contextmanager
def _alone(directory: Path, deadline: float) -> Iterator[None]:
    """Allow one start at a time in a directory: the second finds the node of the first."""
    end = time.monotonic() + deadline
    with (directory / "start.lock").open("ab") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise SupervisorError(f"another node is being started in {directory}: try again") from None
                time.sleep(LOOK_SECONDS)
        yield


def stop(directory: Path, deadline: float = STOP_SECONDS) -> bool:
    """Stop the supervised node of `directory`, letting it flush; what still runs after `deadline` seconds is killed.

    Returns whether there was one.
    """
    state = status(directory)
    if state is None:
        return False
    _signal(state["pid"], state["started"], signal.SIGTERM)
    end = time.monotonic() + deadline
    while time.monotonic() < end and watch.started_at(state["pid"]) == state["started"]:
        time.sleep(LOOK_SECONDS)
    for pid, started in _processes(directory):
        _signal(pid, started, signal.SIGKILL)
    (directory / "supervisor.json").unlink(missing_ok=True)
    (directory / "ready.json").unlink(missing_ok=True)
    return True


def tell(directory: Path, number: signal.Signals) -> None:
    """Send a signal to what is supervised, where it runs."""
    state = _state(directory)
    if state.get("node"):
        _signal(state["node"], state.get("node_started") or 0, number)


def status(directory: Path) -> dict[str, Any] | None:
    """Return the supervisor's state (``pid``, ``node``, ``restarts``, ...) when it or its node lives, else None."""
    return _state(directory) if _processes(directory) else None


def with_swarm(directory: Path, ready_file: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return the ready file once it has the swarm's state: libp2p is loaded after the gateway answers."""
    end = time.monotonic() + seconds
    while ready_file.get("p2p") == "starting" and time.monotonic() < end:
        time.sleep(LOOK_SECONDS)
        ready_file = ready(directory) or ready_file
    return ready_file


def ready(directory: Path) -> dict[str, Any] | None:
    """Return the ready file of the node that runs in `directory`, or None."""
    return _read_json(directory / "ready.json") if status(directory) else None


def restarts(directory: Path) -> int:
    """Return how often a node had to be replaced, also in another process namespace, where pids mean nothing."""
    return int(_state(directory).get("restarts", 0))


def last_words(directory: Path) -> str:
    """Return the last line the node wrote, safe to print: no control characters, bounded."""
    try:
        text = (directory / "node.log").read_bytes()[-8192:].decode(errors="replace")
    except OSError:
        text = ""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(watch.VOICE)]
    return "".join(c if c.isprintable() else "?" for c in lines[-1])[:500] if lines else "it said nothing"


def _take(argv: list[str], flag: str, default: str) -> tuple[list[str], str]:
    for i, arg in enumerate(argv):
        if arg == flag and i + 1 < len(argv):
            return argv[:i] + argv[i + 2 :], argv[i + 1]
        if arg.startswith(f"{flag}="):
            return argv[:i] + argv[i + 1 :], arg.removeprefix(f"{flag}=")
    return argv, default


def _await_ready(process: subprocess.Popen[bytes], file: Path, directory: Path, deadline: float) -> dict[str, Any]:
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        if found := _read_json(file):
            process.returncode = 0  # it is meant to outlive this process: nothing to wait for, nothing to warn of
            return found
        if process.poll() is not None:
            raise SupervisorError(f"the node did not start: {last_words(directory)}")
        time.sleep(LOOK_SECONDS)
    process.terminate()  # by its pid, since `stop` only knows of it once it has written its state
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    stop(directory)
    raise SupervisorError(f"the node was not ready after {deadline:g} s: {last_words(directory)}")


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _state(directory: Path) -> dict[str, Any]:
    return _read_json(directory / "supervisor.json") or {}


def _processes(directory: Path) -> list[tuple[int, int]]:
    """(pid, start) of supervisor and node, those that live; a pid that was used again does not count."""
    state = _state(directory)
    named = ((state.get("pid"), state.get("started")), (state.get("node"), state.get("node_started")))
    return [(pid, born) for pid, born in named if pid and born and watch.started_at(pid) == born]


def _signal(pid: int, started: int, number: signal.Signals) -> None:
    if watch.started_at(pid) == started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

"""The process that keeps a node alive: a script of its own (``python -I -S watch.py``), standard library only, small.

It inherits the listening sockets from `supervisor.start` and hands them to every node it starts, so that clients of
a node that died wait in the backlog of a socket that never closed, and meet the next node.

Secrets take another way than the environment, which every process of the same user can read: through a socket, and
only to a process that has closed itself to such looks (`conceal`). Between its start and that moment nothing in it is
secret, and unlike a pipe or a file a socket cannot be opened by way of /proc.
"""

from __future__ import annotations

import calendar
import contextlib
import ctypes
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

USAGE_ERROR = 2
"""The exit status of a node that cannot use its flags or variables: starting it again would change nothing."""
STEADY_SECONDS = 10.0
"""A node that lived this long was well: its death starts the backoff anew."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 2.0
MOST_FAILURES = 5
"""Deaths in a row after which the sockets are given up: a refused connection is better than one that waits for ever."""
GRACE_SECONDS = 14.0
"""How long a node may take after SIGTERM to answer what is under way, leave the swarm and empty the stores' queues."""
LOG_BYTES = 4 << 20
LOOK_SECONDS = 30.0
DRAINED = b"drained"
DRAIN_SECONDS = 5.0
PS_SECONDS = 5.0
AT_END_SECONDS = 10.0
OPEN_FILES = 2048
"""The usual limit of 1024 is less than the connections of one journal."""
VOICE = "supervisor: "
"""How its own lines in the log begin."""
TRACKING = "RUNNER_TRACKING_ID"
"""The variable in a process's environment by which a runner finds what a job leaves behind."""
HANDOVER_SECONDS = 20.0
# What a process needs from its first instruction on, and a runner's mark. Anything else may be, or hold, a secret.
_CLEAR = re.compile(rf"PATH|HOME|USER|LANG|LC_.*|TZ|TMPDIR|TERM|(?:LD|MALLOC|PYTHON|COVERAGE).*|{TRACKING}")
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4  # linux/prctl.h
SIGNALS = frozenset({signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


class StopAskedError(Exception):
    """Somebody wants the node gone."""


def conceal() -> None:
    """Keep other processes of this user out of this one's environment, memory and descriptors (PR_SET_DUMPABLE).

    Where the system does not know how, the process goes on as it is.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def divided(environ: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the variables that anybody may see, and all others."""
    clear = {name: value for name, value in environ.items() if _CLEAR.fullmatch(name)}
    return clear, {name: value for name, value in environ.items() if name not in clear}


def received(descriptor: int) -> dict[str, str]:
    """Conceal this process, and return its secret variables, which it asks for.

    Raises:
        OSError, ValueError: none were sent.
    """
    conceal()
    with socket.socket(fileno=descriptor) as channel:
        channel.settimeout(HANDOVER_SECONDS)
        channel.sendall(b"?")
        found = json.loads(_whole(channel))
        if not isinstance(found, dict):
            raise ValueError("these are no variables")  # noqa: TRY004 - what was read, not how it is used
        return {str(name): str(value) for name, value in found.items()}


def give(channel: socket.socket, secrets: Mapping[str, str]) -> None:
    """Send the secrets once the other side asks; it may also end before."""
    with channel, contextlib.suppress(OSError):
        channel.settimeout(HANDOVER_SECONDS)
        if channel.recv(1):
            channel.sendall(json.dumps(dict(secrets)).encode())


def _whole(channel: socket.socket) -> bytes:
    return b"".join(iter(lambda: channel.recv(1 << 16), b""))


def trace() -> int:
    """A child that does nothing and can be looked into: a runner finds it by its environment, and ends it with the job.

    It is this process's own trace, which a runner cannot find; 0 when there is no runner, or on macOS, where nothing
    conceals this process.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if TRACKING not in os.environ or prctl is None:
        return 0
    parent = os.getpid()
    if child := os.fork():
        return child
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.closerange(0, 1 << 16)
    while os.getppid() == parent:
        signal.pause()
    os._exit(0)


def started_at(pid: int) -> int | None:
    """Return when a living process started, in clock ticks since boot: with its pid, a name that is never used twice.

    A zombie counts as gone. proc(5), /proc/pid/stat, fields 3 and 22. In seconds of Unix time where there is no /proc.
    """
    fields = _stat(pid)
    if fields is None:
        return _listed_at(pid) if _stat("self") is None else None
    return None if fields[0] in "ZX" else int(fields[19])


def _stat(pid: int | str) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return None


def _listed_at(pid: int) -> int | None:
    """As `started_at`, by ps(1), which macOS has at this path."""
    command = ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)]
    try:
        listed = subprocess.run(  # noqa: S603 - a fixed command
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PS_SECONDS, check=False,
            env={"LC_ALL": "C", "TZ": "UTC"},
        ).stdout  # fmt: skip
        state, started = listed.split(maxsplit=1)
        return None if state[0] in "ZX" else calendar.timegm(time.strptime(started.strip()))
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def signal_wait() -> Callable[[float], int]:
    """Return a function that waits so many seconds for one of `SIGNALS`, and returns its number, or 0 for none."""
    if hasattr(signal, "sigtimedwait"):
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

        def wait(seconds: float) -> int:
            got = signal.sigtimedwait(SIGNALS, seconds)
            return got.si_signo if got else 0

        return wait
    # macOS: Python's own handler writes the number of each signal into a pipe.
    numbers, written = os.pipe()
    os.set_blocking(written, False)
    signal.set_wakeup_fd(written, warn_on_full_buffer=False)
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    return lambda seconds: os.read(numbers, 1)[0] if select.select([numbers], [], [], max(0.0, seconds))[0] else 0


def held() -> Held | None:
    """Return what holds the connections of a node; None on macOS, where they end with the node."""
    needed = hasattr(os, "memfd_create") and hasattr(socket, "MSG_CMSG_CLOEXEC")
    return Held() if needed else None


class Held:
    """A duplicate of every connection of the node, so that none ends with it (see `p2pcache/gateway/survival/`)."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.theirs.settimeout(DRAIN_SECONDS)  # a node may have left it full
        self.memory = os.memfd_create("p2pcache-journal")
        for descriptor in (self.theirs.fileno(), self.memory):
            os.set_inheritable(descriptor, True)
        self.by_slot: dict[int, int] = {}
        self.drained = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def flags(self) -> list[str]:
        """Return the flags by which a new node takes over the connections of the one before."""
        self.drained.clear()
        with contextlib.suppress(OSError):
            self.theirs.send(DRAINED)  # behind all that the node before sent
            self.drained.wait(DRAIN_SECONDS)
        held = dict(self.by_slot)
        for descriptor in held.values():
            with contextlib.suppress(OSError):
                os.set_inheritable(descriptor, True)
        flags = ["--keeper", f"{self.theirs.fileno()}:{self.memory}"]
        return [*flags, "--adopt", ",".join(f"{s}:{d}" for s, d in held.items())] if held else flags

    def _serve(self) -> None:
        while True:
            message, descriptors, _, _ = socket.recv_fds(self.ours, 16, 1, socket.MSG_CMSG_CLOEXEC)
            if message == DRAINED:
                self.drained.set()
                continue
            slot = int(message)
            if (old := self.by_slot.pop(slot, None)) is not None:
                os.close(old)
            if descriptors:
                self.by_slot[slot] = descriptors[0]


class Watch:
    """One node after another, until a signal stops it."""

    def __init__(
        self,
        directory: Path,
        unlink: list[Path],
        command: list[str],
        secrets: Mapping[str, str],
        wait: Callable[[float], int],
        trace: int = 0,
        *,
        holds: bool = True,
        at_end: Sequence[str] = (),
    ) -> None:
        self.at_end = at_end
        self.directory = directory
        self.wait = wait
        self.secrets = secrets
        self.trace = trace
        self.unlink = unlink
        self.command = command
        self.node = 0
        self.starts = 0
        self.held = held() if holds else None

    def run(self) -> int:
        """Keep a node running; the exit status is 0 when stopped, else why there is no node any more."""
        failures = 0
        try:
            while True:
                born = time.monotonic()
                self._start()
                code = self._wait()
                failures = 1 if time.monotonic() - born >= STEADY_SECONDS else failures + 1
                print(
                    f"{VOICE}the node ended with {code} (in a row: {failures})",
                    file=sys.stderr,
                    flush=True,
                )
                if code == USAGE_ERROR or failures >= MOST_FAILURES:
                    return code if code > 0 else 1
                self._next_signal(min(FIRST_PAUSE_SECONDS * 2 ** (failures - 1), LONGEST_PAUSE_SECONDS))
        except StopAskedError:
            self._stop()
            return 0
        finally:
            for path in self.unlink:
                path.unlink(missing_ok=True)
            if self.at_end:
                with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                    # One that does not end in time may be root's (sudo): it cannot be killed, and is not waited for.
                    subprocess.Popen(self.at_end, stdin=subprocess.DEVNULL).wait(AT_END_SECONDS)  # noqa: S603 - the starter's own

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.set_inheritable(True)
            holding = self.held.flags() if self.held else []
            command = [*self.command, *holding, "--secrets-fd", str(theirs.fileno())]
            self.node = os.posix_spawn(command[0], command, os.environ, setsigmask=())
        threading.Thread(target=give, args=(ours, self.secrets), daemon=True).start()
        self.starts += 1
        state = {
            "pid": os.getpid(),
            "started": started_at(os.getpid()),
            "node": self.node,
            "node_started": started_at(self.node),
            "restarts": self.starts - 1,
        }
        new = self.directory / "supervisor.json.new"
        new.write_text(json.dumps(state), "ascii")
        new.replace(self.directory / "supervisor.json")

    def _wait(self) -> int:
        while True:
            pid, status = os.waitpid(self.node, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if self.trace and os.waitpid(self.trace, os.WNOHANG)[0]:
                self.trace = 0
                raise StopAskedError  # the job is over
            self._next_signal(LOOK_SECONDS)
            if not self.directory.exists():
                raise StopAskedError  # the job is over and its folder emptied, and no post step reported it
            self._bound_log()

    def _next_signal(self, seconds: float) -> None:
        if self.wait(seconds) in (signal.SIGTERM, signal.SIGINT):
            raise StopAskedError

    def _bound_log(self) -> None:
        if os.fstat(2).st_size <= LOG_BYTES:
            return
        shutil.copyfile(self.directory / "node.log", self.directory / "node.log.1")
        os.ftruncate(2, 0)  # every writer appends, so each goes on at the new end

    def _stop(self) -> None:
        deadline = time.monotonic() + GRACE_SECONDS
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.node, signal.SIGTERM)
        while (remaining := deadline - time.monotonic()) > 0:
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(self.node, os.WNOHANG)[0] == 0:
                    self.wait(remaining)
                    continue
            return
        print(f"{VOICE}the node did not leave in {GRACE_SECONDS:g} s: killed", file=sys.stderr, flush=True)
        os.kill(self.node, signal.SIGKILL)
        os.waitpid(self.node, 0)


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES:
        allowed = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS has a lower bound than the hard limit says
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def main() -> int:
    """``watch.py PLAN COMMAND...``: the plan is the JSON object that `supervisor` writes."""
    plan = json.loads(sys.argv[1])
    traced = trace()
    secrets = received(plan["secrets"])
    wait = signal_wait()
    _allow_open_files()
    unlink = [Path(path) for path in plan["unlink"]]
    holds, at_end = plan["holds"], plan["at_end"]
    return Watch(Path(plan["directory"]), unlink, sys.argv[2:], secrets, wait, traced, holds=holds, at_end=at_end).run()


if __name__ == "__main__":
    sys.exit(main())

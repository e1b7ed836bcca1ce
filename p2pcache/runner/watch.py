"""The process that keeps a node alive: a script of its own (``python -I -S watch.py``), standard library only, small.

It inherits the listening sockets from `supervisor.start` and hands them to every node it starts, so that clients of
a node that died wait in the backlog of a socket that never closed, and meet the next node.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import sys
import threading
import time
from pathlib import Path

USAGE_ERROR = 2
"""The exit status of a node that cannot use its flags or variables: starting it again would change nothing."""
STEADY_SECONDS = 10.0
"""A node that lived this long was well: its death starts the backoff anew."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 2.0
MOST_FAILURES = 5
"""Deaths in a row after which the sockets are given up: a refused connection is better than one that waits for ever."""
GRACE_SECONDS = 8.0
"""How long a node may take to flush and leave after SIGTERM."""
LOG_BYTES = 4 << 20
LOG_LOOK_SECONDS = 30.0
JOURNAL_BYTES = 1024 * (16 << 10)
"""What `p2pcache.gateway.keeper` maps."""
DRAINED = b"drained"
DRAIN_SECONDS = 5.0
OPEN_FILES = 2048
"""The usual limit of 1024 is less than the connections of one journal."""
VOICE = "supervisor: "
"""How its own lines in the log begin."""
SIGNALS = frozenset({signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


class StopAskedError(Exception):
    """Somebody wants the node gone."""


def started_at(pid: int) -> int | None:
    """When a living process started, in clock ticks since boot: with its pid, a name that is never used twice.

    A zombie counts as gone. proc(5), /proc/pid/stat, fields 3 and 22.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


class Held:
    """A second handle on every connection of the node, so that none ends with it (see `p2pcache/gateway/keeper.py`)."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.theirs.settimeout(DRAIN_SECONDS)  # a node may have left it full
        self.memory = os.memfd_create("p2pcache-journal")
        os.ftruncate(self.memory, JOURNAL_BYTES)
        for descriptor in (self.theirs.fileno(), self.memory):
            os.set_inheritable(descriptor, True)
        self.by_slot: dict[int, int] = {}
        self.drained = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def flags(self) -> list[str]:
        """What a new node needs to take over the connections of the one before."""
        self.drained.clear()
        with contextlib.suppress(OSError):
            self.theirs.send(DRAINED)  # behind all that the node before had to say
            self.drained.wait(DRAIN_SECONDS)
        held = dict(self.by_slot)
        for descriptor in held.values():
            with contextlib.suppress(OSError):
                os.set_inheritable(descriptor, True)
        flags = ["--keeper", f"{self.theirs.fileno()}:{self.memory}"]
        return [*flags, "--adopt", ",".join(f"{s}:{d}" for s, d in held.items())] if held else flags

    def _serve(self) -> None:
        while True:
            said, descriptors, _, _ = socket.recv_fds(self.ours, 16, 1, socket.MSG_CMSG_CLOEXEC)
            if said == DRAINED:
                self.drained.set()
                continue
            slot = int(said)
            if (old := self.by_slot.pop(slot, None)) is not None:
                os.close(old)
            if descriptors:
                self.by_slot[slot] = descriptors[0]


class Watch:
    """One node after another, until told to stop."""

    def __init__(self, directory: Path, unlink: list[Path], command: list[str]) -> None:
        self.directory = directory
        self.unlink = unlink
        self.command = command
        self.node = 0
        self.starts = 0
        self.held = Held()

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

    def _start(self) -> None:
        command = [*self.command, *self.held.flags()]
        self.node = os.posix_spawn(command[0], command, os.environ, setsigmask=())
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
            self._next_signal(LOG_LOOK_SECONDS)
            self._bound_log()

    def _next_signal(self, seconds: float) -> None:
        got = signal.sigtimedwait(SIGNALS, seconds)
        if got and got.si_signo in (signal.SIGTERM, signal.SIGINT):
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
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(self.node, os.WNOHANG)[0] == 0:
                    signal.sigtimedwait(SIGNALS, left)
                    continue
            return
        print(f"{VOICE}the node did not leave in {GRACE_SECONDS:g} s: killed", file=sys.stderr, flush=True)
        os.kill(self.node, signal.SIGKILL)
        os.waitpid(self.node, 0)


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES:
        allowed = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def main() -> int:
    """``watch.py DIRECTORY FILE_TO_REMOVE_AT_THE_END... -- COMMAND...``."""
    split = sys.argv.index("--")
    directory, *unlink = map(Path, sys.argv[1:split])
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    _allow_open_files()
    return Watch(directory, unlink, sys.argv[split + 1 :]).run()


if __name__ == "__main__":
    sys.exit(main())

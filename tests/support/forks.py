"""Whole nodes as processes, many and at once: forked from one process that has imported everything already.

A node that starts by itself spends nearly a second of CPU on imports; twenty of them would keep two cores busy for ten
seconds before a test begins. What runs in the child is ``p2pcache`` itself, with its own arguments and environment.

`Forks` is the test's side; run as a program, this module is the process that forks.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import p2pcache

CLONE_NEWNET = 0x40000000


class Forks:
    """Starts ``p2pcache ARGUMENTS`` in children of a warm process; at the end all of them are killed."""

    def __init__(self, directory: Path) -> None:
        self._log = directory / "forks.log"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env={**os.environ, "PYTHONPATH": str(Path(p2pcache.__file__).parents[1])},
            )
        assert self._process.stdin
        assert self._process.stdout
        self._orders, self._started = self._process.stdin, self._process.stdout

    def start(
        self,
        arguments: Iterable[str | Path],
        environment: Mapping[str, str],
        log: Path,
        limits: Mapping[str, float],
        inside: str,
        tiers: Mapping[str, float] = MappingProxyType({}),
    ) -> int:
        """The new process's id.

        `limits` are bounds of the swarm (`swarm.Limits`) other than the default ones, `tiers` those of all tiers
        (`cache.library.TierLimits`); `inside` is the path of a network namespace, or "".
        """
        arguments = [str(argument) for argument in arguments]
        order = {"arguments": arguments, "environment": environment, "log": str(log), "limits": limits}
        order |= {"namespace": inside, "tiers": dict(tiers)}
        self._orders.write(json.dumps(order).encode() + b"\n")
        self._orders.flush()
        line = self._started.readline()
        assert line, self._log.read_text()
        return int(line)

    def close(self) -> None:
        self._orders.close()
        self._process.wait(timeout=20)
        self._started.close()


def over(pid: int) -> bool:
    """Whether a process that was forked has ended. It stays a zombie of the one that forked it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except FileNotFoundError:
        return True


def serve() -> None:
    """Fork for each line on stdin; kill what is left at its end."""
    import p2pcache.cli
    import p2pcache.commands.serve
    import p2pcache.swarm.host  # noqa: F401

    children = []  # those that have ended stay zombies, so that no id is another process's before the end
    for line in sys.stdin.buffer:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(order)
        children.append(child)
        print(child, flush=True)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _become(order: dict[str, Any]) -> None:
    if order["namespace"]:
        enter(Path(order["namespace"]))
    os.environ.clear()
    os.environ.update(order["environment"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor, number in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, number)
    status = 1
    try:
        from p2pcache import node, swarm
        from p2pcache.cache.library import Library, TierLimits
        from p2pcache.cli import main

        setattr(node, "Library", functools.partial(Library, limits=TierLimits(**order["tiers"])))  # noqa: B010 - as below
        limited = functools.partial(swarm.SwarmConfig, limits=swarm.Limits(**order["limits"]))
        setattr(swarm, "SwarmConfig", limited)  # noqa: B010 - a name that a checker takes for a type
        main(order["arguments"], prog_name="p2pcache", standalone_mode=False)
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 1
    finally:
        os._exit(status)


def enter(namespace: Path) -> None:
    """Move this thread into a network namespace; `os.setns` came with Python 3.12."""
    descriptor = os.open(namespace, os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    serve()

"""Where the processes of a scenario run: here, on this machine's loopback; `containers` has the other place."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import msgspec

import p2pcache
from p2pcache.scenarios.tethered import tethered

WORKER = "p2pcache.scenarios.worker"
STOP_SECONDS = 15.0
"""For a process to end by itself: a node may write to its stores for 5 s."""
ORDER_MARGIN = 30.0
"""Seconds for the start of a worker, beside what its order may take."""
LOOPBACK = "127.0.0.1"
PYTHON = (sys.executable, "-P")
OURS = {"PYTHONPATH": str(Path(p2pcache.__file__).parents[1])}
"""So that they find the package of this process, which may stand in its working directory alone."""
"""This interpreter, without what lies in the current directory."""


class UnexpectedError(RuntimeError):
    """A scenario did not behave as expected; the message is a sentence for the user."""


class MissingError(RuntimeError):
    """A scenario cannot run here; the message is a sentence that says what is missing, and how to get it."""


class Site(Protocol):
    """Runs modules of this package as processes, by name, and orders beside them (`worker`)."""

    def path(self, name: str, file: str) -> str:
        """Return the path of a file of a process, as that process sees it."""
        ...

    def binds(self, name: str) -> str:
        """Return the address that a process listens on."""
        ...

    def reached(self, name: str) -> str:
        """Return the address, or the DNS name, by which the other processes reach one."""
        ...

    async def start(self, name: str, module: Sequence[str], variables: Mapping[str, str]) -> None:
        """Start ``python -m`` with `module`, a module and its arguments, in the environment `variables`."""
        ...

    async def order(self, name: str, do: str, **arguments: Any) -> Any:
        """Return the result of an order beside a process.

        Raises:
            UnexpectedError: it failed, or took too long.
        """
        ...

    async def stop(self, *names: str) -> None:
        """End processes, and wait until they have ended."""
        ...


async def output_of(
    command: Sequence[str], given: bytes = b"", *, seconds: float, env: Mapping[str, str] | None = None
) -> tuple[int, bytes, bytes]:
    """Return the exit status, stdout and stderr of a command, which is killed after `seconds`.

    It has a session of its own, so that Ctrl-C in a terminal reaches this process alone, which cleans up.

    Raises:
        TimeoutError: it took longer.
        OSError: it cannot be started.
    """
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, stderr=pipe, env=env, start_new_session=True
    )
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate(given)
    finally:
        if process.returncode is None:
            _kill_session(process)
            await process.wait()
    return process.returncode or 0, out, err


async def ordered(command: Sequence[str], order: Mapping[str, Any], env: Mapping[str, str] | None = None) -> Any:
    """Return the result of an order to the worker that `command` starts.

    Raises:
        UnexpectedError: the order failed, took too long, or `command` starts no worker.
    """
    seconds = float(order.get("seconds", 0.0)) + ORDER_MARGIN
    try:
        _, out, err = await output_of(command, msgspec.json.encode(order), seconds=seconds, env=env)
        answer = msgspec.json.decode(out, type=dict[str, Any])
    except TimeoutError:
        raise UnexpectedError(f"{order['do']}: no result within {seconds:g} s") from None
    except msgspec.DecodeError:
        raise UnexpectedError(f"{order['do']}: {last_line(err)}") from None
    if "error" in answer:
        raise UnexpectedError(answer["error"])
    return answer["result"]


async def finished(work: Coroutine[Any, Any, object]) -> None:
    """Wait until `work` has finished even if cancelled: it cleans up, or makes what is to be cleaned up whole."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def last_line(output: bytes) -> str:
    """Return the last line of an output that is not empty, at most 300 characters."""
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1].strip()[:300] if lines else "it ended without a word"


class Machine:
    """Processes of this machine that listen on its loopback, ended when it is left; their files are in `scratch`."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._running: dict[str, asyncio.subprocess.Process] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await finished(self.stop(*self._running))

    def path(self, name: str, file: str) -> str:
        """See `Site`."""
        return str(self.scratch / name / file)

    def binds(self, name: str) -> str:  # noqa: ARG002 - the same for all
        """See `Site`."""
        return LOOPBACK

    def reached(self, name: str) -> str:  # noqa: ARG002 - the same for all
        """See `Site`."""
        return LOOPBACK

    async def start(self, name: str, module: Sequence[str], variables: Mapping[str, str]) -> None:
        """See `Site`."""
        (self.scratch / name).mkdir()
        await self.run(name, (*PYTHON, "-m", *module), variables)

    async def run(self, name: str, command: Sequence[str], variables: Mapping[str, str]) -> None:
        """Start another program than this package's; its output is in the file `log` of its folder, which is there."""
        with (self.scratch / name / "log").open("wb") as log:
            self._running[name] = await asyncio.create_subprocess_exec(
                *tethered(command),
                env={"HOME": str(self.scratch), **OURS, **variables},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def order(self, name: str, do: str, **arguments: Any) -> Any:
        """See `Site`."""
        command, given = (*PYTHON, "-m", WORKER), {"do": do, **arguments}
        work = asyncio.ensure_future(ordered(command, given, {"HOME": str(self.scratch), **OURS}))
        ended = asyncio.ensure_future(self._running[name].wait())
        try:
            await asyncio.wait([work, ended], return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                return work.result()
            why = f"it ended: {last_line(self.log(name))}"
        except UnexpectedError as error:
            why = str(error)
        finally:
            work.cancel()
            ended.cancel()
            await asyncio.gather(work, ended, return_exceptions=True)
        raise UnexpectedError(f"{name}: {why}")

    def log(self, name: str) -> bytes:
        """Return what a process printed."""
        return (self.scratch / name / "log").read_bytes()

    def ended(self, name: str) -> bool:
        """Return whether a process ended by itself."""
        return self._running[name].returncode is not None

    async def stop(self, *names: str) -> None:
        """See `Site`."""
        ending = [self._running.pop(name) for name in names]
        for process in ending:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        await asyncio.gather(*(_ended(process) for process in ending))


async def _ended(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        _kill_session(process)
        await process.wait()


def _kill_session(process: asyncio.subprocess.Process) -> None:
    """Kill a process and its children: those that live on would keep its output open."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)

"""``p2pcache run``: one command with a node of its own."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
from collections.abc import Mapping, Sequence
from typing import Self

import uvloop

from p2pcache import files
from p2pcache.commands.console import fail, note, note_ignored, print_line, progress, quiet, quiet_log, settings_or_exit
from p2pcache.commands.environment import client_environment
from p2pcache.commands.hubs import CONNECT_SECONDS, with_hub
from p2pcache.commands.interrupts import heeded, status
from p2pcache.commands.serve import configure_log
from p2pcache.commands.terminal_report import print_report
from p2pcache.gateway.listen import ListenError
from p2pcache.node import Node
from p2pcache.runner import watch
from p2pcache.runner.job import Job
from p2pcache.runner.joining import SWARM_SECONDS, join
from p2pcache.settings import Settings, SettingsError, for_commands

NOT_FOUND, CANNOT_EXECUTE = 127, 126
"""Exit statuses of a shell (POSIX, Shell Command Language, 2.8.2)."""


def run(flags: Mapping[str, str], command: Sequence[str]) -> int:
    """Run `command` and return its exit status, or a shell's status if it cannot be started."""
    if shutil.which(command[0]) is None:
        fail(f"{command[0]}: no such command", NOT_FOUND)
    watch.conceal()
    with files.socket_folder("p2pcache-") as scratch:
        settings = settings_or_exit({**quiet_log(), "socket": f"{scratch}/node.sock", **flags})
        configure_log(settings, dated=False)
        note_ignored(settings)
        try:
            return uvloop.run(_run(with_hub(settings), Job(scratch), command))
        except (ListenError, SettingsError) as error:
            fail(str(error), 2 if isinstance(error, SettingsError) else 1)


async def _run(settings: Settings, job: Job, command: Sequence[str]) -> int:
    with _Signals() as signals:
        try:
            return await _with_node(await Node.of(settings), job, command, signals)
        except asyncio.CancelledError:
            if signals.came is None:
                raise
            return status(signals.came)


async def _with_node(node: Node, job: Job, command: Sequence[str], signals: _Signals) -> int:
    async with node:
        if node.alone:
            note(node.alone)
        # The command's first requests can then be answered by peers.
        with progress("joining the swarm"):
            await node.settled(SWARM_SECONDS)
            joined = await asyncio.to_thread(join, node.ready(), node.settings.bootstrap, CONNECT_SECONDS)
        if joined.problem:
            print_line(joined.problem)
        environment = {**for_commands(), **client_environment(node.ready(), job)}
        try:
            process = await signals.start(command, environment)
        except OSError as error:
            print_line(f"{command[0]}: {error.strerror}")
            return CANNOT_EXECUTE
        code = await process.wait()
        stats = node.stats()
    with contextlib.suppress(OSError):  # the terminal was closed
        if not quiet():
            print_report(stats, err=True)
    return code if code >= 0 else status(-code)


class _Signals:
    """Forward signals to the command, so that this process can report and clean up after its end.

    Before the command starts they cancel the task that would start it; `came` is then the first of them.
    """

    def __enter__(self) -> Self:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self.came: signal.Signals | None = None
        self._starting = False
        self._process: asyncio.subprocess.Process | None = None
        self._handled = heeded()
        for number in self._handled:
            self._loop.add_signal_handler(number, self._on_signal, number)
        return self

    def __exit__(self, *error: object) -> None:
        for number in self._handled:
            self._loop.remove_signal_handler(number)

    async def start(self, command: Sequence[str], environment: Mapping[str, str]) -> asyncio.subprocess.Process:
        """Start `command`.

        Raises:
            OSError: it cannot be executed.
        """
        self._starting = True
        process = self._process = await asyncio.create_subprocess_exec(*command, env=environment)
        if self.came is not None:
            # One of Ctrl-C may have come before the command was there to get it.
            _send(process, signal.SIGINT if self.came is signal.SIGINT else signal.SIGTERM)
        return process

    def _on_signal(self, number: signal.Signals) -> None:
        self.came = self.came or number
        if self._process is not None:
            # Ctrl-C reaches the command too, which is in the same process group: the reaction is the command's.
            if number is not signal.SIGINT:
                _send(self._process, signal.SIGTERM)
        elif self._task is not None and not self._starting:
            self._task.cancel()


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended, and the node is being stopped
        process.send_signal(number)

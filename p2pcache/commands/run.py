"""``p2pcache run``: one command with a node around it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import click
import uvloop

from p2pcache.commands.console import fail, note, note_unknown, settings_or_exit
from p2pcache.commands.environment import client_environment
from p2pcache.commands.hubs import CONNECT_SECONDS, with_hub
from p2pcache.commands.serve import configure_log
from p2pcache.gateway.listen import ListenError
from p2pcache.node import Node
from p2pcache.runner import watch
from p2pcache.runner.job import Job
from p2pcache.runner.joining import SWARM_SECONDS, join
from p2pcache.runner.report import text
from p2pcache.settings import SettingsError, for_commands

NOT_FOUND, CANNOT_EXECUTE = 127, 126
"""Exit statuses of a shell (POSIX, Shell Command Language, 2.8.2)."""


def run(flags: Mapping[str, str], command: Sequence[str]) -> int:
    """Run `command`; its exit status, or what a shell says when it cannot be started."""
    if shutil.which(command[0]) is None:
        fail(f"{command[0]}: no such command", NOT_FOUND)
    watch.conceal()
    with tempfile.TemporaryDirectory(prefix="p2pcache-") as scratch:
        settings = settings_or_exit({"socket": f"{scratch}/node.sock", **flags})
        configure_log(settings, dated=False)
        note_unknown()
        try:
            node = Node(with_hub(settings))
            return uvloop.run(_run(node, Job(Path(scratch)), command))
        except (ListenError, SettingsError) as error:
            fail(str(error), 2 if isinstance(error, SettingsError) else 1)


async def _run(node: Node, job: Job, command: Sequence[str]) -> int:
    async with node:
        if node.alone:
            note(node.alone)
        # A command that asks at once is to be answered by the peers already.
        await node.settled(SWARM_SECONDS)
        joined = await asyncio.to_thread(join, node.ready(), node.settings.bootstrap, CONNECT_SECONDS)
        if joined.problem:
            note(joined.problem)
        environment = {**for_commands(), **client_environment(node.ready(), job)}
        try:
            process = await asyncio.create_subprocess_exec(*command, env=environment)
        except OSError as error:
            note(f"{command[0]}: {error.strerror}")
            return CANNOT_EXECUTE
        with _signals(process):
            status = await process.wait()
        stats = node.stats()
    with contextlib.suppress(OSError):  # the terminal was closed
        click.echo(text(stats), err=True)
    return status if status >= 0 else 128 - status


@contextlib.contextmanager
def _signals(process: asyncio.subprocess.Process) -> Iterator[None]:
    """Let signals end the command first: this process then goes on to its report, and leaves nothing behind."""
    # Ctrl-C reaches the command too, which is in our process group: it decides.
    handlers: dict[signal.Signals, Callable[[], None]] = {
        signal.SIGINT: lambda: None,
        signal.SIGTERM: process.terminate,
    }
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        handlers[signal.SIGHUP] = process.terminate
    loop = asyncio.get_running_loop()
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)

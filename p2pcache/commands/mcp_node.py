"""A node of its own for ``p2pcache mcp``, where none runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from pathlib import Path

import uvloop

from p2pcache import files
from p2pcache.commands.console import fail, note, note_ignored, settings_or_exit
from p2pcache.commands.hubs import with_hub
from p2pcache.commands.interrupts import heeded, status
from p2pcache.commands.mcp import serve_through
from p2pcache.commands.serve import configure_log
from p2pcache.gateway.listen import ListenError
from p2pcache.hub.mcp.watches import Watches
from p2pcache.node import Node
from p2pcache.settings import ClientSettings, Settings, SettingsError

STOP_SECONDS = 10.0


def with_own_node(directory: str | None, client: ClientSettings) -> None:
    """Start a node with the variables of this process, and serve through it until stdin ends."""
    with files.socket_folder("p2pcache-") as scratch:
        settings = settings_or_exit({"socket": f"{scratch}/node.sock", "directory": directory or ""})
        configure_log(settings, dated=False)
        note_ignored(settings)
        try:
            uvloop.run(_serve(with_hub(settings), client, scratch))
        except (ListenError, SettingsError) as error:
            fail(str(error), 2 if isinstance(error, SettingsError) else 1)


async def _serve(settings: Settings, client: ClientSettings, scratch: Path) -> None:
    node = await Node.of(settings)
    loop, ending = asyncio.get_running_loop(), set[asyncio.Task[None]]()

    def end(number: signal.Signals) -> None:
        ending.add(loop.create_task(_end(node, number, scratch)))

    for number in heeded():
        loop.add_signal_handler(number, end, number)
    async with node:
        if node.alone:
            note(node.alone)
        watches = Watches(node.keyring.topic_names)
        node.library.watchers.append(watches.dropped)
        await serve_through(node.socket, client, watches)


async def _end(node: Node, number: signal.Signals, scratch: Path) -> None:
    """Stop the node and exit at once: the thread that reads stdin waits for a line that may never come."""
    with contextlib.suppress(Exception):
        await asyncio.wait_for(node.stop(), STOP_SECONDS)
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(status(number))

"""A stand-in as a process: served until a signal ends it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from types import TracebackType
from typing import Protocol

import click
import msgspec

from p2pcache import files


class Served(Protocol):
    """A server with an address, open while it is entered."""

    @property
    def url(self) -> str:
        """Its address."""
        ...

    async def __aenter__(self) -> object: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


async def serve(server: Served, ready_file: Path | None) -> None:
    """Serve until SIGINT or SIGTERM; print ``{url, pid}`` once it answers, and write it to `ready_file`."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with server:
        ready = msgspec.json.encode({"url": server.url, "pid": os.getpid()})
        click.echo(ready)
        if ready_file is not None:
            files.replace(ready_file, ready + b"\n")
        await stop.wait()

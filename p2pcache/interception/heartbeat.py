"""Whether the node answers: one that hangs takes connections and leaves them waiting for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

EVERY_SECONDS = 5.0
SECONDS = 3.0
"""A node that was killed is back sooner; a busy machine that takes longer costs nobody more than the cache."""
_REQUEST = b"GET /-/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def answers(node: Path, seconds: float = SECONDS) -> bool:
    """Return whether the node at this unix socket says anything within so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_unix_connection(str(node))
            try:
                writer.write(_REQUEST)
                return (await reader.readline()).startswith(b"HTTP/1.1 ")
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return False


async def watch(
    node: Path, found: Callable[[bool], None], every: float = EVERY_SECONDS, seconds: float = SECONDS
) -> None:
    """Call `found` with whether the node answers, again and again, until cancelled."""
    while True:
        found(await answers(node, seconds))
        await asyncio.sleep(every)

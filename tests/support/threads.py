"""An asynchronous server beside a synchronous test."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator

Ready = Callable[[str], Awaitable[None]]


def in_a_thread(serve: Callable[[Ready], Awaitable[None]]) -> Callable[[], contextlib.AbstractContextManager[str]]:
    """Make of ``async def serve(ready)`` a context manager: it runs in a thread until the end of the ``with``.

    `serve` awaits ``ready(url)``, which gives the URL to the test and returns when the test is over.
    """

    @functools.wraps(serve)
    @contextlib.contextmanager
    def started() -> Iterator[str]:
        urls: queue.SimpleQueue[str] = queue.SimpleQueue()
        loop = asyncio.new_event_loop()
        over = asyncio.Event()

        async def ready(url: str) -> None:
            urls.put(url)
            await over.wait()

        thread = threading.Thread(target=lambda: loop.run_until_complete(serve(ready)))
        thread.start()
        try:
            yield urls.get(timeout=20)
        finally:
            loop.call_soon_threadsafe(over.set)
            thread.join(20)
            loop.close()

    return started

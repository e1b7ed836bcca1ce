"""asyncio on one side, trio in a thread of its own on the other; values and exceptions cross, nothing else does.

A call across costs about 50 microseconds. A waiting caller may be cancelled; the work on the other side is
then cancelled too. When one side is gone, waiting for it ends with `BridgeClosed`.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import trio

T = TypeVar("T")


class BridgeClosed(Exception):  # noqa: N818  # a state of the other side, handled by all callers
    """The other side is gone."""


class Bridge:
    """Made on the asyncio side, inside the running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery  # there before anything can be posted
        self._thread: threading.Thread | None = None
        self._finished: asyncio.Future[BaseException | None] = self._loop.create_future()

    # What the asyncio side uses.

    def start(self, main: Callable[[], Awaitable[None]]) -> asyncio.Future[BaseException | None]:
        """Run `main` under trio in a new thread; the future gets the exception it ended with, if any."""
        self._thread = threading.Thread(target=self._run, args=(main,), name="p2pcache-swarm", daemon=True)
        self._thread.start()
        return self._finished

    async def stop(self, patience: float) -> bool:
        """Cancel everything on the trio side; return whether it ended in time."""
        if self._thread is None:
            return True
        self.post(self._cancel)
        await asyncio.wait([self._finished], timeout=patience)
        if self._finished.done():
            self._thread.join(patience)  # past its last act already
        return not self._thread.is_alive()

    def post(self, work: Callable[..., object], *args: object) -> bool:
        """Have `work(*args)` run on the trio side soon; False when that side is gone. Any thread may call this."""
        if self._token is not None:
            with contextlib.suppress(trio.RunFinishedError):
                self._token.run_sync_soon(work, *args)
                return True
        return False

    async def call(self, work: Callable[..., Awaitable[T]], *args: object) -> T:
        """Await `work(*args)` on the trio side.

        Raises:
            BridgeClosed: that side is gone, or goes meanwhile.
        """
        answer: asyncio.Future[T] = self._loop.create_future()
        scope = trio.CancelScope()

        async def run() -> None:
            result: T | None = None
            failure: Exception | None = BridgeClosed()
            try:
                with scope:
                    result = await work(*args)
                    failure = None
            except Exception as error:  # noqa: BLE001  # raised on the side that called
                failure = error
            finally:
                self._answer(answer, result, failure)

        if not self.post(self._begin, run, answer):
            raise BridgeClosed
        try:
            return await answer
        except asyncio.CancelledError:
            self.post(scope.cancel)
            raise

    # What the trio side uses.

    async def ask(self, work: Callable[..., Awaitable[T]], *args: object) -> T:
        """Await `work(*args)` on the asyncio side.

        Raises:
            BridgeClosed: the loop is closed, or `work` was cancelled there.
            Exception: what `work` raises.
        """
        done = trio.Event()
        token = trio.lowlevel.current_trio_token()
        tasks: list[asyncio.Task[T]] = []

        def finish(_: asyncio.Task[T]) -> None:
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(done.set)

        def begin() -> None:
            task = asyncio.ensure_future(_awaited(work, args))
            tasks.append(task)
            task.add_done_callback(finish)

        self.post_back(begin)
        try:
            await done.wait()
        except trio.Cancelled:
            with contextlib.suppress(BridgeClosed):
                self.post_back(lambda: tasks[0].cancel())
            raise
        if tasks[0].cancelled():
            raise BridgeClosed
        return tasks[0].result()

    def post_back(self, work: Callable[..., object], *args: object) -> None:
        """Have `work(*args)` run on the asyncio side soon.

        Raises:
            BridgeClosed: the loop is closed.
        """
        try:
            self._loop.call_soon_threadsafe(work, *args)
        except RuntimeError:
            raise BridgeClosed from None

    # The thread.

    def _run(self, main: Callable[[], Awaitable[None]]) -> None:
        error: BaseException | None = None
        try:
            trio.run(self._main, main)
        except BaseException as raised:  # noqa: BLE001  # only the asyncio side can report it
            error = raised
        with contextlib.suppress(BridgeClosed):
            self.post_back(_resolve, self._finished, error)

    async def _main(self, main: Callable[[], Awaitable[None]]) -> None:
        failure: Exception | None = None
        async with trio.open_nursery() as self._nursery:
            self._token = trio.lowlevel.current_trio_token()
            try:
                await main()
            except Exception as error:  # noqa: BLE001  # raised below: the nursery would wrap it in a group
                failure = error
            self._nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    def _cancel(self) -> None:
        self._nursery.cancel_scope.cancel()

    def _begin(self, run: Callable[[], Awaitable[None]], answer: asyncio.Future[Any]) -> None:
        if self._nursery.cancel_scope.cancel_called:
            self._answer(answer, None, BridgeClosed())
        else:
            self._nursery.start_soon(run)

    def _answer(self, answer: asyncio.Future[Any], result: object, failure: Exception | None) -> None:
        with contextlib.suppress(BridgeClosed):
            self.post_back(_resolve if failure is None else _fail, answer, result if failure is None else failure)


async def _awaited(work: Callable[..., Awaitable[T]], args: tuple[object, ...]) -> T:
    return await work(*args)


def _resolve(future: asyncio.Future[Any], result: object) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], failure: Exception) -> None:
    if not future.done():
        future.set_exception(failure)

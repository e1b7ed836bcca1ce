"""The names of the records that a service has, as far as they were listed: a look-up of another one is needless."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import NamedTuple

from p2pcache.stores.driver import StoreError

_log = logging.getLogger(__name__)

_END = b"\xff" * 64
"""Comes after every name."""


class Page(NamedTuple):
    """The names that one call of the service lists, and whether it says that there are no more."""

    names: Sequence[bytes]
    last: bool


Pages = AsyncGenerator[Page, None]
_NO_PAGE = Page((), last=True)


class RecordNames:
    """Names by listing: the first page at once, the others in the background, and all of them now and then.

    A record that another node wrote since the latest listing counts as missing until the next one. One that this node
    wrote never does. A listing that ends early (at a bound, by a failure) is exact up to its last name.

    Args:
        pages: begins a listing, in ascending order where the service has one. A client library may send any number of
            requests for one page, so pages are bounded in time as well.
        most_pages: of one listing.
        page_seconds, listing_seconds: for one page, and for all that are listed in the background.
        every: seconds between two listings, for each of their pages.
        most: names; beyond it they are forgotten and listed anew.
        monotonic: seconds that no change of the clock touches.
    """

    def __init__(
        self,
        pages: Callable[[], Pages],
        *,
        most_pages: int = 20,
        page_seconds: float = 5.0,
        listing_seconds: float = 20.0,
        every: float = 60.0,
        most: int = 100_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pages = pages
        self._most_pages = most_pages
        self._page_seconds = page_seconds
        self._listing_seconds = listing_seconds
        self._every = every
        self._most = most
        self._monotonic = monotonic
        self._names: dict[bytes, bool] = {}
        """Each with whether this node wrote it."""
        self._up_to = b""
        """The listed names are all that there are before it, and it."""
        self._exact = True
        """Whether no name was forgotten since the latest listing began."""
        self._due = math.inf
        self._listing: asyncio.Task[None] | None = None

    def lacks(self, name: bytes) -> bool:
        """Return whether there was no record of this name when it was last looked for."""
        if self._monotonic() >= self._due:
            self._exact = True
            self._continue(self._pages(), b"", 0)
        return name <= self._up_to and name not in self._names

    def writing(self, name: bytes) -> None:
        """Count a name as there from now on, whatever a listing that is under way finds."""
        self._add(name, written=True)

    def gone(self, name: bytes) -> None:
        """Forget a name that was listed and is no longer there."""
        if self._names.get(name) is False:
            del self._names[name]

    async def open(self) -> None:
        """List the first page; an error of the service is the caller's."""
        await self.close()
        self._exact = True
        pages = self._pages()
        last = await self._page(pages, b"")
        if last is None:
            self._due = self._monotonic() + self._every
        else:
            self._continue(pages, last, 1)

    async def close(self) -> None:
        """End a listing that is under way."""
        self._due = math.inf
        if self._listing is not None:
            self._listing.cancel()
            await asyncio.gather(self._listing, return_exceptions=True)
            self._listing = None

    def _continue(self, pages: Pages, last: bytes, listed: int) -> None:
        self._due = math.inf
        self._listing = asyncio.create_task(self._rest(pages, last, listed), name="listing")

    async def _rest(self, pages: Pages, last: bytes | None, listed: int) -> None:
        try:
            async with asyncio.timeout(self._listing_seconds):
                while last is not None and listed < self._most_pages:
                    last = await self._page(pages, last)
                    listed += 1
        except Exception as error:  # noqa: BLE001 - what was listed stands, and other calls of the service report why
            _log.debug("a listing ended early: %s", error)
        finally:
            self._due = self._monotonic() + self._every * max(1, listed)
            await pages.aclose()

    async def _page(self, pages: Pages, last: bytes) -> bytes | None:
        """Take in one page; return its last name, or what comes after each where there is no order; None at the end.

        Raises:
            StoreError: the service fails, or takes longer than `page_seconds`.
        """
        try:
            async with asyncio.timeout(self._page_seconds):
                page = await anext(pages, None) or _NO_PAGE  # as `anext`'s default, Python 3.11 would unpack a tuple
        except TimeoutError:
            raise StoreError("no answer in time") from None
        for name in page.names:
            self._add(name, written=False)
        names = [last, *page.names]
        ordered = names == sorted(names)
        if self._exact and page.last:
            self._up_to = _END
        elif self._exact and ordered:
            self._up_to = max(self._up_to, names[-1])
        if page.last:
            return None
        return names[-1] if ordered else _END

    def _add(self, name: bytes, *, written: bool) -> None:
        if len(self._names) >= self._most and name not in self._names:
            self._names.clear()
            self._up_to = b""
            self._exact = False
        self._names[name] = written or self._names.get(name, False)

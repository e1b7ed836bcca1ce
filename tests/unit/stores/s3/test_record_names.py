"""What is known of a service's records: a listing may be late or short, but no name that is there counts as missing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from p2pcache.stores.driver import StoreError
from p2pcache.stores.s3.record_names import Page, Pages, RecordNames

SECONDS = 10.0


class Service:
    """Lists pages, each when it is let."""

    def __init__(self, *pages: Sequence[bytes], fails_at: int = 99, says_so: bool = True) -> None:
        self.pages = list(pages)
        self.fails_at = fails_at
        self.says_so = says_so
        self.listings = 0
        self.given = 0
        self.let = asyncio.Event()
        self.let.set()

    async def list(self) -> Pages:
        self.listings += 1
        for number, page in enumerate(self.pages):
            if number:
                await self.let.wait()
            if number == self.fails_at:
                raise StoreError("it cannot be reached")
            self.given += 1
            yield Page(page, last=self.says_so and number + 1 == len(self.pages))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def listed(names: RecordNames) -> None:
    task = names._listing
    if task is not None:
        await asyncio.wait_for(asyncio.wait([task]), SECONDS)


async def test_before_a_listing_nothing_is_missing(clock: Clock) -> None:
    assert not RecordNames(Service().list, monotonic=clock).lacks(b"a")


async def test_what_is_not_listed_is_missing(clock: Clock) -> None:
    service = Service([b"b"])
    names = RecordNames(service.list, monotonic=clock)
    await names.open()
    await listed(names)
    assert [name for name in (b"a", b"b", b"c") if names.lacks(name)] == [b"a", b"c"]
    await names.close()


async def test_a_service_need_not_say_which_page_is_the_last(clock: Clock) -> None:
    names = RecordNames(Service([b"b"], says_so=False).list, monotonic=clock)
    await names.open()
    await listed(names)
    assert names.lacks(b"c")
    await names.close()


async def test_an_empty_service_lacks_everything_at_once(clock: Clock) -> None:
    names = RecordNames(Service().list, monotonic=clock)
    await names.open()
    assert names.lacks(b"a")
    await names.close()


async def test_the_first_page_is_waited_for_and_the_others_are_not(clock: Clock) -> None:
    service = Service([b"b"], [b"d"])
    service.let.clear()
    names = RecordNames(service.list, monotonic=clock)
    await names.open()
    assert names.lacks(b"a")
    assert not names.lacks(b"c"), "it may be on the next page"
    service.let.set()
    await listed(names)
    assert names.lacks(b"c")
    assert not names.lacks(b"d")
    assert names.lacks(b"e")
    await names.close()


@pytest.mark.parametrize(("most_pages", "fails_at"), [(2, 99), (99, 2)], ids=["at its bound", "by a failure"])
async def test_a_listing_that_ends_early_is_exact_up_to_its_end(clock: Clock, most_pages: int, fails_at: int) -> None:
    service = Service([b"b"], [b"d"], [b"f"], fails_at=fails_at)
    names = RecordNames(service.list, most_pages=most_pages, monotonic=clock)
    await names.open()
    await listed(names)
    assert service.given == 2
    assert [name for name in (b"a", b"c", b"d", b"e", b"f", b"g") if names.lacks(name)] == [b"a", b"c"]
    await names.close()


async def test_without_an_order_only_a_whole_listing_counts(clock: Clock) -> None:
    service = Service([b"d"], [b"b", b"a"], [b"f"], says_so=False)
    names = RecordNames(service.list, most_pages=3, monotonic=clock)
    await names.open()
    await listed(names)
    assert names.lacks(b"c"), "the first page had an order"
    assert not names.lacks(b"e"), "it may come after the bound"
    names = RecordNames(Service(*service.pages).list, most_pages=3, monotonic=clock)
    await names.open()
    await listed(names)
    assert names.lacks(b"e")
    await names.close()


async def test_what_others_wrote_is_found_by_the_next_listing(clock: Clock) -> None:
    service = Service([b"b"])
    names = RecordNames(service.list, every=60.0, monotonic=clock)
    await names.open()
    await listed(names)
    service.pages = [[b"a", b"b"]]
    clock.now = 59.0
    assert names.lacks(b"a")
    assert service.listings == 1
    clock.now = 60.0
    assert names.lacks(b"a"), "the listing has only begun"
    await listed(names)
    assert not names.lacks(b"a")
    assert names.lacks(b"c")
    assert service.listings == 2
    await names.close()


async def test_large_stores_are_listed_less_often(clock: Clock) -> None:
    service = Service([b"a"], [b"b"], [b"c"])
    names = RecordNames(service.list, every=60.0, monotonic=clock)
    await names.open()
    await listed(names)
    clock.now = 179.0
    names.lacks(b"z")
    assert service.listings == 1
    clock.now = 240.0
    names.lacks(b"z")
    await listed(names)
    assert service.listings == 2
    await names.close()


async def test_a_name_that_this_node_writes_is_never_missing(clock: Clock) -> None:
    service = Service([b"b"], [b"d"])
    service.let.clear()
    names = RecordNames(service.list, monotonic=clock)
    await names.open()
    names.writing(b"c")
    names.gone(b"c")  # a look-up from before the write has found nothing
    service.let.set()
    await listed(names)
    assert not names.lacks(b"c"), "the listing passed by before it was written"
    await names.close()


async def test_what_is_gone_is_missing(clock: Clock) -> None:
    names = RecordNames(Service([b"a", b"b"]).list, monotonic=clock)
    await names.open()
    await listed(names)
    names.gone(b"a")
    names.gone(b"never there")
    assert names.lacks(b"a")
    assert not names.lacks(b"b")
    await names.close()


async def test_more_names_than_the_bound_make_nothing_missing(clock: Clock) -> None:
    service = Service([b"a", b"b"], [b"c", b"d"], [b"e"])
    names = RecordNames(service.list, most=3, monotonic=clock)
    await names.open()
    await listed(names)
    assert not any(names.lacks(name) for name in (b"a", b"b", b"bb", b"e", b"z"))
    await names.close()


async def test_an_error_of_the_first_page_is_the_callers(clock: Clock) -> None:
    names = RecordNames(Service([b"a"], fails_at=0).list, monotonic=clock)
    with pytest.raises(StoreError, match="cannot be reached"):
        await names.open()
    assert not names.lacks(b"b")
    await names.close()


async def test_a_first_page_that_does_not_end_is_an_error(clock: Clock) -> None:
    names = RecordNames(endless, page_seconds=0.01, monotonic=clock)
    with pytest.raises(StoreError, match="no answer in time"):
        await asyncio.wait_for(names.open(), SECONDS)
    assert not names.lacks(b"a")
    await names.close()


async def endless() -> Pages:
    """As a client library that follows from one empty page to the next without end."""
    await asyncio.Event().wait()
    yield Page((), last=True)


@pytest.mark.parametrize(("page_seconds", "listing_seconds"), [(0.01, SECONDS), (SECONDS, 0.01)])
async def test_a_later_page_that_does_not_end_ends_the_listing_until_the_next_one_is_due(
    clock: Clock, page_seconds: float, listing_seconds: float
) -> None:
    service = Service([b"b"], [b"d"])
    service.let.clear()
    names = RecordNames(
        service.list, page_seconds=page_seconds, listing_seconds=listing_seconds, every=60.0, monotonic=clock
    )
    await names.open()
    await listed(names)
    assert [name for name in (b"a", b"b", b"c") if names.lacks(name)] == [b"a"]
    clock.now = 59.0
    names.lacks(b"a")
    assert service.listings == 1
    service.let.set()
    clock.now = 60.0
    names.lacks(b"a")
    await listed(names)
    assert names.lacks(b"c")
    await names.close()


async def test_closing_ends_a_listing(clock: Clock) -> None:
    service = Service([b"a"], [b"b"])
    service.let.clear()
    names = RecordNames(service.list, monotonic=clock)
    await names.open()
    await names.close()
    clock.now = 1e9
    assert not names.lacks(b"b")
    assert (service.listings, service.given) == (1, 1)

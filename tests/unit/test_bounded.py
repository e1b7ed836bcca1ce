from collections.abc import AsyncIterator

import pytest

from p2pcache.bounded import Bounded, gathered


def test_the_entry_that_was_set_the_longest_ago_gives_way() -> None:
    known: Bounded[str, int] = Bounded(2)
    for name in ("a", "b", "a", "c"):
        known[name] = len(known)
    assert list(known) == ["a", "c"]


def test_the_entry_that_gave_way_is_returned() -> None:
    known: Bounded[str, int] = Bounded(1)
    assert known.put("a", 1) is None
    assert known.put("b", 2) == ("a", 1)


@pytest.mark.parametrize(
    ("most", "found", "read"), [(6, b"abcdef", 3), (7, b"abcdef", 3), (5, b"abcdef", 3), (1, b"ab", 1)]
)
async def test_no_more_is_read_than_shows_that_there_is_too_much(most: int, found: bytes, read: int) -> None:
    taken = []

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"ab", b"cd", b"ef"):
            taken.append(piece)
            yield piece

    assert (await gathered(pieces(), most), len(taken)) == (found, read)

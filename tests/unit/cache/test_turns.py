from __future__ import annotations

import asyncio

import pytest

from p2pcache.cache.turns import Turns


async def test_whoever_comes_later_waits_until_it_is_over() -> None:
    turns = Turns(patience=30)
    assert not await turns.wait(b"a")
    with turns.take(b"a"):
        waiting = asyncio.create_task(turns.wait(b"a"))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert not await turns.wait(b"b")
    assert await waiting
    assert not await turns.wait(b"a")


async def test_not_for_ever() -> None:
    turns = Turns(patience=0.01)
    with turns.take(b"a"):
        assert await turns.wait(b"a")
        with turns.take(b"a"):  # beside the one that takes so long
            pass
        assert await turns.wait(b"a")
    assert not await turns.wait(b"a")


async def test_a_failure_ends_a_turn_too() -> None:
    turns = Turns(patience=30)
    with pytest.raises(OSError), turns.take(b"a"):
        raise OSError
    assert not await turns.wait(b"a")

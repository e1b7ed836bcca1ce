"""The node as the swarm's thread sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
import trio

from p2pcache.swarm.bridge import Bridge
from p2pcache.swarm.bridged_node import BridgedNode
from tests.unit.swarm.conftest import Configs, Pointers, Run
from tests.unit.swarm.lab import Store, running, until


def test_a_node_that_does_nothing_it_is_told_is_silent(run: Run) -> None:
    told: list[Callable[[], object]] = []

    class Deaf:
        def post_back(self, work: Callable[[], object]) -> None:
            told.append(work)

    async def test() -> None:
        local = BridgedNode(cast("Bridge", Deaf()), Store(), Store(), lambda _: None)
        assert local.silence() == 0.0
        await trio.sleep(1.0)
        assert local.silence() == pytest.approx(1.0)
        told.pop()()
        assert local.silence() == 0.0
        assert len(told) == 1

    run(test)


async def test_a_store_that_fails_is_an_empty_one(config: Configs, pointer: Pointers) -> None:
    async with running(config("a"), config("b")) as [(node, a), (_, b)]:
        held = pointer()
        node.broken = True
        await a.tier.store(held, b"")
        await until(lambda: b.tier.find(held.name))
        assert await b.tier.block(held) is None
        assert b.counters() == {"peer_miss": 1}

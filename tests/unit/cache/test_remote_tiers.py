"""What any fleet stored, at any time: candidates for a proof that costs nothing, and never waited for in vain."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import msgspec
import pytest

from p2pcache.cache.decide import Rule
from p2pcache.cache.entry import Entry
from p2pcache.cache.library import TierLimits
from p2pcache.stores.store_tier import StoreTier
from p2pcache.testing.nodes import MemoryNode
from tests.support.stores import SHELF, MemoryDriver, Shared
from tests.unit.cache.lab import Lab, kept

REPO = "/repos/octo/app"
ONE, TWO = "ghp_one", "ghp_two"
QUERY = json.dumps({"query": 'query { repository(owner: "octo", name: "app") { name } }'}).encode()


@pytest.fixture
def shared() -> Shared:
    return Shared()


def member(lab: Lab, driver: MemoryDriver, **options: object) -> MemoryNode:
    return lab.node(tiers=[StoreTier(SHELF, driver, lab.keyring)], **options)


async def stored(lab: Lab, shared: Shared, *targets: str, token: str = ONE) -> None:
    """Have a fleet ask, store and end."""
    node = member(lab, MemoryDriver(shared))
    for target in targets:
        await node.get(target, token)
    await node.library.close()
    lab.forget()


def quota(lab: Lab, left: int) -> dict[str, str]:
    bucket = {"limit": 1000, "remaining": left, "reset": round(lab.clock()) + 3000, "resource": "core"}
    return {f"x-ratelimit-{name}": str(value) for name, value in bucket.items()}


async def commit(lab: Lab) -> str:
    """What is addressed by a full SHA."""
    answer = kept(await lab.node().get(f"{REPO}/commits/main", ONE))
    return f"{REPO}/git/commits/{json.loads(answer.entry.block.body)['sha']}"


@pytest.mark.parametrize("token", [ONE, TWO])
async def test_a_second_fleet_pays_nothing(lab: Lab, shared: Shared, token: str) -> None:
    await stored(lab, shared, REPO, f"{REPO}/labels")
    second = member(lab, MemoryDriver(shared))
    for target in (REPO, f"{REPO}/labels"):
        assert kept(await second.get(target, token)).forwarded == 304
        assert kept(await second.get(target, token)).hit == "memory"
    assert lab.calls == [304, 304]


async def test_what_is_found_there_is_proved_even_within_its_lifetime(lab: Lab, shared: Shared) -> None:
    await stored(lab, shared, REPO)
    lab.github.edit("octo/app", description="New")
    answer = kept(await member(lab, MemoryDriver(shared)).get(REPO, ONE))
    assert (answer.forwarded, b"New" in answer.entry.block.body) == (200, True)


async def test_what_never_changes_is_served_to_its_own_scope_without_a_proof(lab: Lab, shared: Shared) -> None:
    target = await commit(lab)
    await stored(lab, shared, target)
    own = kept(await member(lab, MemoryDriver(shared)).get(target, ONE))
    assert (own.hit, own.rule, lab.calls) == ("shelf", Rule.FRESH, [])
    other = kept(await member(lab, MemoryDriver(shared)).get(target, TWO))
    assert (other.forwarded, lab.calls) == (304, [304])


async def test_but_not_where_only_this_nodes_own_proofs_count(lab: Lab, shared: Shared) -> None:
    target = await commit(lab)
    await stored(lab, shared, target)
    await member(lab, MemoryDriver(shared), verified=True).get(target, ONE)
    assert lab.calls == [304]


@pytest.mark.parametrize(
    ("etag", "dated", "records"), [("e", None, 1), (None, "Sat, 21 Nov 2026 00:00:00 GMT", 1), (None, None, 0)]
)
async def test_what_no_304_can_prove_stays_at_home(
    lab: Lab, shared: Shared, etag: str | None, dated: str | None, records: int
) -> None:
    node = member(lab, MemoryDriver(shared))
    entry = kept(await lab.node().get(REPO, ONE)).entry
    block, sealed = entry.block, (await node.library.seal(entry.block))[1]
    pointer = msgspec.structs.replace(entry.pointer, etag=etag, last_modified=dated)
    node.library.keep(Entry(pointer, block), sealed)
    await node.library.close()
    assert len(shared.records) == records


async def test_nor_does_a_graphql_answer_go_there(lab: Lab, shared: Shared) -> None:
    node = member(lab, MemoryDriver(shared))
    await node.get("/graphql", ONE, body=QUERY)
    await node.library.close()
    assert not shared.records


async def test_a_slow_service_is_waited_for_no_longer_than_github(lab: Lab, shared: Shared) -> None:
    await stored(lab, shared, REPO)
    driver = MemoryDriver(shared)
    node = member(lab, driver, limits=TierLimits(patience=0.01, impatience=0.01, find=60.0))
    await node.library.remotes[0].open()
    driver.hanging = True
    for number in range(5):
        await node.get(f"{REPO}/issues/{number + 1}", ONE)
    assert node.errors["shelf_timeout"] == 3, "then it is left alone"
    tier = node.library.remotes[0]
    assert tier.trouble == "shelf: the shelf: it answers more slowly than GitHub"
    await node.library.close()


@pytest.mark.parametrize(("github_takes", "statuses"), [(0.0, [200]), (60.0, [304])])
async def test_a_service_is_waited_for_as_long_as_github_takes_for_that_operation(
    lab: Lab, shared: Shared, github_takes: float, statuses: list[int]
) -> None:
    await stored(lab, shared, REPO)
    driver = MemoryDriver(shared, seconds=0.1)
    limits = TierLimits(patience=60.0 - github_takes, impatience=0.01, find=60.0, block=60.0)
    node = member(lab, driver, limits=limits)
    driver.hanging = not github_takes
    node.engine._origin.times.observe(node.wanted(REPO, ONE).read.shape, github_takes)
    async with asyncio.timeout(30):
        await node.get(REPO, ONE)
    assert lab.calls == statuses
    driver.hanging = False
    await node.library.close()


async def test_how_long_github_takes_is_measured(lab: Lab) -> None:
    node = lab.node()
    shape = node.wanted(REPO, ONE).read.shape
    assert node.engine._origin.times.usual(shape) is None
    await node.get(REPO, ONE)
    assert node.engine._origin.times.usual(shape) is not None


@pytest.mark.parametrize(("left", "statuses"), [(900, [200]), (20, [304])])
async def test_while_the_quota_is_short_it_is_waited_for_longer(
    lab: Lab, shared: Shared, left: int, statuses: list[int]
) -> None:
    await stored(lab, shared, REPO)
    node = member(lab, MemoryDriver(shared, seconds=0.1), limits=TierLimits(patience=0.01, find=60.0, block=60.0))
    node.buckets.observe(node.wanted(REPO, ONE).bucket, quota(lab, left))
    await node.get(REPO, ONE)
    assert lab.calls == statuses
    await node.library.close()


class Awaited(StoreTier):
    """A tier to which another node brings what it is waited for."""

    def __init__(self, driver: MemoryDriver, brings: Shared, lab: Lab) -> None:
        super().__init__(SHELF, driver, lab.keyring)
        self.awaited: list[bytes] = []
        self._driver_of_it, self._brings = driver, brings

    async def arrival(self, resource: bytes) -> bool:
        self.awaited.append(resource)
        self._driver_of_it.shared = self._brings
        return resource in self._brings.records


@pytest.mark.parametrize(
    ("left", "target", "waited", "statuses"),
    [
        pytest.param(900, REPO, False, [200], id="enough is left"),
        pytest.param(20, REPO, True, [304], id="it comes"),
        pytest.param(20, f"{REPO}/labels", True, [200], id="it does not come"),
    ],
)
async def test_while_the_quota_is_short_what_another_node_may_bring_is_waited_for(
    lab: Lab, shared: Shared, left: int, target: str, waited: bool, statuses: list[int]
) -> None:
    await stored(lab, shared, REPO)
    tier = Awaited(MemoryDriver(), shared, lab)
    node = lab.node(tiers=[tier])
    node.buckets.observe(node.wanted(target, ONE).bucket, quota(lab, left))
    await node.get(target, ONE)
    assert tier.awaited == [node.wanted(target, ONE).name] * waited
    assert lab.calls == statuses
    await node.get("/graphql", ONE, body=QUERY)
    assert len(tier.awaited) == waited
    await node.library.close()


async def test_nothing_is_waited_for_where_nobody_brings_anything(lab: Lab) -> None:
    node = member(lab, MemoryDriver())
    node.buckets.observe(node.wanted(REPO, ONE).bucket, quota(lab, 20))
    await node.get(REPO, ONE)
    assert lab.calls == [200]
    await node.library.close()


async def test_a_members_block_is_not_stored_there_for_it(lab: Lab, shared: Shared) -> None:
    node = member(lab, MemoryDriver(shared))
    entry = kept(await lab.node().get(REPO, ONE)).entry
    node.library.adopt(entry.pointer, b"sealed")
    await node.library.close()
    assert not shared.records


async def test_it_is_opened_when_the_node_starts(lab: Lab, shared: Shared) -> None:
    driver = MemoryDriver(shared)
    node = member(lab, driver)
    node.library.start()
    await driver.called.wait()
    assert driver.calls == {"open": 1}
    await node.library.close()


async def test_an_opening_that_hangs_does_not_hold_up_the_end(lab: Lab, shared: Shared) -> None:
    driver = MemoryDriver(shared)
    driver.hanging = True
    node = member(lab, driver, limits=TierLimits(close=60.0, flush=60.0))
    node.library.start()
    await driver.called.wait()
    async with asyncio.timeout(20):
        await node.library.close()


async def test_a_drop_does_not_go_there(lab: Lab, shared: Shared) -> None:
    await stored(lab, shared, REPO)
    driver = MemoryDriver(shared)
    node = member(lab, driver)
    await node.wrote("PATCH", REPO)
    assert not driver.calls


def test_the_library_knows_its_services(lab: Lab) -> None:
    tier = StoreTier(SHELF, MemoryDriver(), lab.keyring)
    assert lab.node(tiers=[tier], limits=replace(TierLimits())).library.remotes == [tier]
    assert lab.node().library.remotes == []

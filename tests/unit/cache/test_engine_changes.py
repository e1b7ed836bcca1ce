"""What the engine does about change: writes, refusals of what was given before, and the rest of the fleet."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec
import pytest

from p2pcache.backends import Backend, Reach
from p2pcache.cache.answer import Answer, Cached, Forwarded
from p2pcache.cache.entry import CID_PREFIX, Pointer
from p2pcache.cache.lookup import MAX_MISSING
from p2pcache.cache.tiers import Freed
from p2pcache.cache.upstream import UpstreamError
from p2pcache.github.request import Request
from p2pcache.testing import MemorySwarm, Verdict
from p2pcache.testing.conformance import make
from p2pcache.testing.nodes import Clock, MemoryNode
from tests.unit.cache.lab import Lab, kept

REPO, VAULT = "/repos/octo/app", "/repos/octo/vault"
ONE, TWO = "ghp_one", "ghp_two"
QUERY = json.dumps({"query": 'query { repository(owner: "octo", name: "app") { name } }'}).encode()


def forwarded(answer: Answer) -> int | None:
    assert isinstance(answer, Cached | Forwarded)
    return answer.forwarded


def asking(node: MemoryNode, target: str, token: str | None = ONE, **options: Any) -> asyncio.Task[Answer]:
    return asyncio.create_task(node.get(target, token, **options))


async def turn() -> None:
    """Let everybody get to where they wait."""
    for _ in range(20):
        await asyncio.sleep(0)


class TestWrites:
    async def test_what_a_write_may_have_changed_is_asked_for_again(self, lab: Lab) -> None:
        node = lab.node()
        await node.get(f"{REPO}/issues", ONE)
        await node.wrote("POST", f"{REPO}/issues")
        assert kept(await node.get(f"{REPO}/issues", ONE)).forwarded == 200

    async def test_an_answer_that_a_write_overtook_is_for_who_asked_before(self, lab: Lab) -> None:
        node, gate = lab.node(), lab.gate(judged=True)
        before = asking(node, REPO)
        await gate.arrived.wait()
        lab.github.edit("octo/app", description="Written")
        await node.wrote("PATCH", REPO)
        after = asking(node, REPO)  # does not join who asked before the write
        await turn()
        gate.opened.set()
        old, new = kept(await before), kept(await after)
        assert (old.stored, old.entry.alive) == (False, False)
        assert b"Written" not in old.entry.block.body
        assert b"Written" in new.entry.block.body
        assert kept(await node.get(REPO, ONE)).entry == new.entry


class TestRefusals:
    """GitHub refuses what it gave before."""

    LABELS, ISSUES = f"{VAULT}/labels", f"{VAULT}/issues"

    async def fill(self, lab: Lab) -> MemoryNode:
        node = lab.node()
        for token in (ONE, TWO):
            for target in (self.LABELS, self.ISSUES, REPO):
                await node.get(target, token)
        lab.clock.sleep(61)
        await node.get(self.LABELS, ONE)
        await node.get(self.LABELS, TWO)
        await node.get(REPO, ONE)
        return node

    async def test_a_repository_that_is_hidden_goes_with_all_in_it(self, lab: Lab) -> None:
        node = await self.fill(lab)
        lab.github.revoke(ONE, "octo/vault")
        for target in (self.ISSUES, self.LABELS):
            assert isinstance(await node.get(target, ONE), Forwarded)
        assert kept(await node.get(self.LABELS, TWO)).hit == "memory"
        assert kept(await node.get(REPO, ONE)).hit == "memory"

    async def test_a_token_that_is_revoked_loses_everything(self, lab: Lab) -> None:
        node = await self.fill(lab)
        lab.github.revoke(ONE)
        for target in (self.ISSUES, self.LABELS, REPO):
            answer = await node.get(target, ONE)
            assert isinstance(answer, Forwarded)
            assert answer.forwarded == 401
        assert kept(await node.get(self.LABELS, TWO)).hit == "memory"

    async def test_a_permission_is_that_of_one_resource(self, lab: Lab) -> None:
        node = await self.fill(lab)
        lab.answers(403, {}, b'{"message":"Resource not accessible by integration"}')
        assert isinstance(await node.get(self.ISSUES, ONE), Forwarded)
        assert kept(await node.get(self.LABELS, ONE)).hit == "memory"
        lab.down()
        with pytest.raises(UpstreamError):  # not even while GitHub cannot answer
            await node.get(self.ISSUES, ONE)

    @pytest.mark.parametrize("status", [401, 403, 404])
    async def test_what_is_refused_in_one_representation_is_in_none(self, lab: Lab, status: int) -> None:
        node = await self.fill(lab)
        await node.get(REPO, TWO)
        lab.answers(status)
        ways: list[dict[str, Any]] = [{"accept": "*/*"}, {}]
        for fields in ways:
            assert forwarded(await node.get(REPO, ONE, **fields)) == status
        assert kept(await node.get(REPO, TWO)).hit == "memory"

    async def test_a_404_for_what_was_never_had_drops_nothing(self, lab: Lab) -> None:
        node = await self.fill(lab)
        await node.get(f"{VAULT}/issues/999", ONE)
        assert kept(await node.get(self.LABELS, ONE)).hit == "memory"

    @pytest.mark.parametrize("path", ["/orgs/octo/repos", "/repositories/5/issues"])
    async def test_outside_of_a_named_repository_too(self, lab: Lab, path: str) -> None:
        node = lab.node()
        lab.answers(200, {}, b'["x"]')
        await node.get(path, ONE)
        lab.expire()
        lab.answers(404)
        await node.get(path, ONE)
        lab.down()
        with pytest.raises(UpstreamError):
            await node.get(path, ONE)


class TestFleet:
    async def test_a_second_node_is_served_by_the_first(self, lab: Lab) -> None:
        first, second = lab.pair()
        await first.get(REPO, ONE)
        await turn()
        assert kept(await second.get(REPO, ONE)).hit == "peer"
        assert kept(await second.get(REPO, ONE)).hit == "memory"
        assert kept(await second.get(REPO, TWO)).hit == "revalidated"
        assert lab.github.charged() == 1

    async def test_one_call_for_the_fleet(self, lab: Lab) -> None:
        first, second = lab.pair()
        gate = lab.gate(judged=True)
        tasks = [asking(first, REPO), asking(second, REPO), asking(second, REPO, TWO)]
        await gate.arrived.wait()
        await turn()
        gate.opened.set()
        assert [kept(each).hit for each in await asyncio.gather(*tasks)] == [None, "peer", "revalidated"]
        assert lab.github.charged() == 1

    async def test_what_one_left_and_cannot_deliver_is_asked_for_once_more_not_by_all(self, lab: Lab) -> None:
        swarm = MemorySwarm(deadline=0.25)
        leader = swarm.join()
        nodes = [lab.node(peer=leader), *(lab.node(peer=swarm.join()) for _ in range(5))]
        gate = lab.gate(judged=True)
        leading = asking(nodes[0], REPO)
        await gate.arrived.wait()
        following = [asking(node, REPO) for node in nodes[1:]]
        await turn()
        leader.delay = 10.0
        gate.opened.set()

        async def slow(_request: Request, answer: Callable[[], Verdict]) -> Verdict:
            await asyncio.sleep(0.5)  # longer than it takes all of them to give up on what was left
            return answer()

        lab.upstream.around = slow
        hits = [kept(each).hit for each in await asyncio.gather(leading, *following)]
        assert hits.count("peer") == 4
        assert lab.calls == [200, 200]

    async def test_a_caller_that_is_cancelled_leaves_the_call_to_one_other(self, lab: Lab) -> None:
        swarm = MemorySwarm()
        nodes = [lab.node(peer=swarm.join()) for _ in range(5)]
        gate = lab.gate(judged=False)
        leading = asking(nodes[0], REPO)
        await gate.arrived.wait()
        waiting, *following = [asking(node, REPO) for node in nodes[1:]]
        await turn()
        waiting.cancel()
        leading.cancel()
        gate.opened.set()
        hits = [kept(each).hit for each in await asyncio.gather(*following)]
        assert sorted(map(str, hits)) == ["None", "peer", "peer"]
        assert lab.calls == [200]

    async def test_who_was_freed_twice_in_vain_asks_for_itself(self, lab: Lab) -> None:
        asked = []

        class Vain:
            async def acquire(self, resource: bytes, scope: bytes, *, again: bool = False) -> Freed[Pointer]:
                asked.append(again)
                return Freed()

        assert kept(await lab.node(leases=Vain()).get(REPO, ONE)).forwarded == 200
        assert asked == [False, True]

    async def test_a_caller_that_is_cancelled_without_a_lease_gives_none_back(self, lab: Lab) -> None:
        class Broken:
            async def acquire(self, resource: bytes, scope: bytes, *, again: bool = False) -> Freed[Pointer]:
                raise OSError

        node = lab.node(leases=Broken())
        gate = lab.gate(judged=False)
        leading, following = asking(node, REPO), asking(node, REPO)
        await gate.arrived.wait()
        leading.cancel()
        gate.opened.set()
        assert kept(await following).forwarded == 200

    async def test_what_one_was_refused_each_asks_for_itself_at_once(self, lab: Lab) -> None:
        swarm = MemorySwarm()
        nodes = [lab.node(peer=swarm.join()) for _ in range(3)]
        gate = lab.gate(judged=True)
        tasks = [asking(node, f"{REPO}/issues/404404") for node in nodes]
        await gate.arrived.wait()
        await turn()
        assert len(lab.calls) == 1
        gate.opened.set()
        assert [forwarded(answer) for answer in await asyncio.gather(*tasks)] == [404] * 3
        assert lab.calls == [404] * 3

    async def test_a_write_is_seen_at_the_other_node(self, lab: Lab) -> None:
        first, second = lab.pair()
        await first.get(REPO, ONE)
        lab.github.edit("octo/app", description="Written")
        await first.wrote("PATCH", REPO)
        assert b"Written" in kept(await second.get(REPO, ONE)).entry.block.body

    async def test_blocks_that_nobody_has_hold_nobody_up_for_long(self, lab: Lab) -> None:
        first, second = lab.pair()
        await first.get(REPO, ONE)
        await first.close()
        lost = lab.swarm.peers[0]
        lost.blocks.clear()
        answer = kept(await second.get(REPO, ONE))
        assert (answer.hit, answer.forwarded) == (None, 200)

    async def test_but_not_for_each_that_is_announced(self, lab: Lab) -> None:
        hollow = Hollow(lab.clock, 10)
        node = lab.node(tiers=[hollow])
        hollow.scope = node.wanted(REPO, ONE).scope
        assert kept(await node.get(REPO, ONE)).forwarded == 200
        assert hollow.asked == MAX_MISSING


class Hollow:
    """A tier that announces answers of `scope`, as many as one likes, and has none."""

    backend = Backend("hollow", "hollow", "a hollow", "", Reach.HOST, 0.0)

    def __init__(self, clock: Clock, count: int) -> None:
        self.scope = b""
        self.asked = 0
        self._clock = clock
        self._count = count

    async def find(self, resource: bytes) -> Sequence[Pointer]:
        pointer = make(proved_at=self._clock() - 1, expires_at=self._clock() + 30).pointer
        changed = {"name": resource, "scope": self.scope}
        return [
            msgspec.structs.replace(pointer, cid=CID_PREFIX + bytes([n]) * 32, **changed) for n in range(self._count)
        ]

    async def block(self, pointer: Pointer) -> bytes | None:
        self.asked += 1
        return None

    async def store(self, pointer: Pointer, sealed: bytes) -> None:
        pass

    async def drop(self, topics: Collection[bytes], scope: bytes | None = None, until: float = math.inf) -> None:
        pass

    async def close(self) -> None:
        pass


class SlowLease:
    """Takes its time to be given back."""

    waited = True

    def __init__(self, releasing: asyncio.Event) -> None:
        self._releasing = releasing

    async def release(self, result: Pointer | None) -> None:
        self._releasing.set()
        await asyncio.sleep(0.2)

    async def abandon(self) -> None:
        await self.release(None)


async def test_who_is_cancelled_while_giving_a_lease_back_gives_back_the_others(lab: Lab) -> None:
    releasing = asyncio.Event()

    class Slow:
        async def acquire(self, resource: bytes, scope: bytes, *, again: bool = False) -> SlowLease:
            return SlowLease(releasing)

    node = lab.node(leases=Slow())
    task = asyncio.create_task(node.get(REPO, ONE))
    await releasing.wait()
    task.cancel()
    await asyncio.wait([task])
    assert len(node.engine._callers) == 0

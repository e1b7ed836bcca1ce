"""The tiers as one, whatever they do: late drops, slow and broken tiers, blocks of all sizes, bounds."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from p2pcache.backends import Backend, Reach
from p2pcache.cache.disk import Disk
from p2pcache.cache.entry import Block, Pointer
from p2pcache.cache.library import LARGE, TierLimits
from p2pcache.cache.sealing import Keyring, generate_secret
from p2pcache.cache.tiers import Freed
from p2pcache.testing import MemorySwarm
from p2pcache.testing.nodes import MemoryNode
from tests.unit.cache.lab import Lab, kept

REPO = "/repos/octo/app"
ONE, TWO = "ghp_one", "ghp_two"


class Shelf:
    """A tier that a test can make slow, broken or deaf."""

    def __init__(self, name: str = "shelf") -> None:
        self.backend = Backend(name, name, f"a {name}", "", Reach.HOST, 0.0)
        self.pointers: dict[tuple[bytes, bytes], Pointer] = {}
        self.blocks: dict[bytes, bytes] = {}
        self.broken = self.hanging = self.deaf = False
        self.stored = 0

    async def _suffer(self) -> None:
        if self.broken:
            raise OSError("the shelf fell down")
        if self.hanging:
            await asyncio.Event().wait()

    async def find(self, resource: bytes) -> Sequence[Pointer]:
        await self._suffer()
        return [pointer for (name, _), pointer in self.pointers.items() if name == resource]

    async def block(self, pointer: Pointer) -> bytes | None:
        await self._suffer()
        return self.blocks.get(pointer.cid)

    async def store(self, pointer: Pointer, sealed: bytes) -> None:
        await self._suffer()
        self.stored += 1
        self.pointers[pointer.name, pointer.scope] = pointer
        self.blocks[pointer.cid] = sealed

    async def drop(self, topics: Collection[bytes], scope: bytes | None = None, until: float = math.inf) -> None:
        await self._suffer()
        if not self.deaf:
            self.pointers = {
                key: p
                for key, p in self.pointers.items()
                if set(topics).isdisjoint(p.topics) or scope not in (None, p.scope) or p.proved_at > until
            }

    async def close(self) -> None:
        await self._suffer()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


IMPATIENT = TierLimits(find=0.02, block=0.02, store=0.02, drop=0.02, late_drop=0.02, close=0.2)


@pytest.fixture
def lab(lab: Lab) -> Lab:
    """Its nodes wait for no tier."""
    lab.options = {"limits": IMPATIENT}
    return lab


async def stored(node: MemoryNode, target: str = REPO, token: str = ONE) -> None:
    """Ask, wait until the tiers have it, and forget it in memory."""
    await node.get(target, token)
    await node.close()
    node.library.memory.clear()


async def test_what_a_tier_has_comes_back_to_memory(lab: Lab, shelf: Shelf) -> None:
    node = lab.node(tiers=[shelf])
    await stored(node)
    assert kept(await node.get(REPO, ONE)).hit == "shelf"
    assert kept(await node.get(REPO, ONE)).hit == "memory"
    assert (shelf.stored, lab.calls) == (1, [200])


async def test_the_nearest_tier_answers_and_the_others_learn_of_it(lab: Lab, shelf: Shelf) -> None:
    near = Shelf("near")
    node = lab.node(tiers=[near, shelf])
    await stored(node)
    near.blocks.clear()  # announced, but gone
    assert kept(await node.get(REPO, ONE)).hit == "shelf"
    await node.close()
    assert near.blocks == shelf.blocks


async def test_a_late_answer_of_a_tier_is_shared_but_not_kept_after_a_write(
    lab: Lab, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = lab.node(tiers=[shelf])
    await stored(node)
    reading, go_on = asyncio.Event(), asyncio.Event()
    whole = shelf.block

    async def slow(pointer: Pointer) -> bytes | None:
        found = await whole(pointer)
        reading.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(shelf, "block", slow)
    answering = asyncio.create_task(node.get(REPO, ONE))
    await reading.wait()
    node.library.invalidate(node.wanted(REPO, ONE).topics)
    go_on.set()
    assert kept(await answering).hit == "shelf"
    assert len(node.library.memory) == 0


@pytest.mark.parametrize("how", ["deaf", "hanging"])
async def test_what_a_write_dropped_does_not_come_back_from_a_tier_that_missed_it(
    lab: Lab, shelf: Shelf, how: str
) -> None:
    node = lab.node(tiers=[shelf])
    await stored(node)
    setattr(shelf, how, True)
    lab.github.edit("octo/app", description="Written")
    await node.wrote("PATCH", REPO)
    shelf.hanging = False
    lab.clock.sleep(1)
    assert b"Written" in kept(await node.get(REPO, ONE)).entry.block.body
    lab.down()
    assert kept(await node.get(REPO, ONE)).hit == "memory"


async def test_a_write_takes_the_ground_from_what_was_vouched_for_before_it(lab: Lab) -> None:
    node = lab.node()
    before = kept(await node.get(REPO, ONE)).entry.pointer
    apart = kept(await node.get("/repos/octo/vault", ONE)).entry.pointer
    assert node.library.stands(before)
    lab.clock.sleep(1)
    await node.wrote("PATCH", REPO)
    assert not node.library.stands(before)
    assert node.library.stands(apart)
    lab.clock.sleep(1)
    assert node.library.stands(kept(await node.get(REPO, ONE)).entry.pointer)


async def test_a_peers_write_is_obeyed_at_once_in_memory(lab: Lab, shelf: Shelf) -> None:
    node = lab.node(tiers=[shelf])
    await node.get(REPO, ONE)
    await node.get(f"{REPO}/labels", TWO)
    topics, mine = node.wanted(REPO, ONE).topics, node.wanted(REPO, ONE)
    node.library.drop_soon(topics, mine.scope)
    assert node.engine.hit(mine) is None
    assert node.engine.hit(node.wanted(f"{REPO}/labels", TWO)) is not None
    await node.close()
    assert [p.scope for p in shelf.pointers.values()] == [node.wanted(REPO, TWO).scope]


async def test_a_write_heard_of_late_leaves_what_github_vouched_for_since(lab: Lab, shelf: Shelf) -> None:
    node = lab.node(tiers=[shelf])
    await node.get(REPO, ONE)
    lab.clock.sleep(5)
    written = lab.clock()
    lab.clock.sleep(5)
    await node.get(f"{REPO}/labels", ONE)
    old, new = node.wanted(REPO, ONE), node.wanted(f"{REPO}/labels", ONE)
    node.library.drop_soon({*old.topics, *new.topics}, None, written)
    assert node.engine.hit(old) is None
    assert node.engine.hit(new) is not None
    assert node.library.dropped(new) == written
    await node.close()
    assert [p.name for p in shelf.pointers.values()] == [new.name]


async def test_watchers_are_called_with_each_drop(lab: Lab) -> None:
    node, seen = lab.node(), []
    node.library.watchers.append(lambda topics, scope: seen.append((set(topics), scope)))
    node.library.drop_soon({b"a"}, None)
    await node.library.drop({b"b", b"c"}, b"scope")
    assert seen == [({b"a"}, None), ({b"b", b"c"}, b"scope")]
    await node.close()


async def test_a_local_drop_leaves_the_peers_alone(lab: Lab) -> None:
    swarm = MemorySwarm()
    shelf, peer = Shelf(), swarm.join()
    node = lab.node(tiers=[shelf], peer=peer)
    await stored(node)
    await node.library.drop(node.wanted(REPO, ONE).topics, local=True)
    assert (len(shelf.pointers), len(peer.pointers)) == (0, 1)


@pytest.mark.parametrize(("how", "counted"), [("broken", "shelf_error"), ("hanging", "shelf_timeout")])
class TestTrouble:
    async def test_a_tier_never_breaks_a_request(self, lab: Lab, shelf: Shelf, how: str, counted: str) -> None:
        setattr(shelf, how, True)
        node = lab.node(tiers=[shelf])
        assert kept(await node.get(REPO, ONE)).forwarded == 200
        await node.wrote("PATCH", REPO)
        await node.close()
        assert kept(await node.get(REPO, ONE)).forwarded == 200
        assert set(node.errors) == {counted}
        assert node.errors[counted] >= 3

    async def test_nor_does_one_that_fails_halfway(
        self, lab: Lab, shelf: Shelf, how: str, counted: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        node = lab.node(tiers=[shelf])
        await stored(node)
        find = shelf.find

        async def fail_after(resource: bytes) -> Sequence[Pointer]:
            setattr(shelf, how, False)
            found = await find(resource)
            setattr(shelf, how, True)
            return found

        monkeypatch.setattr(shelf, "find", fail_after)
        assert kept(await node.get(REPO, ONE)).forwarded == 200
        assert node.errors[counted] >= 1

    async def test_nor_do_leases(self, lab: Lab, how: str, counted: str) -> None:
        trouble = Shelf()
        setattr(trouble, how, True)

        class Lease:
            waited = True

            async def release(self, left: Pointer | None) -> None:
                await trouble._suffer()

            async def abandon(self) -> None:
                await trouble._suffer()

        class Leases:
            async def acquire(self, resource: bytes, scope: bytes, *, again: bool = False) -> Lease | Freed[Pointer]:
                if resource == given.name:
                    return Lease()
                await trouble._suffer()
                return Freed()

        node = lab.node(leases=Leases())
        node.engine.policy.acquire_seconds = node.engine.policy.release_seconds = 0.02
        given = node.wanted(REPO, ONE)
        assert kept(await node.get(REPO, ONE)).forwarded == 200
        assert kept(await node.get(f"{REPO}/labels", ONE)).forwarded == 200
        assert node.errors == {counted.replace("shelf", "lease"): 2}


async def test_a_tier_that_fails_is_reported_once(lab: Lab, shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    shelf.broken = True
    node = lab.node(tiers=[shelf])
    for number in range(3):
        await node.get(f"{REPO}/issues/{number}", ONE)
    assert len([r for r in caplog.records if "shelf" in r.getMessage()]) == 1


async def test_a_block_that_was_tampered_with_is_nobodys_answer(lab: Lab) -> None:
    swarm = MemorySwarm()
    liar, node = swarm.join(), lab.node(peer=swarm.join())
    await lab.node(peer=liar).get(REPO, ONE)
    await lab.nodes[-1].close()
    liar.corrupt = True
    assert kept(await node.get(REPO, ONE)).forwarded == 200
    assert node.errors["peer_block"] >= 1


async def test_a_clock_that_runs_ahead_makes_nothing_live_longer(lab: Lab, shelf: Shelf) -> None:
    node = lab.node(tiers=[shelf])
    await stored(node)
    now = lab.clock()
    for key, pointer in shelf.pointers.items():
        shelf.pointers[key] = msgspec.structs.replace(pointer, proved_at=now + 200, expires_at=now + 90_000)
    lab.clock.sleep(1)
    pointer = kept(await node.get(REPO, ONE)).entry.pointer
    assert (pointer.proved_at, pointer.expires_at) == (now + 1, now + 61)


@pytest.mark.parametrize("size", [10, LARGE * 4])
async def test_blocks_of_every_size_go_round(lab: Lab, shelf: Shelf, size: int) -> None:
    node = lab.node(tiers=[shelf])
    body = random.Random(1).randbytes(size)
    lab.answers(200, {"content-type": "application/octet-stream"}, body)
    await stored(node)
    assert kept(await node.get(REPO, ONE)).entry.block.body == body
    assert kept(await node.get(REPO, ONE)).hit == "memory"


async def test_a_peer_gets_from_memory_what_is_there(lab: Lab) -> None:
    node = lab.node()
    entry = kept(await node.get(REPO, ONE)).entry
    cid, sealed = await node.library.seal(entry.block)
    assert node.library.sealed(cid) == sealed
    assert node.library.sealed(b"unknown") is None
    lab.github.edit("octo/app", description="New")
    lab.expire()
    await node.get(REPO, ONE)
    assert node.library.sealed(cid) is None


async def test_in_a_rotation_a_peer_gets_the_very_block_that_was_announced(lab: Lab) -> None:
    old, new = generate_secret(), generate_secret()
    node = lab.node(keyring=Keyring.from_secrets([old]))
    entry = kept(await node.get(REPO, ONE)).entry
    cid, sealed = await node.library.seal(entry.block)
    node.keyring.replace(Keyring.from_secrets([new, old]))
    assert node.library.sealed(cid) == sealed
    node.keyring.replace(Keyring.from_secrets([new]))
    assert node.library.sealed(cid) is None, "better than bytes under another name"


async def test_a_proof_in_a_rotation_seals_for_those_that_have_the_new_secret_alone(lab: Lab, shelf: Shelf) -> None:
    old, new = generate_secret(), generate_secret()
    for secrets in ([old], [new, old], [new]):
        node = lab.node(tiers=[shelf], keyring=Keyring.from_secrets(secrets))
        assert kept(await node.get(REPO, ONE)).entry.block.status == 200
        await node.close()
        lab.clock.sleep(1)
    assert [call.status for call in lab.github.calls] == [200, 304], "and no third"


async def test_what_peers_hold_is_adopted_but_not_announced_again(lab: Lab) -> None:
    peer, shelf = MemorySwarm().join(), Shelf()
    node = lab.node(tiers=[shelf], peer=peer)
    pointer = kept(await lab.node().get(REPO, ONE)).entry.pointer
    node.library.adopt(pointer, b"sealed")
    await node.close()
    assert (list(shelf.pointers.values()), peer.pointers) == ([pointer], {})


async def test_too_much_to_store_stays_in_memory(lab: Lab, shelf: Shelf) -> None:
    node = lab.node(tiers=[shelf], limits=replace(IMPATIENT, background=0))
    await node.get(REPO, ONE)
    await node.close()
    assert kept(await node.get(REPO, ONE)).hit == "memory"
    assert shelf.stored == 0


async def test_places_are_bounded(lab: Lab) -> None:
    node = lab.node(limits=replace(IMPATIENT, places=1))
    first = kept(await node.get(REPO, ONE)).entry.pointer.cid
    second = kept(await node.get(f"{REPO}/labels", ONE)).entry.pointer.cid
    assert node.library.sealed(first) is None
    assert node.library.sealed(second) is not None


async def test_at_the_end_nobody_waits_for_a_tier_that_hangs(lab: Lab, shelf: Shelf) -> None:
    node = lab.node(tiers=[shelf], limits=replace(IMPATIENT, store=60.0, close=0.01))
    wanted, block = node.wanted(REPO, ONE), Block(200, (), b"{}")
    shelf.hanging = True
    entry = kept(await lab.node().get(REPO, ONE)).entry
    node.library.keep(entry, (await node.library.seal(block))[1])
    await node.close()
    assert node.engine.hit(wanted) is not None


async def test_the_store_of_the_host_is_among_the_tiers(lab: Lab, tmp_path: Path) -> None:
    disk = Disk(tmp_path, lab.keyring, 1 << 20)
    peer = lab.swarm.join()
    assert lab.node(tiers=[disk], peer=peer).library.store is disk
    assert lab.node(peer=peer).library.store is None

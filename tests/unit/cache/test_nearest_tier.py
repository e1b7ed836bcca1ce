"""Disk and peers are asked side by side, and what this host has comes first all the same."""

from __future__ import annotations

from pathlib import Path

import msgspec

from p2pcache.cache.disk import Disk
from p2pcache.cache.entry import Pointer
from p2pcache.testing import MemorySwarm
from p2pcache.testing.nodes import MemoryNode
from p2pcache.testing.peers import MemoryPeer
from tests.unit.cache.lab import Lab, kept

REPO, ONE = "/repos/octo/app", "ghp_one"


async def prepared(lab: Lab, tmp_path: Path) -> tuple[MemoryNode, MemoryPeer]:
    """The peer asked GitHub; GitHub changed; this node asked, and has the newer answer on its disk alone."""
    swarm = MemorySwarm()
    disk = Disk(tmp_path, lab.keyring, 64 << 20, clock=lab.clock)
    other = swarm.join("other")
    peer_node = lab.node(peer=other)
    await peer_node.get(REPO, ONE)
    await peer_node.library.flush()
    lab.clock.sleep(30)
    lab.github.edit("octo/app", description="changed meanwhile")
    before = lab.node(tiers=[disk])
    await before.get(REPO, ONE)
    await before.library.flush()
    lab.clock.sleep(1)
    lab.forget()
    return lab.node(tiers=[disk], peer=swarm.join("me")), other  # the same host, started again


async def test_own_disk_hit_needs_no_peer(lab: Lab, tmp_path: Path) -> None:
    node, other = await prepared(lab, tmp_path)
    other.die(noticed=False)
    assert kept(await node.get(REPO, ONE)).hit == "disk"
    assert other.moved == 0


async def test_own_newer_answer_is_not_replaced_by_an_older_one(lab: Lab, tmp_path: Path) -> None:
    node, _ = await prepared(lab, tmp_path)
    answer = kept(await node.get(REPO, ONE))
    assert b"changed meanwhile" in answer.entry.block.body, "of the two, its own is the newer"


async def test_announcements_that_cannot_be_had_do_not_cost_a_call(lab: Lab, tmp_path: Path) -> None:
    """One member announces three blocks of a resource and gives none (`Directory.find` returns all of them)."""
    swarm = MemorySwarm()
    disk = Disk(tmp_path, lab.keyring, 64 << 20, clock=lab.clock)
    before = lab.node(tiers=[disk])
    pointer = kept(await before.get(REPO, ONE)).entry.pointer
    await before.library.flush()
    lab.forget()
    me = swarm.join("me")
    false = [msgspec.structs.replace(pointer, cid=pointer.cid[:-1] + bytes([n])) for n in range(3)]

    async def find(resource: bytes) -> list[Pointer]:
        return false if resource == pointer.name else []

    me.tier.find = find  # type: ignore[method-assign]
    answer = kept(await lab.node(tiers=[disk], peer=me).get(REPO, ONE))
    assert (answer.hit, lab.calls) == ("disk", [])

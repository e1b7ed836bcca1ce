"""What any tier and any leases must do, whatever they are made of.

A test module subclasses `TierConformance` and gives it the fixture ``tier``: an empty tier, closed afterwards; or
`LeasesConformance` with the fixtures ``members`` (the leases of two members, which may be one and the same) and
``left`` (something that a holder may leave). The tests are coroutines: pytest-asyncio runs them.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Any

import msgspec

from p2pcache import backends
from p2pcache.backends import Reach
from p2pcache.cache.codec import open_block, seal_block
from p2pcache.cache.entry import Block, Pointer
from p2pcache.cache.sealing import Keyring
from p2pcache.cache.tiers import Freed, Lease, Leases, Tier

KEYRING = Keyring.from_secrets(["0f1e2d3c4b5a69788796a5b4c3d2e1f00918273645546372819a0bfcdeaf"])


@dataclasses.dataclass(frozen=True)
class Stored:
    """A pointer with its sealed block."""

    pointer: Pointer
    sealed: bytes


def make(
    resource: str = "/repos/octo/hello",
    *,
    scope: str = "actions:octo/hello",
    body: bytes = b'{"name": "hello"}',
    topics: Sequence[str] = ("repo:octo/hello",),
    keyring: Keyring = KEYRING,
    **changes: object,
) -> Stored:
    """An entry as a node makes it."""
    block = Block(200, (("content-type", "application/json"),), body)
    cid, sealed = seal_block(keyring, block)
    pointer = Pointer(
        name=keyring.resource_name(resource.encode()),
        scope=keyring.scope_name(scope),
        cid=cid,
        etag='W/"0123"',
        last_modified=None,
        link='<https://api.github.com/repositories/1/issues?page=2>; rel="next"',
        lifetime="normal",
        proved_at=1000.0,
        expires_at=1060.0,
        cost_ms=120,
        size=len(sealed),
        by="",
        topics=tuple(map(keyring.topic_name, topics)),
    )
    return Stored(msgspec.structs.replace(pointer, **changes), sealed)


class TierConformance:
    """The contract of `p2pcache.cache.tiers.Tier`."""

    async def test_it_declares_itself(self, tier: Tier) -> None:
        assert tier.backend in backends.known()

    async def test_an_empty_tier_finds_nothing(self, tier: Tier) -> None:
        kept = make()
        assert list(await tier.find(kept.pointer.name)) == []
        assert await tier.block(kept.pointer) is None

    async def test_what_is_stored_is_found_whole(self, tier: Tier) -> None:
        kept = make()
        await tier.store(kept.pointer, kept.sealed)
        assert list(await tier.find(kept.pointer.name)) == [kept.pointer]
        sealed = await tier.block(kept.pointer)
        assert sealed is not None
        assert open_block(KEYRING, kept.pointer.cid, sealed).body == b'{"name": "hello"}'

    async def test_every_scope_of_a_resource_is_found(self, tier: Tier) -> None:
        entries = [make(scope=scope) for scope in ("actions:octo/hello", "token:1", "anonymous")]
        for kept in entries:
            await tier.store(kept.pointer, kept.sealed)
        found = await tier.find(entries[0].pointer.name)
        assert {p.scope for p in found} == {kept.pointer.scope for kept in entries}

    async def test_a_renewed_pointer_replaces_the_old_one(self, tier: Tier) -> None:
        old, new = make(), make(proved_at=200_000.0, expires_at=200_060.0)
        await tier.store(old.pointer, old.sealed)
        await tier.store(new.pointer, new.sealed)
        assert list(await tier.find(new.pointer.name)) == [new.pointer]
        assert await tier.block(new.pointer) == new.sealed

    async def test_a_new_body_comes_before_the_old_one(self, tier: Tier) -> None:
        old, new = make(body=b"old"), make(body=b"new", proved_at=2000.0)
        await tier.store(old.pointer, old.sealed)
        await tier.store(new.pointer, new.sealed)
        assert next(iter(await tier.find(new.pointer.name))) == new.pointer
        assert await tier.block(new.pointer) == new.sealed

    async def test_two_resources_may_share_a_block(self, tier: Tier) -> None:
        if not tier.backend.droppable:
            return  # what it finds needs a proof
        one, two = make("/one", topics=["one"]), make("/two", topics=["two"])
        assert one.pointer.cid == two.pointer.cid
        await tier.store(one.pointer, one.sealed)
        await tier.store(two.pointer, two.sealed)
        await tier.drop(one.pointer.topics)
        assert list(await tier.find(one.pointer.name)) == []
        assert await tier.block(two.pointer) == two.sealed

    async def test_any_topic_drops(self, tier: Tier) -> None:
        if not tier.backend.droppable:
            return  # what it finds needs a proof
        kept, other = make(topics=["a", "b"]), make("/other", topics=["c"])
        await tier.store(kept.pointer, kept.sealed)
        await tier.store(other.pointer, other.sealed)
        await tier.drop([KEYRING.topic_name("b"), KEYRING.topic_name("unknown")])
        assert list(await tier.find(kept.pointer.name)) == []
        assert list(await tier.find(other.pointer.name)) == [other.pointer]

    async def test_a_drop_may_be_of_one_scope(self, tier: Tier) -> None:
        if not tier.backend.droppable:
            return  # what it finds needs a proof
        mine, other = make(scope="token:1"), make(scope="token:2")
        await tier.store(mine.pointer, mine.sealed)
        await tier.store(other.pointer, other.sealed)
        await tier.drop(mine.pointer.topics, mine.pointer.scope)
        assert list(await tier.find(mine.pointer.name)) == [other.pointer]

    async def test_a_drop_heard_of_late_leaves_what_is_newer(self, tier: Tier) -> None:
        if tier.backend.reach is Reach.FLEET or not tier.backend.droppable:
            return  # members hear of it from its author, by a way of their own; or what it finds needs a proof
        old, new = make("/old", proved_at=1000.0), make("/new", proved_at=1500.0)
        for kept in (old, new):
            await tier.store(kept.pointer, kept.sealed)
        await tier.drop(old.pointer.topics, None, 1000.0)
        assert list(await tier.find(old.pointer.name)) == []
        assert list(await tier.find(new.pointer.name)) == [new.pointer]
        await tier.drop(new.pointer.topics)
        assert list(await tier.find(new.pointer.name)) == []

    async def test_the_topics_of_a_renewed_pointer_are_the_new_ones(self, tier: Tier) -> None:
        if not tier.backend.droppable:
            return  # what it finds needs a proof
        old, new = make(topics=["old"]), make(topics=["new"], proved_at=2000.0)
        await tier.store(old.pointer, old.sealed)
        await tier.store(new.pointer, new.sealed)
        await tier.drop([KEYRING.topic_name("old")])
        assert list(await tier.find(new.pointer.name)) == [new.pointer]
        await tier.drop([KEYRING.topic_name("new")])
        assert list(await tier.find(new.pointer.name)) == []

    async def test_dropping_nothing_drops_nothing(self, tier: Tier) -> None:
        kept = make()
        await tier.store(kept.pointer, kept.sealed)
        await tier.drop([])
        assert list(await tier.find(kept.pointer.name)) == [kept.pointer]

    async def test_bytes_that_do_not_match_the_cid_never_pass_for_the_block(self, tier: Tier) -> None:
        kept = make()
        await tier.store(kept.pointer, b"forged")
        sealed = await tier.block(kept.pointer)
        assert sealed is None or sealed == b"forged"  # the caller verifies; what must not happen is an exception

    async def test_many_at_once(self, tier: Tier) -> None:
        entries = [make(f"/{i}", body=b"%d" % i * 100) for i in range(40)]
        await asyncio.gather(*(tier.store(kept.pointer, kept.sealed) for kept in entries))
        found = await asyncio.gather(*(tier.find(kept.pointer.name) for kept in entries))
        assert [list(f) for f in found] == [[kept.pointer] for kept in entries]
        assert await asyncio.gather(*(tier.block(kept.pointer) for kept in entries)) == [k.sealed for k in entries]


_RESOURCE, _SCOPE, _OTHER = b"r" * 32, b"s" * 16, b"o" * 16
"""`make(name=_RESOURCE)` is what a holder of it may leave."""
_SECONDS = 20.0
_PROBES = 10
"""Resources, one of which at least another member arbitrates, so that its answer comes the way the claim went."""

Members = tuple[Leases[Any], Leases[Any]]


async def _held(leases: Leases[Any], resource: bytes = _RESOURCE) -> Lease[Any]:
    """A lease of what nobody holds; a release may be on its way still."""
    async with asyncio.timeout(_SECONDS):
        while isinstance(got := await leases.acquire(resource, _SCOPE), Freed):
            pass
    return got


async def _waiting(leases: Leases[Any], scope: bytes = _SCOPE) -> asyncio.Task[Lease[Any] | Freed[Any]]:
    """One whose claim has arrived: claims that this member makes after it have been answered."""
    task = asyncio.create_task(leases.acquire(_RESOURCE, scope))
    await asyncio.sleep(0)
    for number in range(_PROBES):
        await (await _held(leases, b"probe %d" % number + b"." * 25)).release(None)
    assert not task.done(), "it has to wait for the holder"
    return task


async def _end(task: asyncio.Task[Lease[Any] | Freed[Any]]) -> Lease[Any] | Freed[Any]:
    async with asyncio.timeout(_SECONDS):
        return await task


class LeasesConformance:
    """The contract of `p2pcache.cache.tiers.Leases`, between two members."""

    async def test_the_first_waits_for_nobody(self, members: Members) -> None:
        lease = await _held(members[0])
        await lease.release(None)
        await (await _held(members[1])).release(None)

    async def test_another_resource_is_another_lease(self, members: Members) -> None:
        lease = await _held(members[0])
        await (await _held(members[1], b"another one".ljust(32))).release(None)
        await lease.release(None)

    async def test_the_others_of_a_scope_are_freed_by_what_was_left(self, members: Members, left: object) -> None:
        lease = await _held(members[0])
        waiting = [await _waiting(member) for member in members]
        await lease.release(left)
        for task in waiting:
            assert isinstance(await _end(task), Freed)

    async def test_and_when_nothing_was_left(self, members: Members) -> None:
        lease = await _held(members[0])
        waiting = await _waiting(members[1])
        await lease.release(None)
        assert await _end(waiting) == Freed(None)

    async def test_another_scope_has_its_turn_afterwards(self, members: Members, left: object) -> None:
        lease = await _held(members[0])
        waiting = await _waiting(members[1], _OTHER)
        await lease.release(left)
        after = await _end(waiting)
        assert not isinstance(after, Freed)
        assert after.waited
        await after.release(None)

    async def test_a_lease_that_is_abandoned_is_the_next_ones(self, members: Members) -> None:
        lease = await _held(members[0])
        waiting = await _waiting(members[1])
        await lease.abandon()
        after = await _end(waiting)
        assert not isinstance(after, Freed)
        assert after.waited
        await after.release(None)

    async def test_one_that_no_longer_waits_is_passed_over(self, members: Members) -> None:
        lease = await _held(members[0])
        leaving = await _waiting(members[1])
        staying = await _waiting(members[1])
        leaving.cancel()
        await asyncio.wait([leaving])
        await lease.abandon()
        after = await _end(staying)
        assert not isinstance(after, Freed)
        await after.release(None)

    async def test_a_lease_ends_once(self, members: Members) -> None:
        lease = await _held(members[0])
        await lease.release(None)
        after = await _held(members[1])
        waiting = await _waiting(members[1])
        await lease.release(None)
        await lease.abandon()
        await asyncio.wait([waiting], timeout=0.05)
        assert not waiting.done(), "the lease is another one's now"
        await after.release(None)
        assert isinstance(await _end(waiting), Freed)

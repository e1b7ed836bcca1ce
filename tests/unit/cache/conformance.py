"""What any tier must do, whatever it is made of. A test module subclasses `TierConformance` and gives it `tier`."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

import msgspec
import pytest

from p2pcache.cache.codec import open_block, seal_block
from p2pcache.cache.entry import Block, Pointer
from p2pcache.cache.sealing import Keyring
from p2pcache.cache.tiers import Tier

KEYRING = Keyring.from_secrets(["0f1e2d3c4b5a69788796a5b4c3d2e1f00918273645546372819a0bfcdeaf"])


@dataclasses.dataclass(frozen=True)
class Kept:
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
) -> Kept:
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
    return Kept(msgspec.structs.replace(pointer, **changes), sealed)


class TierConformance:
    """Subclasses override the fixture `tier` with an empty tier that is closed afterwards."""

    @pytest.fixture
    def tier(self) -> Tier:
        raise pytest.UsageError("a conformance test gives its own tier")

    async def test_it_has_a_name(self, tier: Tier) -> None:
        assert tier.name.isidentifier()

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
        old, new = make(), make(proved_at=2000.0, expires_at=2060.0)
        await tier.store(old.pointer, old.sealed)
        await tier.store(new.pointer, new.sealed)
        assert list(await tier.find(new.pointer.name)) == [new.pointer]
        assert await tier.block(new.pointer) == new.sealed

    async def test_a_new_body_replaces_the_old_one(self, tier: Tier) -> None:
        old, new = make(body=b"old"), make(body=b"new")
        await tier.store(old.pointer, old.sealed)
        await tier.store(new.pointer, new.sealed)
        assert list(await tier.find(new.pointer.name)) == [new.pointer]
        assert await tier.block(new.pointer) == new.sealed

    async def test_two_resources_may_share_a_block(self, tier: Tier) -> None:
        one, two = make("/one", topics=["one"]), make("/two", topics=["two"])
        assert one.pointer.cid == two.pointer.cid
        await tier.store(one.pointer, one.sealed)
        await tier.store(two.pointer, two.sealed)
        await tier.drop(one.pointer.topics)
        assert list(await tier.find(one.pointer.name)) == []
        assert await tier.block(two.pointer) == two.sealed

    async def test_any_topic_drops(self, tier: Tier) -> None:
        kept, other = make(topics=["a", "b"]), make("/other", topics=["c"])
        await tier.store(kept.pointer, kept.sealed)
        await tier.store(other.pointer, other.sealed)
        await tier.drop([KEYRING.topic_name("b"), KEYRING.topic_name("unknown")])
        assert list(await tier.find(kept.pointer.name)) == []
        assert list(await tier.find(other.pointer.name)) == [other.pointer]

    async def test_a_drop_may_be_of_one_scope(self, tier: Tier) -> None:
        mine, other = make(scope="token:1"), make(scope="token:2")
        await tier.store(mine.pointer, mine.sealed)
        await tier.store(other.pointer, other.sealed)
        await tier.drop(mine.pointer.topics, mine.pointer.scope)
        assert list(await tier.find(mine.pointer.name)) == [other.pointer]

    async def test_a_drop_heard_of_late_leaves_what_is_newer(self, tier: Tier) -> None:
        old, new = make("/old", proved_at=1000.0), make("/new", proved_at=1500.0)
        for kept in (old, new):
            await tier.store(kept.pointer, kept.sealed)
        await tier.drop(old.pointer.topics, None, 1000.0)
        assert list(await tier.find(old.pointer.name)) == []
        assert list(await tier.find(new.pointer.name)) == [new.pointer]
        await tier.drop(new.pointer.topics)
        assert list(await tier.find(new.pointer.name)) == []

    async def test_the_topics_of_a_renewed_pointer_are_the_new_ones(self, tier: Tier) -> None:
        old, new = make(topics=["old"]), make(topics=["new"])
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

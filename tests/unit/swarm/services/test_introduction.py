"""The first three frames: members find each other, strangers learn nothing but why not."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from p2pcache.swarm import Limits
from p2pcache.swarm.protocol import membership_proof as proof
from p2pcache.swarm.protocol.frames import MAGIC, MAJOR, MINOR, Bye, Hello, Ping, Proof, Welcome, encode
from p2pcache.swarm.protocol.handshake import Card, Member
from p2pcache.swarm.rules.reasons import OURS, THEIRS, Ended, Reason
from p2pcache.swarm.services.introduction import Incoming, introduce
from p2pcache.swarm.services.link import LinkError
from tests.support.memory_network import MemoryLink
from tests.unit.swarm.conftest import Links, Run

KEY, OTHER = b"k" * 32, b"o" * 32
LIMITS = Limits()


async def outcome(
    link: MemoryLink, me: str, keys: tuple[bytes, ...], card: Card | None = None, limits: Limits = LIMITS
) -> Ended | Member:
    try:
        return await introduce(link, Incoming(link), me, card or Card(False, ()), keys, limits)
    except Ended as ended:
        return ended
    finally:
        await trio.aclose_forcefully(link.stream)


async def both(
    links: Links, one_keys: tuple[bytes, ...], other_keys: tuple[bytes, ...]
) -> tuple[Ended | Member, Ended | Member, MemoryLink, MemoryLink]:
    one, other = links("A", "B")
    results: dict[str, Ended | Member] = {}

    async def side(name: str, link: MemoryLink, me: str, keys: tuple[bytes, ...], card: Card | None = None) -> None:
        results[name] = await outcome(link, me, keys, card)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(side, "one", one, "A", one_keys, Card(True, ("/ip4/10.0.0.1/tcp/1",)))
        nursery.start_soon(side, "other", other, "B", other_keys)
    return results["one"], results["other"], one, other


def test_members_introduce_each_other(links: Links, run: Run) -> None:
    async def test() -> None:
        one, other, link, _ = await both(links, (KEY,), (KEY,))
        assert one == Member("B", False, (), 0.0)
        assert other == Member("A", True, ("/ip4/10.0.0.1/tcp/1",), 0.0)
        assert link.trusted

    run(test)


@pytest.mark.parametrize(
    ("one", "other"), [((KEY, OTHER), (OTHER, KEY)), ((OTHER, KEY), (KEY, OTHER))], ids=["new first", "old first"]
)
def test_a_rotation_in_progress(links: Links, run: Run, one: tuple[bytes, bytes], other: tuple[bytes, bytes]) -> None:
    async def test() -> None:
        results = await both(links, one, other)
        assert all(isinstance(result, Member) for result in results[:2])

    run(test)


def test_another_secret_is_refused_on_both_sides_at_once(links: Links, run: Run) -> None:
    async def test() -> None:
        began = trio.current_time()
        one, other, link, _ = await both(links, (KEY,), (OTHER,))
        for ended in (one, other):
            assert isinstance(ended, Ended)
            assert ended.reason is Reason.SECRET
            assert "CACHE_SECRET" in str(ended)
        assert trio.current_time() - began < 0.2
        assert not link.trusted

    run(test)


async def against(
    links: Links,
    script: Callable[[MemoryLink, Incoming], Awaitable[Reason | None]],
    me: str = "A",
    limits: Limits = LIMITS,
) -> tuple[Ended | Member, Reason | None]:
    """This node as A against a peer B that follows a script."""
    mine, theirs = links(me, "B")
    result = []

    async def node() -> None:
        result.append(await outcome(mine, me, (KEY,), limits=limits))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(node)
        heard = await script(theirs, Incoming(theirs))
        await trio.aclose_forcefully(theirs.stream)
    return result[0], heard


async def refused(
    links: Links, script: Callable[[MemoryLink, Incoming], Awaitable[Reason | None]]
) -> tuple[Ended, Reason | None]:
    ended, heard = await against(links, script)
    assert isinstance(ended, Ended)
    return ended, heard


def hello(**changes: Any) -> Hello:
    fields: dict[str, Any] = {
        "magic": MAGIC,
        "major": MAJOR,
        "minor": MINOR,
        "nonce": proof.nonce(),
        "clock": time.time(),
    }
    return Hello(**(fields | changes))


async def last_word(incoming: Incoming) -> Reason:
    """The reason the node gave."""
    while True:
        frame = await incoming.next()
        if isinstance(frame, Bye):
            return Reason.of(frame.reason)


async def prove(link: MemoryLink, incoming: Incoming, mine: Hello) -> None:
    theirs = await incoming.next()
    assert isinstance(theirs, Hello)
    await link.write(encode(Proof(proof.prove(KEY, "B", "A", mine.nonce, theirs.nonce))))


async def welcome(link: MemoryLink, incoming: Incoming) -> None:
    await link.write(encode(Welcome(False, ())))
    while not isinstance(await incoming.next(), Welcome):
        pass


def test_a_version_from_the_future_is_named(links: Links, run: Run) -> None:
    async def script(link: MemoryLink, incoming: Incoming) -> Reason:
        await link.write(encode(hello(major=MAJOR + 1)))
        return await last_word(incoming)

    async def test() -> None:
        ended, heard = await refused(links, script)
        assert heard is Reason.VERSION
        assert str(ended) == OURS[Reason.VERSION]

    run(test)


def test_a_newer_minor_version_is_welcome(links: Links, run: Run) -> None:
    async def script(link: MemoryLink, incoming: Incoming) -> None:
        mine = hello(minor=MINOR + 5)
        await link.write(encode(mine))
        await prove(link, incoming, mine)
        await welcome(link, incoming)

    async def test() -> None:
        member, _ = await against(links, script)
        assert isinstance(member, Member)

    run(test)


@pytest.mark.parametrize(("offset", "skew"), [(0.1, 0.0), (250.0, 250.0), (-250.0, -250.0)])
def test_skew_within_five_minutes_is_measured(links: Links, run: Run, offset: float, skew: float) -> None:
    async def script(link: MemoryLink, incoming: Incoming) -> None:
        mine = hello(clock=time.time() + offset)
        await link.write(encode(mine))
        await prove(link, incoming, mine)
        await welcome(link, incoming)

    async def test() -> None:
        member, _ = await against(links, script)
        assert isinstance(member, Member)
        assert member.skew == pytest.approx(skew, abs=0.5)

    run(test)


def test_a_clock_further_off_is_refused(links: Links, run: Run) -> None:
    async def script(link: MemoryLink, incoming: Incoming) -> Reason:
        mine = hello(clock=time.time() + 400)
        await link.write(encode(mine))
        await prove(link, incoming, mine)
        return await last_word(incoming)

    async def test() -> None:
        ended, heard = await refused(links, script)
        assert heard is Reason.CLOCK
        assert "NTP" in str(ended)

    run(test)


def test_a_replayed_proof_is_refused(links: Links, run: Run) -> None:
    """Recorded from a session of B with A; A's nonce is another by now."""

    async def script(link: MemoryLink, incoming: Incoming) -> Reason:
        mine = hello()
        await link.write(encode(mine))
        recorded = proof.prove(KEY, "B", "A", mine.nonce, b"r" * 32)
        await link.write(encode(Proof(recorded)))
        return await last_word(incoming)

    async def test() -> None:
        ended, heard = await refused(links, script)
        assert ended.reason is heard is Reason.SECRET

    run(test)


def test_a_proof_sent_back_is_refused(links: Links, run: Run) -> None:
    async def script(link: MemoryLink, incoming: Incoming) -> Reason:
        for kind in (Hello, Proof):
            theirs = await incoming.next()
            assert isinstance(theirs, kind)
            await link.write(encode(theirs))
        return await last_word(incoming)

    async def test() -> None:
        ended, heard = await refused(links, script)
        assert ended.reason is heard is Reason.SECRET

    run(test)


@pytest.mark.parametrize(
    "said",
    [encode(Ping(1)), b"GET / HTTP/1.1\r\n\r\n", encode(hello(magic="other")), b"\xff" * 100],
    ids=["out of turn", "HTTP", "another protocol", "noise"],
)
def test_garbage_is_refused(links: Links, run: Run, said: bytes) -> None:
    async def script(link: MemoryLink, incoming: Incoming) -> Reason:
        await link.write(said)
        return await last_word(incoming)

    async def test() -> None:
        ended, heard = await refused(links, script)
        assert ended.reason is heard is Reason.GARBAGE

    run(test)


def test_a_stranger_that_says_nothing_is_not_waited_for(links: Links, run: Run) -> None:
    async def script(link: MemoryLink, incoming: Incoming) -> Reason:
        return await last_word(incoming)

    async def test() -> None:
        began = trio.current_time()
        ended, heard = await refused(links, script)
        assert ended.reason is heard is Reason.SILENT
        assert trio.current_time() - began < LIMITS.handshake_timeout + 0.5

    run(test)


def test_a_stranger_that_leaves(links: Links, run: Run) -> None:
    async def script(link: MemoryLink, incoming: Incoming) -> None:
        await link.write(encode(hello()))

    async def test() -> None:
        ended, _ = await refused(links, script)
        assert ended.reason is Reason.BROKEN

    run(test)


def test_a_link_that_breaks_under_the_writer(links: Links, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        mine, _ = links("A", "B")

        async def write(data: bytes) -> None:
            raise LinkError("broken")

        monkeypatch.setattr(mine, "write", write)
        ended = await outcome(mine, "A", (KEY,))
        assert isinstance(ended, Ended)
        assert ended.reason is Reason.BROKEN

    run(test)


@pytest.mark.parametrize("how", ["breaks", "ends"])
def test_a_link_that_breaks_under_the_reader(links: Links, run: Run, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    async def test() -> None:
        mine, _ = links("A", "B")

        async def read() -> bytes:
            if how == "ends":
                return b""
            raise LinkError("broken")

        monkeypatch.setattr(mine, "read", read)
        with pytest.raises(Ended) as ended:
            await Incoming(mine).next()
        assert ended.value.reason is Reason.BROKEN

    run(test)


def test_a_farewell_over_a_broken_link(links: Links, run: Run) -> None:
    async def test() -> None:
        mine, theirs = links("A", "A")
        await trio.aclose_forcefully(theirs.stream)
        await trio.aclose_forcefully(mine.stream)
        ended = await outcome(mine, "A", (KEY,))
        assert isinstance(ended, Ended)
        assert ended.reason is Reason.ITSELF

    run(test)


def test_the_peers_reason_is_told_in_its_words(links: Links, run: Run) -> None:
    async def script(link: MemoryLink, incoming: Incoming) -> None:
        await link.write(encode(Bye(int(Reason.VERSION))))

    async def test() -> None:
        ended, _ = await refused(links, script)
        assert not ended.ours
        assert str(ended) == THEIRS[Reason.VERSION]

    run(test)


def test_every_reason_has_a_sentence_and_an_unknown_one_is_leaving() -> None:
    for reason in Reason:
        assert str(Ended(reason))
        assert str(Ended(reason, ours=False))
        assert Reason.of(int(reason)) is reason
    assert Reason.of(200) is Reason.LEAVING

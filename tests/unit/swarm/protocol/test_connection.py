"""A member's stream without the stream: by table, and by any split of the bytes."""

from __future__ import annotations

import hashlib
import struct
from typing import ClassVar, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.cache.entry import CID_PREFIX
from p2pcache.swarm import Limits
from p2pcache.swarm.protocol.connection import Acknowledged, BlockBegun, BlockEnded, Closed, Connection, IncomingBlock
from p2pcache.swarm.protocol.frames import (
    CHUNK,
    MINOR,
    Ack,
    AnyFrame,
    Bye,
    Drop,
    Frame,
    FrameDecoder,
    Get,
    Have,
    Hello,
    Miss,
    NewerFrame,
    Part,
    Peers,
    Ping,
    Pong,
    Quota,
    encode,
    parts,
)
from p2pcache.swarm.protocol.handshake import Member
from p2pcache.swarm.rules.reasons import Reason

PEER = "12D3KooW" + "A" * 44
NEWER = 120
"""A tag that no version has yet."""


LIMITS = Limits()


def connection(limits: Limits = LIMITS, minor: int = MINOR, hub: bool = False, now: float = 0.0) -> Connection:
    decoder = FrameDecoder()
    decoder.minor = minor
    return Connection(Member(PEER, hub, (), 0.0, minor), limits, decoder, now)


def fetch(it: Connection, cid: bytes, size: int) -> IncomingBlock:
    """Ask for a block of a peer whose queue has room."""
    block = it.fetch(cid, size)
    assert block is not None
    return block


def written(it: Connection) -> list[AnyFrame | NewerFrame]:
    """All frames that wait."""
    data = b""
    while more := it.outbox.take()[0]:
        data += more
    return [frame for frame, _ in FrameDecoder().feed(data)]


def framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


def newer(*fields: str) -> bytes:
    return framed(msgspec.msgpack.encode([NEWER, *fields]))


def drop(topics: tuple[bytes, ...]) -> Drop:
    return Drop(1, PEER, 1, 0.0, topics, None, bytes(64))


FRAMES = st.sampled_from(
    [
        encode(Ping(1)),
        encode(Have(())),
        encode(Miss(1)),
        encode(Part(1, 10, b"12345")),
        encode(Part(1, 10, b"67890")),
        encode(Part(1, 5, b"67890")),
        encode(Ack(3)),
        encode(Get(1, CID_PREFIX + bytes(32))),
        encode(drop((b"t" * 16,))),
        newer("x" * 100),
        encode(Bye(0)),
        b"\xff\xff\xff\xff",
        framed(b"\xc1"),
    ]
)


@given(st.lists(FRAMES, max_size=12), st.lists(st.integers(1, 60), max_size=20), st.integers(MINOR, MINOR + 1))
def test_any_split_of_the_bytes_gives_the_same_events(sent: list[bytes], cuts: list[int], minor: int) -> None:
    limits = Limits(announce_burst=300, announce_rate=0.0, drop_burst=2_000, drop_rate=0.0)
    whole, split = connection(limits, minor), connection(limits, minor)
    for each in (whole, split):
        assert fetch(each, CID_PREFIX + bytes(32), 10).token == 1
    data = b"".join(sent)
    events, got = whole.receive_data(data, 1.0), []
    for cut in [*cuts, len(data)]:
        piece, data = data[:cut], data[cut:]
        got += split.receive_data(piece, 1.0)
    assert got == events
    assert written(split) == written(whole)
    assert all(not isinstance(event, Closed) for event in events[:-1])


@pytest.mark.parametrize("size", [0, 1, CHUNK, 3 * CHUNK + 5])
def test_a_block_arrives_in_parts(size: int) -> None:
    sealed = bytes(size)
    cid = CID_PREFIX + hashlib.sha256(sealed).digest()
    it = connection()
    block = fetch(it, cid, size)
    assert written(it) == [Get(block.token, cid)]
    events = [event for part in parts(block.token, sealed) for event in it.receive_data(encode(part), 1.0)]
    assert events == [BlockBegun(block.token), BlockEnded(block.token)]
    assert block.complete
    assert block.data == sealed
    assert block.is_named(cid)
    assert not block.is_named(CID_PREFIX + bytes(32))
    it.forget(block)
    it.forget(block)
    assert it.receive_data(encode(Miss(block.token)), 1.0) == []


@pytest.mark.parametrize("answer", [Miss(1), Part(1, 11, b"x")], ids=["a miss", "larger than announced"])
def test_a_block_that_will_not_come(answer: Miss | Part) -> None:
    it = connection()
    block = fetch(it, CID_PREFIX + bytes(32), 10)
    assert it.receive_data(encode(answer), 1.0) == [BlockBegun(1), BlockEnded(1)]
    assert not block.complete


@pytest.mark.parametrize(
    "bad",
    [[Part(1, 10, b"x" * 11)], [Part(1, 10, b"")], [Part(1, 10, b"x"), Part(1, 9, b"x")]],
    ids=["more than announced", "nothing for ever", "another size"],
)
def test_parts_that_do_not_add_up(bad: list[Part]) -> None:
    it = connection()
    it.fetch(CID_PREFIX + bytes(32), 10)
    assert it.receive_data(b"".join(map(encode, bad)), 1.0)[-1] == Closed(Reason.GARBAGE)


@pytest.mark.parametrize(
    ("data", "event"),
    [
        (encode(Bye(int(Reason.FULL))), Closed(Reason.FULL, ours=False)),
        (encode(Hello("p2pcache", 2, 0, bytes(32), 1.0)), Closed(Reason.GARBAGE)),
        (b"\xff" * 4, Closed(Reason.GARBAGE)),
        (newer(), Closed(Reason.GARBAGE)),
        (encode(Ack(7)), Acknowledged(7)),
        (encode(Have(())), Have(())),
        (encode(Ping(7)), Ping(7)),
    ],
)
def test_what_a_frame_means(data: bytes, event: object) -> None:
    it = connection()
    assert it.receive_data(data, 1.0) == [event]
    assert it.receive_data(encode(Have(())), 1.0) == ([] if isinstance(event, Closed) else [Have(())])


def test_pings_are_sent_until_nothing_comes() -> None:
    it = connection(now=10.0)
    assert it.next_timeout() == 10.0
    assert it.on_timeout(10.0) == []
    [ping] = written(it)
    assert isinstance(ping, Ping)
    assert it.on_timeout(11.0) == []
    assert written(it) == []
    assert it.receive_data(encode(Pong(ping.id)), 10.5) == []
    assert (it.heard, it.rtt) == (10.5, 0.5)
    assert it.receive_data(encode(Pong(ping.id)), 12.0) == []  # once is enough
    assert it.rtt == 0.5
    due = it.next_timeout()
    assert due == 10.0 + LIMITS.ping_interval
    assert it.on_timeout(due) == []
    assert it.on_timeout(it.next_timeout()) == [Closed(Reason.SILENT)]


def test_a_queue_that_is_full() -> None:
    it = connection(Limits(queue=10))
    assert it.send(Ping(1))
    assert not it.send(Ping(2))
    assert it.fetch(CID_PREFIX + bytes(32), 10) is None
    assert it.on_timeout(0.0) == [Closed(Reason.DEAF)]


class Later(Frame, tag=NEWER):
    since: ClassVar[int] = MINOR + 1
    id: int


@pytest.mark.parametrize(("minor", "sent"), [(MINOR, False), (MINOR + 1, True), (MINOR + 2, True)])
def test_a_frame_is_not_sent_to_a_peer_that_does_not_know_it(minor: int, sent: bool) -> None:
    it = connection(minor=minor)
    assert it.send(cast("AnyFrame", Later(1)))
    assert (it.outbox.take()[0] != b"") == sent


def test_a_newer_peers_frames_are_skipped_within_the_limits_of_announcements() -> None:
    size = len(newer("x" * 100)) - 4
    it = connection(Limits(announce_burst=10 * size, announce_rate=0.0), MINOR + 1)
    assert it.receive_data(newer("x" * 100) * 10 + encode(Have(()))[:3], 1.0) == []
    assert it.receive_data(encode(Have(()))[3:], 1.0) == [Closed(Reason.FLOOD)]


@pytest.mark.parametrize(
    "body", [b"\xc1", b"", b"\x90", msgspec.msgpack.encode({"a": 1}), msgspec.msgpack.encode([18, "one"])]
)
def test_garbage_of_a_newer_peer_is_garbage(body: bytes) -> None:
    assert connection(minor=MINOR + 1).receive_data(framed(body), 1.0) == [Closed(Reason.GARBAGE)]


@pytest.mark.parametrize("hub", [False, True])
def test_a_hub_may_pass_on_more_invalidations(hub: bool) -> None:
    frame = encode(drop((b"t" * 16,)))
    limits = Limits(drop_burst=len(frame) + 512, drop_rate=0.0, hub_share=2.0)
    events = connection(limits, hub=hub).receive_data(frame * 2, 1.0)
    assert (events[-1] == Closed(Reason.FLOOD)) != hub


def test_gossip_beyond_its_rate_is_not_listened_to() -> None:
    frames: list[AnyFrame] = [Quota(b"s" * 16, 1.0, bytes(100)), Peers(())]
    it = connection(Limits(gossip_burst=100, gossip_rate=0.0))
    assert it.receive_data(b"".join(map(encode, frames)), 1.0) == [Peers(())]

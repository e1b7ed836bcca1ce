"""Frames: what goes in comes out, and nothing else comes in."""

from __future__ import annotations

import struct
import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.cache.entry import Pointer
from p2pcache.cache.sealing import JobKeys
from p2pcache.swarm.protocol import frames
from p2pcache.swarm.protocol.frames import (
    CHUNK,
    FRAME_MAX,
    AnyFrame,
    FrameDecoder,
    FrameError,
    NewerFrame,
    Part,
    Ping,
    encode,
    parts,
    wire,
)
from p2pcache.swarm.rules.address_book import Known
from tests.unit.swarm.conftest import Pointers

PEER = "12D3KooW" + "A" * 44
digest = st.binary(min_size=32, max_size=32)
signature = st.binary(min_size=64, max_size=64)
token = st.integers(min_value=0, max_value=2**63 - 1)


def framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


def decode(data: bytes) -> list[AnyFrame | NewerFrame]:
    return [frame for frame, _ in FrameDecoder().feed(data)]


def announced(data: bytes) -> list[Pointer]:
    """The pointers of announcements."""
    found: list[Pointer] = []
    for frame in decode(data):
        assert isinstance(frame, frames.Have)
        found += frame.pointers
    return found


KINDS = typing.get_args(frames.AnyFrame)
scope = st.binary(min_size=16, max_size=16)
when = st.floats(0, 2**40)
EXAMPLES = {
    frames.Hello: (st.just("p2pcache"), st.integers(0, 9), st.integers(0, 9), digest, when),
    frames.Proof: (digest,),
    frames.Welcome: (st.booleans(), st.lists(st.text(max_size=50), max_size=8).map(tuple)),
    frames.Bye: (st.integers(0, 255),),
    frames.Have: (st.just(()),),
    frames.Get: (token, st.binary(min_size=36, max_size=36)),
    frames.Part: (token, st.integers(0, 2**32), st.binary(max_size=200)),
    frames.Miss: (token,),
    frames.Drop: (
        token,
        st.just(PEER),
        token,
        st.floats(0, 86_400),
        st.lists(scope, max_size=4).map(tuple),
        st.none() | scope,
        signature,
    ),
    frames.Ack: (token,),
    frames.Acquire: (token, digest, scope, when, signature, st.lists(st.just(PEER), max_size=8).map(tuple)),
    frames.Grant: (token, st.none(), st.sampled_from(["", PEER])),
    frames.Queued: (token, st.just(PEER), when, signature),
    frames.Release: (token, st.none(), st.booleans()),
    frames.Free: (token, st.none(), st.just(PEER)),
    frames.Quota: (scope, when, st.binary(max_size=1_024)),
    frames.Peers: (st.just((Known(PEER, ("/ip4/10.0.0.1/tcp/1",)),)), st.just((PEER,))),
    frames.Ping: (token,),
    frames.Pong: (token,),
    frames.Enrol: (st.text(max_size=200),),
    frames.Granted: (st.lists(st.builds(JobKeys, digest, digest), min_size=1, max_size=5).map(tuple),),
}
FRAMES = st.one_of(*(st.builds(kind, *EXAMPLES[kind]) for kind in KINDS))


def test_tags_and_minor_versions_only_grow() -> None:
    tags = [kind.__struct_config__.tag for kind in sorted(KINDS, key=lambda kind: kind.__struct_config__.tag)]
    assert tags == list(range(1, len(KINDS) + 1))
    since = [kind.since for kind in sorted(KINDS, key=lambda kind: kind.__struct_config__.tag)]
    assert since == sorted(since)
    assert max(since) <= frames.MINOR


@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(1, 40), max_size=20))
def test_frames_survive_any_cut_of_the_stream(sent: list[AnyFrame], cuts: list[int]) -> None:
    data = b"".join(map(encode, sent))
    decoder = FrameDecoder()
    got: list[tuple[AnyFrame | NewerFrame, int]] = []
    for cut in [*cuts, len(data)]:
        piece, data = data[:cut], data[cut:]
        got += decoder.feed(piece)
    assert got == [(frame, len(encode(frame)) - 4) for frame in sent]


@given(st.binary(max_size=300))
def test_garbage_is_an_error_or_an_unfinished_frame(data: bytes) -> None:
    try:
        got = decode(data)
    except FrameError:
        return
    for frame in got:
        assert isinstance(frame, KINDS)


@given(st.binary(max_size=100))
def test_a_garbage_body_never_becomes_a_frame_out_of_bounds(body: bytes) -> None:
    try:
        [frame] = decode(framed(body))
    except FrameError:
        return
    assert not isinstance(frame, NewerFrame)
    assert msgspec.msgpack.decode(encode(frame)[4:], type=frames.AnyFrame) == frame


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">I", FRAME_MAX + 1),
        framed(b"\xc1"),
        framed(msgspec.msgpack.encode([99, 1])),
        framed(msgspec.msgpack.encode([18, -1])),
        framed(msgspec.msgpack.encode([6, 1, b"short"])),
        framed(msgspec.msgpack.encode([18, "one"])),
        framed(msgspec.msgpack.encode({"id": 1})),
        framed(b"\x91" * 30_000),
        framed(msgspec.msgpack.encode([17, [["not a peer id", []]], []])),
    ],
    ids=["oversized", "no msgpack", "unknown", "negative", "short", "type", "map", "nested", "peer"],
)
def test_what_is_not_a_frame_is_refused(data: bytes) -> None:
    with pytest.raises(FrameError) as error:
        decode(data)
    assert "not a peer id" not in str(error.value)


def test_a_field_added_by_a_newer_minor_version_is_ignored() -> None:
    assert decode(framed(msgspec.msgpack.encode([18, 7, "new"]))) == [Ping(7)]


def test_too_large_a_frame_is_not_sent() -> None:
    with pytest.raises(FrameError):
        encode(frames.Quota(b"s" * 16, 1.0, b"x" * FRAME_MAX))


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5])
def test_a_block_is_cut_into_parts_that_fit_one_noise_message(size: int) -> None:
    sealed = bytes(range(256)) * (size // 256 + 1)
    sealed = sealed[:size]
    sent = list(map(encode, parts(9, sealed)))
    assert all(len(frame) <= 65_535 - 16 - 12 for frame in sent)
    got = decode(b"".join(sent))
    read = [part for part in got if isinstance(part, Part) and part.id == 9 and part.total == size]
    assert len(read) == len(got)
    assert b"".join(part.data for part in read) == sealed


def test_a_pointer_is_heard_whole(pointer: Pointers) -> None:
    sent = pointer(link='<https://api.github.com/x?page=2>; rel="next"', vary=("accept",), last_modified="yesterday")
    (got,) = announced(encode(frames.Have((sent,))))
    assert frames.received(got, 0.0, 2e9) == sent
    assert all(value is not None for value in msgspec.structs.astuple(sent)), "a field that is not tried"


def test_announcements_are_as_few_as_fit(pointer: Pointers) -> None:
    held = [pointer(link="x" * 400) for _ in range(500)]
    sent = list(map(encode, frames.announcements(held)))
    assert all(len(frame) <= FRAME_MAX + 4 for frame in sent)
    assert len(sent) == -(-sum(map(len, sent)) // FRAME_MAX)
    got = [frames.received(each, 0.0, 2e9) for each in announced(b"".join(sent))]
    assert got == held


def test_an_announcement_holds_at_most_so_many_pointers(pointer: Pointers) -> None:
    small = [pointer(etag=None, topics=()) for _ in range(frames.HAVE_MAX + 1)]
    small = [msgspec.structs.replace(each, name=b"n" * 32) for each in small]
    counts = [len(have.pointers) for have in frames.announcements(small)]
    assert sum(counts) == frames.HAVE_MAX + 1
    assert max(counts) <= frames.HAVE_MAX


def test_a_pointer_that_peers_would_refuse_is_not_announced(pointer: Pointers) -> None:
    fine = pointer()
    sent = list(frames.announcements([pointer(link="x" * 9_000), fine, pointer(topics=(b"short",))]))
    assert [each.cid for have in sent for each in have.pointers] == [fine.cid]
    assert wire(None) is None


@pytest.mark.parametrize("skew", [-200.0, 0.0, 200.0])
def test_times_are_moved_to_this_nodes_clock(pointer: Pointers, skew: float) -> None:
    sent = pointer(proved_at=1000.0 + skew, expires_at=1060.0 + skew)
    written = wire(sent)
    assert written is not None
    got = frames.received(written, skew, now=1500.0)
    assert (got.proved_at, got.expires_at) == (1000.0, 1060.0)


def test_nothing_was_proved_in_the_future(pointer: Pointers) -> None:
    got = frames.received(pointer(proved_at=5000.0, expires_at=5060.0), 0.0, now=1000.0)
    assert (got.proved_at, got.expires_at) == (1000.0, 1060.0)

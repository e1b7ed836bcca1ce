"""Whatever a member's bytes are: an error of its own, or something within its bounds. Nothing else comes through."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.addresses import parse
from p2pcache.cache.entry import CID_PREFIX, Pointer
from p2pcache.swarm.protocol import frames
from p2pcache.swarm.protocol.frames import FrameDecoder, FrameError
from p2pcache.swarm.rules import multiaddrs
from p2pcache.swarm.rules.directory import Directory
from p2pcache.swarm.rules.identity import Identity, signed
from p2pcache.swarm.rules.invalidation import Invalidation, InvalidationLog
from p2pcache.swarm.services.admission import network
from p2pcache.swarm.services.interfaces import interfaces

TAGS = st.integers(-1, 24)
PEERS = st.sampled_from([Identity(bytes([n]) * 32).peer for n in range(3)])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(max_size=80),
    st.binary(max_size=80),
    *(st.binary(min_size=size, max_size=size) for size in (16, 32, 36, 64)),
    PEERS,
)
FIELDS = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=14), max_leaves=40)
BOUNDED: dict[type, Callable[[Any], bool]] = {
    frames.Have: lambda frame: len(frame.pointers) <= frames.HAVE_MAX,
    frames.Drop: lambda frame: len(frame.topics) <= 256 and frame.age >= 0 and len(frame.signature) == 64,
    frames.Peers: lambda frame: all(len(each.addresses) <= 8 for each in frame.known) and len(frame.gone) <= 256,
    frames.Quota: lambda frame: len(frame.state) <= 1024,
    frames.Queued: lambda frame: len(frame.signature) == 64 and frame.at >= 0,
}


def framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


@given(TAGS, st.lists(FIELDS, max_size=8))
def test_a_frame_of_any_fields_is_refused_or_within_its_bounds(tag: int, fields: list[Any]) -> None:
    try:
        [(frame, size)] = FrameDecoder().feed(framed(msgspec.msgpack.encode([tag, *fields])))
    except FrameError:
        return
    assert size <= frames.FRAME_MAX
    assert BOUNDED.get(type(frame), bool)(frame)
    assert isinstance(frame, frames.NewerFrame) or frames.encode(frame)  # what is let in can be passed on


@given(st.lists(st.tuples(TAGS, st.lists(FIELDS, max_size=5)), max_size=6), st.lists(st.integers(1, 64), max_size=30))
def test_it_does_not_matter_where_the_stream_is_cut(sent: list[tuple[int, list[Any]]], cuts: list[int]) -> None:
    data = b"".join(framed(msgspec.msgpack.encode([tag, *fields])) for tag, fields in sent)

    def read(pieces: list[bytes]) -> list[Any]:
        decoder, got = FrameDecoder(), []
        with contextlib.suppress(FrameError):
            for piece in pieces:
                for frame in decoder.feed(piece):
                    got.append(frame)  # noqa: PERF402  # those before the error count, too
        return got

    pieces: list[bytes] = []
    rest = data
    for cut in cuts:
        pieces, rest = [*pieces, rest[:cut]], rest[cut:]
    assert repr(read([*pieces, rest])) == repr(read([data]))  # by their text: not a number is not equal to itself


POINTERS = st.builds(
    Pointer,
    name=st.sampled_from([bytes([n]) * 32 for n in range(4)]),
    scope=st.sampled_from([b"a" * 16, b"b" * 16]),
    cid=st.sampled_from([CID_PREFIX + bytes([n]) * 32 for n in range(4)]),
    etag=st.none() | st.text(max_size=512),
    last_modified=st.none(),
    link=st.none() | st.integers(0, 8192).map(lambda size: "x" * size),
    lifetime=st.just("normal"),
    proved_at=st.floats(0, 2**40),
    expires_at=st.floats(0, 2**40),
    cost_ms=st.integers(0, 2**31),
    size=st.integers(0, 2**32),
    by=st.just(""),
    topics=st.lists(st.binary(min_size=16, max_size=16), max_size=64).map(tuple),
)
STEPS = st.one_of(
    st.tuples(st.just("add"), POINTERS, st.sampled_from("abc"), st.booleans()),
    st.tuples(st.just("leave"), POINTERS, st.sampled_from("abc"), st.booleans()),
    st.tuples(st.just("remove"), POINTERS, st.sampled_from("abc"), st.booleans()),
    st.tuples(st.just("drop"), POINTERS, st.sampled_from("abc"), st.booleans()),
)


@given(st.lists(STEPS, max_size=40), st.floats(-300, 300))
def test_whatever_is_announced_the_directory_stays_within_its_bounds(
    steps: list[tuple[str, Pointer, str, bool]], skew: float
) -> None:
    total, share = 60_000, 30_000
    here = Directory(total, share, 100)
    for what, each, peer, announced in steps:
        if what == "add":
            here.add(frames.received(each, skew, 1e9), peer, announced=announced)
        elif what == "leave":
            here.remove_peer(peer)
        elif what == "remove":
            here.remove(each.cid, peer)
        else:
            here.drop(each.topics, None, 1e9)
        assert here._taken.total() <= total
        assert all(0 <= taken <= share for taken in here._taken.values())
        assert sum(len(pointer.link or "") for pointer in here.pointers()) <= total
        for pointer in here.pointers():
            assert pointer.proved_at <= 1e9
            assert here.holders(pointer.cid)


@given(
    st.lists(
        st.tuples(PEERS, st.integers(0, 5), st.floats(0, 1e6), st.integers(0, 256), st.sampled_from("abc")), max_size=60
    )
)
def test_whatever_is_invalidated_its_memory_stays_within_its_bounds(
    drops: list[tuple[str, int, float, int, str]],
) -> None:
    log = InvalidationLog(40_000, 1e9)
    for origin, serial, at, topics, member in drops:
        log.add(Invalidation(origin, serial, at, (b"t" * 16,) * topics, None, bytes(64)), member)
        kept = list(log.recent(0.0))
        assert sum(drop.room for drop in kept) <= 40_000
        assert len({(drop.origin, drop.serial) for drop in kept}) == len(kept)


HOSTS = st.one_of(st.ip_addresses().map(str), st.text(max_size=20), st.from_regex(r"[a-z0-9.-]{1,30}", fullmatch=True))
ADDRESSES = st.one_of(
    st.text(max_size=120),
    st.builds(
        lambda kind, host, rest: f"/{kind}/{host}/tcp/{rest}",
        st.sampled_from(["ip4", "ip6", "dns", "dns4", "dns6", "unix", ""]),
        HOSTS,
        st.integers(-1, 70_000).map(str) | st.text(max_size=10),
    ),
)


@given(ADDRESSES)
def test_a_multiaddr_is_one_sentence_of_error_or_reads_as_it_is_written(text: str) -> None:
    refused = ""
    try:
        address = parse(text)
    except ValueError as error:
        refused = str(error)
    if refused:
        assert refused.isprintable()
        return
    assert parse(str(address)) == address
    assert 1 <= address.port <= 65_535
    assert str(address).isascii()


@given(st.ip_addresses(v=4).map(str), st.lists(ADDRESSES, max_size=12))
def test_a_member_is_dialled_where_it_has_shown_itself_and_nowhere_else(seen: str, claimed: list[str]) -> None:
    mine = interfaces()
    for text in multiaddrs.proved(f"/ip4/{seen}/tcp/40000", False, claimed, mine):
        host = parse(text).host
        assert host == seen or {host, seen} <= set(mine)


@given(st.ip_addresses().map(str))
def test_every_host_is_of_one_network(host: str) -> None:
    assert network(network(host).partition("/")[0]) == network(host)


@given(st.text(max_size=70) | PEERS, st.binary(max_size=80), st.binary(max_size=70))
def test_nothing_made_up_is_signed(peer: str, statement: bytes, signature: bytes) -> None:
    assert not signed(peer, statement, signature)


@pytest.mark.parametrize("tag", range(1, 20))
def test_every_frame_without_its_fields_is_refused(tag: int) -> None:
    with pytest.raises(FrameError):
        list(FrameDecoder().feed(framed(msgspec.msgpack.encode([tag]))))

from __future__ import annotations

import hashlib
import json
import zlib

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from p2pcache.cache import codec
from p2pcache.cache.codec import (
    MAX_BLOCK,
    MAX_POINTER,
    BlockError,
    PointerError,
    cid_of,
    cid_text,
    decode_block,
    decode_pointer,
    encode_block,
    encode_pointer,
    open_block,
    seal_block,
)
from p2pcache.cache.entry import MAX_TOPICS, Block, Pointer
from p2pcache.cache.sealing import Keyring, SealedKind, generate_secret
from p2pcache.github.headers import KEPT
from p2pcache.testing.conformance import KEYRING, make

LISTING = json.dumps([{"id": i, "url": f"https://api.github.com/repos/o/r/issues/{i}"} for i in range(500)]).encode()

visible = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, blacklist_categories=["Cc"]), max_size=40)
names = st.sampled_from(sorted(KEPT - {"location"}))
blocks = st.builds(
    Block,
    status=st.sampled_from([200, 301]),
    headers=st.lists(st.tuples(names, visible), max_size=8).map(tuple),
    body=st.one_of(st.binary(max_size=3000), st.just(LISTING)),
)
times = st.floats(0, 2**40)
pointers = st.builds(
    Pointer,
    name=st.binary(min_size=32, max_size=32),
    scope=st.binary(min_size=16, max_size=16),
    cid=st.binary(max_size=50).map(cid_of),
    etag=st.none() | visible,
    last_modified=st.none() | visible,
    link=st.none() | visible,
    lifetime=st.sampled_from(["immutable", "slow", "normal", "live"]),
    proved_at=times,
    expires_at=times,
    cost_ms=st.integers(0, 2**31),
    size=st.integers(0, MAX_BLOCK),
    by=st.from_regex(r"[0-9A-Za-z]{0,64}", fullmatch=True),
    topics=st.lists(st.binary(min_size=16, max_size=16), max_size=10).map(tuple),
    vary=st.none() | st.sampled_from([(), ("accept",), ("accept", "authorization", "cookie")]),
)


class TestBlock:
    @settings(deadline=None)
    @given(blocks)
    def test_it_comes_back(self, block: Block) -> None:
        assert decode_block(encode_block(block)) == block

    @settings(deadline=None)
    @given(st.binary(max_size=300))
    @example(b"\x00" + b"\x93" + b"\x91" * 100_000)
    @example(b"\x01" + zlib.compress(b"\x93" + b"\x91" * 100_000, 1, -15))
    def test_garbage_raises_nothing_else(self, data: bytes) -> None:
        for start in (b"", b"\x00", b"\x01"):
            with pytest.raises(BlockError):
                decode_block(start + data)

    @settings(deadline=None)
    @given(blocks, st.data())
    def test_a_damaged_block_raises_nothing_else(self, block: Block, data: st.DataObject) -> None:
        encoded = bytearray(encode_block(block))
        position = data.draw(st.integers(0, len(encoded) - 1))
        encoded[position] ^= data.draw(st.integers(1, 255))
        try:
            decode_block(bytes(encoded))
        except BlockError:
            return

    def test_json_is_compressed_and_noise_is_not(self) -> None:
        assert len(encode_block(Block(200, (), LISTING))) < len(LISTING) / 5
        noise = hashlib.shake_256(b"noise").digest(5000)
        assert noise in encode_block(Block(200, (), noise))
        assert b"[]" in encode_block(Block(200, (), b"[]"))

    def test_it_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        large = encode_block(Block(200, (), LISTING))
        plain = encode_block(Block(200, (), b"x" * 200))
        monkeypatch.setattr(codec, "MAX_BLOCK", 100)
        for encoded in (large, plain):
            with pytest.raises(BlockError, match="bound"):
                decode_block(encoded)
        with pytest.raises(BlockError, match="bound"):
            encode_block(Block(200, (), b"x" * 101))

    def test_a_small_bomb_does_not_fill_the_memory(self) -> None:
        bomb = b"\x01" + zlib.compress(bytes(8 * MAX_BLOCK), 9, -15)
        with pytest.raises(BlockError, match="bound"):
            decode_block(bomb)

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "unknown compression"),
            (b"\x07rest", "unknown compression"),
            (b"\x01\xff\xff", "malformed"),
            (encode_block(Block(200, (), LISTING))[:-1], "too early"),
            (encode_block(Block(404, (), b"")), "status 404"),
            (encode_block(Block(200, (("Content-Type", "x"),), b"")), "header"),
            (encode_block(Block(200, (("", "x"),), b"")), "header"),
            (encode_block(Block(200, (("set-cookie", "x"),), b"")), "header"),
            (encode_block(Block(200, (("content-type", "x\r\nset-cookie: y"),), b"")), "header"),
            (encode_block(Block(200, (("content-type", "€"),), b"")), "header"),
            (encode_block(Block(200, (("location", "https://evil.example"),), b"")), "header"),
        ],
    )
    def test_the_reason_is_told(self, data: bytes, reason: str) -> None:
        with pytest.raises(BlockError, match=reason):
            decode_block(data)


class TestSealedBlock:
    def test_equal_answers_are_one_block(self) -> None:
        other = Keyring.from_secrets(["0f1e2d3c4b5a69788796a5b4c3d2e1f00918273645546372819a0bfcdeaf"])
        assert seal_block(KEYRING, Block(200, (), LISTING)) == seal_block(other, Block(200, (), LISTING))

    @settings(deadline=None)
    @given(blocks)
    def test_it_comes_back(self, block: Block) -> None:
        cid, sealed = seal_block(KEYRING, block)
        assert open_block(KEYRING, cid, sealed) == block

    def test_other_bytes_are_refused(self) -> None:
        cid, sealed = seal_block(KEYRING, Block(200, (), b"x"))
        with pytest.raises(BlockError, match="do not match"):
            open_block(KEYRING, cid, sealed + b"x")

    def test_another_swarm_is_refused(self) -> None:
        cid, sealed = seal_block(Keyring.from_secrets([generate_secret()]), Block(200, (), b"x"))
        with pytest.raises(BlockError, match="a secret this node does not have"):
            open_block(KEYRING, cid, sealed)

    def test_a_member_that_seals_garbage_is_refused(self) -> None:
        sealed = KEYRING.seal(b"\x00garbage", SealedKind.BLOCK)
        with pytest.raises(BlockError, match="malformed"):
            open_block(KEYRING, cid_of(sealed), sealed)


def test_the_cid_is_what_ipfs_calls_a_raw_block() -> None:
    # `printf hello | ipfs block put` and the multiformats examples agree on this one.
    assert cid_text(cid_of(b"hello")) == "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"


class TestPointer:
    @settings(deadline=None)
    @given(pointers)
    def test_it_comes_back(self, pointer: Pointer) -> None:
        assert decode_pointer(encode_pointer(pointer)) == pointer

    @settings(deadline=None)
    @given(st.binary(max_size=300))
    @example(b"\x9d" + b"\x91" * 10_000)
    def test_garbage_raises_nothing_else(self, data: bytes) -> None:
        with pytest.raises(PointerError):
            decode_pointer(data)

    @settings(deadline=None)
    @given(pointers, st.data())
    def test_a_damaged_pointer_raises_nothing_else(self, pointer: Pointer, data: st.DataObject) -> None:
        encoded = bytearray(encode_pointer(pointer))
        position = data.draw(st.integers(0, len(encoded) - 1))
        encoded[position] ^= data.draw(st.integers(1, 255))
        try:
            decode_pointer(bytes(encoded))
        except PointerError:
            return

    @pytest.mark.parametrize(
        "changes",
        [
            {"name": b"short"},
            {"scope": b"short"},
            {"cid": b"short"},
            {"cid": b"\x01\x70\x12\x20" + bytes(32)},
            {"topics": (b"short",)},
            {"topics": (bytes(16),) * (MAX_TOPICS + 1)},
            {"lifetime": "never"},
            {"lifetime": "for ever"},
            {"etag": '"x"\r\nset-cookie: y'},
            {"last_modified": "\x00"},
            {"link": "\n"},
            {"link": '<https://github.com/€>; rel="deprecation"'},
            {"by": "\x1b[2J"},
            {"proved_at": float("nan")},
            {"expires_at": float("inf")},
            {"cost_ms": -1},
            {"size": -1},
            {"vary": ("host",)},
        ],
        ids=lambda changes: "-".join(changes),
    )
    def test_fields_are_held_to_their_bounds(self, changes: dict[str, object]) -> None:
        fields = msgspec.structs.asdict(make().pointer) | changes
        with pytest.raises(PointerError, match="malformed"):
            decode_pointer(msgspec.msgpack.encode(list(fields.values())))

    def test_what_could_not_be_read_again_is_not_written(self) -> None:
        with pytest.raises(PointerError, match="malformed"):
            encode_pointer(make(link="x" * 9000).pointer)

    def test_its_size_is_bounded(self) -> None:
        with pytest.raises(PointerError, match="bound"):
            decode_pointer(msgspec.msgpack.encode(make(link="x" * MAX_POINTER).pointer))

    def test_one_written_before_a_field_was_added_is_read(self) -> None:
        pointer = make(vary=None).pointer
        fields = msgspec.structs.astuple(pointer)[:-1]
        assert decode_pointer(msgspec.msgpack.encode(fields)) == pointer

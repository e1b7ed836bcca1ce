import hashlib

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from p2pcache.cache.sealing import Keyring, SealedKind
from p2pcache.stores.actions import packs
from p2pcache.stores.actions.packs import MAX_PACK, Pack, PackedEntry, open_pack, packed_size, seal_pack
from p2pcache.testing.conformance import KEYRING, make

KEY, BASE, AUTHOR = "p2pcache-1/a/b/c", "p2pcache-1/a/b/d", b"author-1"
OTHER = Keyring.from_secrets([hashlib.sha256(b"another fleet").hexdigest()])


def entry(resource: str, body: bytes = b"{}", **changes: object) -> PackedEntry:
    stored = make(resource, body=body, **changes)  # type: ignore[arg-type]  # fields of the pointer
    return PackedEntry(stored.pointer, stored.sealed)


ENTRIES = (entry("/1", b"one"), entry("/2", b"two"), entry("/3", b"two"))


@pytest.mark.parametrize("base", [None, BASE])
@pytest.mark.parametrize("entries", [(), ENTRIES[:1], ENTRIES])
def test_what_was_sealed_comes_out(base: str | None, entries: tuple[PackedEntry, ...]) -> None:
    pack = Pack(base, AUTHOR, entries)
    assert open_pack(KEYRING, KEY, seal_pack(KEYRING, KEY, pack)) == pack


def test_a_block_of_two_entries_is_in_it_once() -> None:
    body = hashlib.sha256(b"noise").digest() * 1000
    one, two = entry("/1", body), entry("/2", body)
    size = len(seal_pack(KEYRING, KEY, Pack(None, AUTHOR, (one, two))))
    assert size < len(seal_pack(KEYRING, KEY, Pack(None, AUTHOR, (one,)))) + 1000


def test_no_entry_takes_more_than_was_said() -> None:
    empty = len(seal_pack(KEYRING, KEY, Pack(BASE, AUTHOR, ())))
    whole = len(seal_pack(KEYRING, KEY, Pack(BASE, AUTHOR, ENTRIES)))
    assert whole <= empty + sum(map(packed_size, ENTRIES)) + 8


@pytest.mark.parametrize(
    ("keyring", "key"), [(OTHER, KEY), (KEYRING, BASE)], ids=["another fleet's", "under another key"]
)
def test_a_pack_that_does_not_belong_here_is_none(keyring: Keyring, key: str) -> None:
    sealed = seal_pack(keyring, key, Pack(None, AUTHOR, ENTRIES))
    assert open_pack(KEYRING, KEY, sealed) is None


def test_an_older_secrets_pack_opens() -> None:
    old, new = (hashlib.sha256(name).hexdigest() for name in (b"old", b"new"))
    sealed = seal_pack(Keyring.from_secrets([old]), KEY, Pack(None, AUTHOR, ()))
    assert open_pack(Keyring.from_secrets([new, old]), KEY, sealed) is not None


@given(st.binary(max_size=300))
@example(b"")
def test_any_bytes_are_no_pack(sealed: bytes) -> None:
    assert open_pack(KEYRING, KEY, sealed) is None


@given(st.data())
def test_one_changed_byte_makes_it_none(data: st.DataObject) -> None:
    sealed = bytearray(seal_pack(KEYRING, KEY, Pack(BASE, AUTHOR, ENTRIES)))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    assert open_pack(KEYRING, KEY, bytes(sealed)) is None


_SCALARS = st.one_of(st.none(), st.integers(-(2**63), 2**63), st.binary(max_size=50), st.text(max_size=50))


@given(st.one_of(st.binary(max_size=300), st.recursive(_SCALARS, st.lists).map(msgspec.msgpack.encode)))
@example(msgspec.msgpack.encode([None, AUTHOR, [], [b"block"]]))
@example(msgspec.msgpack.encode(["Not A Key", AUTHOR, [], []]))
@example(b"\x91" * 5000)
def test_whatever_a_member_seals_is_a_pack_or_none(plain: bytes) -> None:
    found = open_pack(KEYRING, KEY, KEYRING.seal(plain, SealedKind.PACK, KEY.encode()))
    assert found is None or isinstance(found, Pack)


def test_a_pointer_without_its_block_is_left_out() -> None:
    one, two = ENTRIES[:2]
    forged = Pack(None, AUTHOR, (one, PackedEntry(two.pointer, b"forged")))
    assert open_pack(KEYRING, KEY, seal_pack(KEYRING, KEY, forged)) == Pack(None, AUTHOR, (one,))


def test_a_pointer_out_of_bounds_spoils_the_pack() -> None:
    wrong = msgspec.structs.replace(ENTRIES[0].pointer, link='<x>\r\nX: y; rel="next"')
    sealed = seal_pack(KEYRING, KEY, Pack(None, AUTHOR, (PackedEntry(wrong, ENTRIES[0].sealed),)))
    assert open_pack(KEYRING, KEY, sealed) is None


def test_too_many_entries_and_too_many_bytes_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = seal_pack(KEYRING, KEY, Pack(None, AUTHOR, ()))
    assert open_pack(KEYRING, KEY, sealed + bytes(MAX_PACK)) is None
    many = (ENTRIES[0],) * (packs.MAX_ENTRIES + 1)
    assert open_pack(KEYRING, KEY, seal_pack(KEYRING, KEY, Pack(None, AUTHOR, many))) is None

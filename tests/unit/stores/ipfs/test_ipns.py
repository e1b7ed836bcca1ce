from __future__ import annotations

import hashlib

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.stores.ipfs.ipns import LARGEST, LARGEST_DATA, IpnsName, Published, RecordError

NAME = IpnsName(b"s" * 32)
NOW = 1_800_000_000.0
RECORD = NAME.sign(Published(7, b"pointers"), NOW + 60)


def test_a_record_is_what_other_implementations_make() -> None:
    """Known answers, which Kubo takes: a change here hides what was published before."""
    assert str(NAME) == "k51qzi5uqu5dmj65oja82ygxi3iww9f5jg0tyfgxzyr6pll4gpw2g394t717kv"
    assert hashlib.sha256(RECORD).hexdigest() == "eaa58f6e0431baa8912fbe0879682de8894121fa9d124accc44faf3cf5e9dc93"


def test_what_was_signed_is_read() -> None:
    assert NAME.verify(RECORD, NOW) == (7, b"pointers")


def test_each_seed_is_a_name_of_its_own() -> None:
    assert str(IpnsName(b"t" * 32)) != str(NAME)
    with pytest.raises(RecordError, match="no signature of this name"):
        IpnsName(b"t" * 32).verify(RECORD, NOW)


def test_the_largest_record_is_taken_and_no_larger_one() -> None:
    largest = NAME.sign(Published(2**62, b"p" * LARGEST_DATA), NOW + 60)
    assert len(largest) <= LARGEST
    assert len(NAME.verify(largest, NOW).data) == LARGEST_DATA
    with pytest.raises(RecordError, match="larger than the bound"):
        NAME.verify(largest + bytes(LARGEST), NOW)


def test_a_record_expires() -> None:
    assert NAME.verify(RECORD, NOW + 60).sequence == 7
    with pytest.raises(RecordError, match="expired"):
        NAME.verify(RECORD, NOW + 61)


@given(st.data())
def test_any_changed_bit_is_noticed(data: st.DataObject) -> None:
    bit = data.draw(st.integers(0, len(RECORD) * 8 - 1))
    changed = bytearray(RECORD)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(RecordError):
        NAME.verify(bytes(changed), NOW)


@given(st.binary(max_size=300))
def test_garbage_is_refused(garbage: bytes) -> None:
    with pytest.raises(RecordError):
        NAME.verify(garbage, NOW)


def test_fields_of_version_1_are_skipped() -> None:
    # The protobuf fields `value` (1, bytes) and `sequence` (5, a number).
    assert NAME.verify(b"\x0a\x01x\x28\x05" + RECORD, NOW) == (7, b"pointers")


def test_a_record_of_another_program_with_the_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    dumps = cbor2.dumps
    monkeypatch.setattr(cbor2, "dumps", lambda fields, **_: dumps({"Sequence": 1}, canonical=True))
    other = NAME.sign(Published(7, b"pointers"), NOW + 60)
    with pytest.raises(RecordError, match="another version"):
        NAME.verify(other, NOW)

"""IPNS records (specs.ipfs.tech/ipns/ipns-record), signed and verified here: any daemon keeps them, none forges one.

A record is of version 2 alone: the protobuf fields ``signatureV2`` and ``data``. The latter is DAG-CBOR and has, beside
the fields of the specification, one of ours for the bytes to keep; the value that a resolver sees is an empty file.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any, NamedTuple

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from multiformats import CID, varint

LARGEST = 10 << 10
"""Bytes of a record that every implementation accepts (Record Size Limit)."""
LARGEST_DATA = LARGEST - 256
"""Bytes that a record has room for beside its signature and the fields of the specification."""

_FIELD = "_p2pcache"
_EMPTY = b"/ipfs/bafkqaaa"
_DOMAIN = b"ipns-signature:"
_SIGNATURE, _DATA = 8, 9
_VARINT, _BYTES = 0, 2
_ED25519 = b"\x08\x01\x12\x20"
"""libp2p's protobuf of a public key, up to the 32 bytes of the key."""


class RecordError(ValueError):
    """Bytes that are no record of this name, or one that has expired; the message is the reason."""


class Published(NamedTuple):
    """The content of a record: each one of a name has a higher sequence number than the one before."""

    sequence: int
    data: bytes


class IpnsName:
    """A name of which this node has the private key.

    Args:
        seed: 32 bytes, of which the Ed25519 key is made.
    """

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._key.public_key()

    def __str__(self) -> str:
        """Return the name's text form: a CIDv1 of the public key, in base36."""
        key = _ED25519 + self._public.public_bytes_raw()
        return str(CID("base36", 1, "libp2p-key", ("identity", key)))

    def sign(self, published: Published, until: float) -> bytes:
        """Return a record that is valid `until`, in Unix seconds."""
        validity = datetime.datetime.fromtimestamp(until, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.000000000Z")
        fields = {
            "Value": _EMPTY,
            "ValidityType": 0,
            "Validity": validity.encode(),
            "Sequence": published.sequence,
            "TTL": 0,
            _FIELD: published.data,
        }
        data = cbor2.dumps(fields, canonical=True)
        return _field(_SIGNATURE, self._key.sign(_DOMAIN + data)) + _field(_DATA, data)

    def verify(self, record: bytes, now: float) -> Published:
        """Return the content of a record.

        Raises:
            RecordError: another name's, changed, malformed, or no longer valid at `now`, in Unix seconds.
        """
        if len(record) > LARGEST:
            raise RecordError(f"a record of {len(record)} bytes is larger than the bound of {LARGEST}")
        found = dict(_fields(record))
        data = found.get(_DATA, b"")
        try:
            self._public.verify(found.get(_SIGNATURE, b""), _DOMAIN + data)
        except InvalidSignature:
            raise RecordError("the record has no signature of this name") from None
        # The secret signed it, so it is as `sign` made it, in this version or another.
        return _content(cbor2.loads(data), now)


def _content(fields: Any, now: float) -> Published:
    match fields:
        case {"Sequence": int(sequence), "Validity": bytes(validity), "_p2pcache": bytes(data)}:
            until = datetime.datetime.fromisoformat(validity.decode("ascii"))
        case _:
            raise RecordError("the record is of another version")
    if until.timestamp() < now:
        raise RecordError("the record has expired")
    return Published(sequence, data)


def _field(number: int, value: bytes) -> bytes:
    """Return a protobuf field of bytes."""
    return varint.encode(number << 3 | _BYTES) + varint.encode(len(value)) + value


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the numbers and values of the protobuf fields of bytes; others are skipped.

    Raises:
        RecordError: it is no protobuf message of fields of bytes and of numbers.
    """
    rest = memoryview(message)
    try:
        while rest:
            key, _, rest = varint.decode_raw(rest)
            length, _, rest = varint.decode_raw(rest)
            if key & 7 == _VARINT:  # `length` is the value
                continue
            if key & 7 != _BYTES or length > len(rest):
                raise RecordError("the record is malformed")
            yield key >> 3, bytes(rest[:length])
            rest = rest[length:]
    except ValueError as error:
        raise RecordError("the record is malformed") from error

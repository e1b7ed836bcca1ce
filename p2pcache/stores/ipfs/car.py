"""Content-addressed archives (ipld.io/specs/transport/car/carv1): many blocks in one upload, under one root."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cbor2
from multiformats import CID, multihash, varint

_LINK = 42
"""The tag of a CID in DAG-CBOR (ipld.io/specs/codecs/dag-cbor/spec)."""


def list_of(cids: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return a DAG-CBOR block that links to `cids`, so that one pin keeps them all: its CID, and its bytes."""
    data = cbor2.dumps([_link(cid) for cid in cids], canonical=True)
    return bytes(CID("base32", 1, "dag-cbor", multihash.digest(data, "sha2-256"))), data


def archive(root: bytes, blocks: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a CARv1 of `blocks`, each a CID and its bytes; `root` is the CID of one of them."""
    header = cbor2.dumps({"version": 1, "roots": [_link(root)]}, canonical=True)
    return b"".join((_sized(header), *(_sized(cid + data) for cid, data in blocks)))


def _link(cid: bytes) -> cbor2.CBORTag:
    return cbor2.CBORTag(_LINK, b"\x00" + cid)


def _sized(data: bytes) -> bytes:
    return varint.encode(len(data)) + data

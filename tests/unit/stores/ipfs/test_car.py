from __future__ import annotations

import cbor2
from multiformats import CID, multihash, varint

from p2pcache.cache.codec import cid_of
from p2pcache.stores.ipfs import car

BLOCKS = [(cid_of(data), data) for data in (b"one", b"two" * 100)]


def read(archive: bytes) -> tuple[dict[str, object], list[tuple[bytes, bytes]]]:
    """The header and the blocks of an archive whose CIDs have 36 bytes."""
    parts = []
    rest = memoryview(archive)
    while rest:
        length, _, rest = varint.decode_raw(rest)
        parts.append(bytes(rest[:length]))
        rest = rest[length:]
    return cbor2.loads(parts[0]), [(part[:36], part[36:]) for part in parts[1:]]


def test_an_archive_has_its_root_and_its_blocks() -> None:
    header, blocks = read(car.archive(BLOCKS[0][0], BLOCKS))
    assert header == {"version": 1, "roots": [cbor2.CBORTag(42, b"\x00" + BLOCKS[0][0])]}
    assert blocks == BLOCKS


def test_a_list_links_to_its_blocks_and_is_named_by_its_content() -> None:
    root, data = car.list_of([cid for cid, _ in BLOCKS])
    assert [link.value[1:] for link in cbor2.loads(data)] == [cid for cid, _ in BLOCKS]
    named = CID.decode(root)
    assert (named.version, named.codec.name, named.digest) == (1, "dag-cbor", multihash.digest(data, "sha2-256"))

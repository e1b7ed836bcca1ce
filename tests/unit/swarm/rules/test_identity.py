"""A member's key: its peer id and its signature."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from p2pcache.swarm.rules import identity


def test_the_peer_id_of_libp2p_for_a_known_key() -> None:
    # https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md, the Ed25519 test vector
    private = bytes.fromhex("7e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d")
    public = "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"
    key = ed25519.Ed25519PrivateKey.from_private_bytes(private)
    assert key.public_key().public_bytes_raw().hex() == public
    assert identity.peer_id(private) == "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"


def test_a_signature_is_its_authors_and_of_this_statement() -> None:
    me = identity.Identity(b"1" * 32)
    signature = me.sign(b"said")
    assert identity.signed(me.peer, b"said", signature)
    assert not identity.signed(me.peer, b"not said", signature)
    assert not identity.signed(identity.peer_id(b"2" * 32), b"said", signature)
    assert not identity.signed(me.peer, b"said", b"short")


@pytest.mark.parametrize("peer", ["", "0OIl", "Qm" + "a" * 44, "z" * 64, "1" * 52])
def test_who_has_no_ed25519_key_has_signed_nothing(peer: str) -> None:
    assert not identity.signed(peer, b"said", bytes(64))

"""The node's key on disk."""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519

from p2pcache.swarm import SwarmError, identity


def test_made_once_private_and_kept(tmp_path):
    path = tmp_path / "state" / "identity"
    seed = identity.load(path)
    assert identity.load(path) == seed
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_the_peer_id_of_libp2p_for_a_known_key():
    # https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md, the Ed25519 test vector
    private = bytes.fromhex("7e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d")
    public = "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"
    key = ed25519.Ed25519PrivateKey.from_private_bytes(private)
    assert key.public_key().public_bytes_raw().hex() == public
    assert identity.peer_id(private) == "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"


def test_nodes_that_start_together_make_one_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        seeds = set(pool.map(lambda _: identity.load(tmp_path / "identity"), range(16)))
    assert len(seeds) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["identity"]


def pem(key: object) -> bytes:
    return key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"not a key", pem(x25519.X25519PrivateKey.generate())[:60], pem(x25519.X25519PrivateKey.generate())],
    ids=["empty", "no key", "cut off", "of another kind"],
)
def test_another_file_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "identity"
    path.write_bytes(content)
    with pytest.raises(SwarmError, match="is not an Ed25519 key"):
        identity.load(path)
    assert path.read_bytes() == content


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(SwarmError, match="cannot be read"):
        identity.load(tmp_path)


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SwarmError, match="cannot be read"):
        identity.load(tmp_path / "file" / "identity")
    with pytest.raises(SwarmError, match="cannot be written"):
        identity.load(tmp_path / ("x" * 250))


def test_a_key_is_one_processs_at_a_time(tmp_path):
    path = tmp_path / "identity"
    first, second, third = (identity.hold(path) for _ in range(3))
    assert first.kept
    assert first.seed == identity.load(path)
    assert not second.kept
    assert len({first.seed, second.seed, third.seed}) == 3
    second.release()
    assert not identity.hold(path).kept
    first.release()
    first.release()
    again = identity.hold(path)
    assert again.kept
    assert again.seed == first.seed
    again.release()


def test_where_files_cannot_be_locked_the_key_is_used_all_the_same(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    held = identity.hold(tmp_path / "identity")
    assert held.kept
    assert held.seed == identity.load(tmp_path / "identity")
    held.release()


def test_a_signature_is_its_authors_and_of_this_statement():
    me = identity.Identity(b"1" * 32)
    signature = me.sign(b"said")
    assert identity.signed(me.peer, b"said", signature)
    assert not identity.signed(me.peer, b"not said", signature)
    assert not identity.signed(identity.peer_id(b"2" * 32), b"said", signature)
    assert not identity.signed(me.peer, b"said", b"short")


@pytest.mark.parametrize("peer", ["", "0OIl", "Qm" + "a" * 44, "z" * 64, "1" * 52])
def test_who_has_no_ed25519_key_has_signed_nothing(peer):
    assert not identity.signed(peer, b"said", bytes(64))

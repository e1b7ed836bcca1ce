"""The node's key on disk."""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import x25519

from p2pcache.swarm import SwarmError, key_file


def test_made_once_private_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "state" / "identity"
    seed = key_file.load(path)
    assert key_file.load(path) == seed
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_nodes_that_start_together_make_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        seeds = set(pool.map(lambda _: key_file.load(tmp_path / "identity"), range(16)))
    assert len(seeds) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["identity"]


def pem(key: x25519.X25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"not a key", pem(x25519.X25519PrivateKey.generate())[:60], pem(x25519.X25519PrivateKey.generate())],
    ids=["empty", "no key", "cut off", "of another kind"],
)
def test_another_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "identity"
    path.write_bytes(content)
    with pytest.raises(SwarmError, match="is not an Ed25519 key"):
        key_file.load(path)
    assert path.read_bytes() == content


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SwarmError, match="cannot be read"):
        key_file.load(tmp_path)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SwarmError, match="cannot be read"):
        key_file.load(tmp_path / "file" / "identity")
    with pytest.raises(SwarmError, match="cannot be written"):
        key_file.load(tmp_path / ("x" * 250))


def test_a_key_is_one_processs_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "identity"
    first, second, third = (key_file.hold(path) for _ in range(3))
    assert first.kept
    assert first.identity.seed == key_file.load(path)
    assert not second.kept
    assert len({first.identity.seed, second.identity.seed, third.identity.seed}) == 3
    second.release()
    assert not key_file.hold(path).kept
    first.release()
    first.release()
    again = key_file.hold(path)
    assert again.kept
    assert again.identity.seed == first.identity.seed
    again.release()


def test_where_files_cannot_be_locked_the_key_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    held = key_file.hold(tmp_path / "identity")
    assert held.kept
    assert held.identity.seed == key_file.load(tmp_path / "identity")
    held.release()

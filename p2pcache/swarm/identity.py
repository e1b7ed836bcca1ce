"""The node's Ed25519 key: made once, kept on disk, so that a hub's peer id never changes.

Two processes with one key would be one peer, of which a third keeps only the connection that came last. So a key is
one process's at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from p2pcache.swarm.config import SwarmError

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
# Multihash "identity", 36 bytes, of the protobuf PublicKey{Ed25519, 32 bytes}: https://github.com/libp2p/specs peer-ids
_PREFIX = bytes.fromhex("002408011220")


class Identity:
    """A member's key: its peer id, and what it says in its own name wherever others carry it.

    `kept`: the key is the one on disk, not one for this process alone; `lock` is the descriptor that holds it.
    """

    def __init__(self, seed: bytes, *, kept: bool = True, lock: int | None = None) -> None:
        self.seed = seed
        self.kept = kept
        self.peer = peer_id(seed)
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._lock = lock

    def sign(self, statement: bytes) -> bytes:
        """The 64-byte Ed25519 signature."""
        return self._key.sign(statement)

    def release(self) -> None:
        """Let another process have the key."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def hold(path: Path) -> Identity:
    """The key kept in `path`, or a new one for this process alone while another has that one.

    Raises:
        SwarmError: as `load`.
    """
    seed = load(path)
    lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return Identity(secrets.token_bytes(32), kept=False)
    except OSError:  # a file system without locks
        os.close(lock)
        return Identity(seed)
    return Identity(seed, lock=lock)


def load(path: Path) -> bytes:
    """The 32-byte seed kept in `path` (PKCS #8, PEM), made and written with mode 0600 when there is none.

    Raises:
        SwarmError: the file cannot be read or written, or is not such a key.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        return _create(path)
    except OSError as error:
        raise SwarmError(f"the identity {path} cannot be read ({error.strerror}): check its owner and mode") from None
    except (ValueError, TypeError):
        raise SwarmError(
            f"the identity {path} is not an Ed25519 key in PEM: move it away and a new one is made"
        ) from None


def _read(path: Path) -> bytes:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError
    return key.private_bytes_raw()


def _create(path: Path) -> bytes:
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        write_once(path, pem)
        return _read(path)
    except OSError as error:
        raise SwarmError(f"the identity {path} cannot be written ({error.strerror}): check the directory") from None


def write_once(path: Path, content: bytes) -> None:
    """Make a file that its owner alone may read, whole or not at all; one that is there already stays.

    Raises:
        OSError: it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    # A link fails where a rename would replace: of two nodes that start together one makes the file.
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(draft)
    draft.unlink()


def signed(peer: str, statement: bytes, signature: bytes) -> bool:
    """Whether `peer` signed `statement`; its id holds its public key, so nobody else has to be asked."""
    public = _public(peer)
    if public is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, statement)
    except (InvalidSignature, ValueError):
        return False
    return True


@functools.lru_cache(maxsize=1024)
def _public(peer: str) -> bytes | None:
    number = 0
    for digit in peer:
        value = _BASE58.find(digit)
        if value < 0:
            return None
        number = number * 58 + value
    length = len(_PREFIX) + 32
    if number.bit_length() > 8 * length:
        return None
    data = number.to_bytes(length, "big")
    return data[len(_PREFIX) :] if data.startswith(_PREFIX) else None


def peer_id(seed: bytes) -> str:
    """The libp2p peer id (base58) of a key, without loading libp2p."""
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    number = int.from_bytes(_PREFIX + public, "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return "1" + text  # the leading zero byte of the multihash

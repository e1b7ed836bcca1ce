"""The node's Ed25519 key on disk: made once, so that a hub's peer id never changes, and one process's at a time.

Two processes with one key would be one peer, of which a third keeps only the connection that came last.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from p2pcache import files
from p2pcache.swarm.rules.config import SwarmError
from p2pcache.swarm.rules.identity import Identity


class HeldKey:
    """The key of this process.

    Attributes:
        identity: made from it.
        kept: whether it is the one on disk, not one for this process alone.
    """

    def __init__(self, seed: bytes, *, kept: bool = True, lock: int | None = None) -> None:
        self.identity = Identity(seed)
        self.kept = kept
        self._lock = lock

    def release(self) -> None:
        """Let another process have the key."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def hold(path: Path) -> HeldKey:
    """Take the key kept in `path`, or a new one for this process alone while another process has that one.

    Raises:
        SwarmError: as `load`.
    """
    seed = load(path)
    lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return HeldKey(secrets.token_bytes(32), kept=False)
    except OSError:  # a file system without locks
        os.close(lock)
        return HeldKey(seed)
    return HeldKey(seed, lock=lock)


def load(path: Path) -> bytes:
    """Return the 32-byte seed kept in `path` (PKCS #8, PEM); make it and write it with mode 0600 when there is none.

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
        files.create(path, pem)
        return _read(path)
    except OSError as error:
        raise SwarmError(f"the identity {path} cannot be written ({error.strerror}): check the directory") from None

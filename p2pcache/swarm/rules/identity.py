"""A member's Ed25519 key: its peer id, its signature, and how others check one. No file, no network."""

from __future__ import annotations

import functools

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
# Multihash "identity", 36 bytes, of the protobuf PublicKey{Ed25519, 32 bytes}: https://github.com/libp2p/specs peer-ids
_PREFIX = bytes.fromhex("002408011220")


class Identity:
    """A key and its peer id.

    Args:
        seed: 32 bytes, the private key.
    """

    def __init__(self, seed: bytes) -> None:
        self.seed = seed
        self.peer = peer_id(seed)
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    def sign(self, statement: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature."""
        return self._key.sign(statement)


def signed(peer: str, statement: bytes, signature: bytes) -> bool:
    """Return whether `peer` signed `statement`; its id holds its public key, so no other member has to be asked."""
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
    """Return the libp2p peer id (base58) of a key, without loading libp2p."""
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    number = int.from_bytes(_PREFIX + public, "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return "1" + text  # the leading zero byte of the multihash

"""Proof of membership: a peer that does not know the swarm's secret learns that, and nothing else.

After Noise both sides know each other's peer id for certain. Each sends a fresh nonce, then an HMAC-SHA256 over both
ids and both nonces, its own first; the side that dialled does so first, and an acceptor answers only a good one. Own id
first makes the two proofs of one session different (a proof cannot be sent back), the verifier's nonce makes every
session's different (a proof cannot be replayed).
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable

NONCE = 32
KEY = 32
_LABEL = b"p2pcache membership 1"


def nonce() -> bytes:
    """A fresh nonce of `NONCE` bytes."""
    return secrets.token_bytes(NONCE)


def prove(key: bytes, prover: str, verifier: str, prover_nonce: bytes, verifier_nonce: bytes) -> bytes:
    """The 32-byte proof that `prover` knows `key`, good for `verifier` in this session only.

    Raises:
        ValueError: a key or nonce of the wrong length, a programming error.
    """
    if len(key) != KEY or len(prover_nonce) != NONCE or len(verifier_nonce) != NONCE:
        raise ValueError("membership keys and nonces are 32 bytes")
    parts = (_LABEL, prover.encode(), verifier.encode(), prover_nonce, verifier_nonce)
    # Lengths make the encoding injective: no two different sessions give the same message.
    message = b"".join(len(part).to_bytes(2, "big") + part for part in parts)
    return hmac.digest(key, message, "sha256")


def proved(
    mac: bytes, keys: Iterable[bytes], prover: str, verifier: str, prover_nonce: bytes, verifier_nonce: bytes
) -> bytes | None:
    """The one of `keys` under which `mac` is `prover`'s proof, or None, in time that does not depend on which."""
    right = [
        key
        for key in keys
        if hmac.compare_digest(mac, prove(key, prover, verifier, prover_nonce, verifier_nonce))  # every key is compared
    ]
    return right[0] if right else None

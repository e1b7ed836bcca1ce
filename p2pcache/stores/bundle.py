"""What a store keeps of one resource: the newest pointers of a few scopes, sealed as one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

from p2pcache.cache.entry import Pointer
from p2pcache.cache.sealing import Keyring, SealedKind, SealError

MAX_SCOPES = 8
"""The most pointers of a resource, one for each scope. A pointer of any scope can be proved for any other."""
MAX_BUNDLE = 128 << 10
"""Bytes."""

_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Annotated[tuple[Pointer, ...], msgspec.Meta(max_length=MAX_SCOPES)])


class BundleError(ValueError):
    """Bytes that are no bundle of this resource; the message is the reason."""


def seal(keyring: Keyring, name: bytes, pointers: Iterable[Pointer], most: int = MAX_BUNDLE) -> bytes | None:
    """Seal the newest of a resource's `pointers` that fit into `most` bytes; None where not even one fits."""
    newest = sorted(pointers, key=lambda pointer: pointer.proved_at, reverse=True)[:MAX_SCOPES]
    while newest:
        sealed = keyring.seal(_encoder.encode(newest), SealedKind.BUNDLE, name)
        if len(sealed) <= most:
            return sealed
        newest.pop()
    return None


def unseal(keyring: Keyring, name: bytes, sealed: bytes) -> tuple[Pointer, ...]:
    """Open the bytes of `seal`.

    Raises:
        BundleError: another fleet's, another resource's, changed, or malformed.
    """
    if len(sealed) > MAX_BUNDLE:
        raise BundleError(f"a bundle of {len(sealed)} bytes is larger than the bound of {MAX_BUNDLE}")
    try:
        pointers: tuple[Pointer, ...] = _decoder.decode(keyring.open(sealed, SealedKind.BUNDLE, name))
    except SealError as error:
        raise BundleError(str(error)) from None
    except _MALFORMED as error:
        raise BundleError(f"malformed bundle: {error}") from None
    if any(pointer.name != name for pointer in pointers):
        raise BundleError("a bundle with a pointer of another resource")
    return pointers


def merged(pointers: Iterable[Pointer], more: Iterable[Pointer]) -> tuple[Pointer, ...]:
    """Return the newest pointer of each scope, the newest scope first."""
    by_scope: dict[bytes, Pointer] = {}
    for pointer in (*pointers, *more):
        known = by_scope.get(pointer.scope)
        if known is None or pointer.proved_at >= known.proved_at:
            by_scope[pointer.scope] = pointer
    return tuple(sorted(by_scope.values(), key=lambda pointer: pointer.proved_at, reverse=True))

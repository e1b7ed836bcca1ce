"""The pointers of a resource as a store keeps them: sealed, bounded, of that resource alone."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.cache.entry import Pointer
from p2pcache.cache.sealing import Keyring, SealedKind, generate_secret
from p2pcache.stores import bundle
from p2pcache.testing.conformance import KEYRING, make

POINTER = make().pointer
NAME = POINTER.name


def of(scope: str, proved_at: float = 1000.0, **changes: object) -> Pointer:
    return make(scope=scope, proved_at=proved_at, **changes).pointer  # type: ignore[arg-type]


def sealed(*pointers: Pointer) -> bytes:
    made = bundle.seal(KEYRING, NAME, pointers)
    assert made is not None
    return made


def test_what_is_sealed_is_opened() -> None:
    pointers = (of("a", 3.0), of("b", 2.0), of("c", 1.0))
    assert bundle.unseal(KEYRING, NAME, sealed(*reversed(pointers))) == pointers


def test_the_newest_scopes_are_kept() -> None:
    opened = bundle.unseal(KEYRING, NAME, sealed(*(of(str(number), float(number)) for number in range(20))))
    assert [pointer.proved_at for pointer in opened] == [19.0, 18.0, 17.0, 16.0, 15.0, 14.0, 13.0, 12.0]


def test_what_does_not_fit_is_left_out_the_oldest_first() -> None:
    one = bundle.seal(KEYRING, NAME, [of("a", 2.0)])
    assert one is not None
    assert bundle.seal(KEYRING, NAME, [of("b", 1.0), of("a", 2.0)], most=len(one)) == one
    assert bundle.seal(KEYRING, NAME, [of("a", 2.0)], most=len(one) - 1) is None
    assert bundle.seal(KEYRING, NAME, []) is None


def test_of_each_scope_the_newest_counts() -> None:
    old, new, other = of("a", 1.0), of("a", 2.0), of("b", 1.5)
    assert bundle.merged([old, other], [new]) == (new, other)
    assert bundle.merged([new], [old, other]) == (new, other)


OTHERS = Keyring.from_secrets([generate_secret()])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "truncated"),
        (sealed(POINTER)[:-1] + b"\x00", "changed"),
        (bundle.seal(OTHERS, NAME, [POINTER]), "a secret this node does not have"),
        (KEYRING.seal(b"\xc1", SealedKind.BUNDLE, NAME), "malformed"),
        (KEYRING.seal(msgspec.msgpack.encode([POINTER] * 9), SealedKind.BUNDLE, NAME), "malformed"),
        (KEYRING.seal(msgspec.msgpack.encode([make("/other").pointer]), SealedKind.BUNDLE, NAME), "another resource"),
        (bundle.seal(KEYRING, b"n" * 32, [POINTER]), "belong"),
        (bytes(bundle.MAX_BUNDLE + 1), "larger"),
    ],
)
def test_what_is_no_bundle_of_the_resource_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(bundle.BundleError, match=why):
        bundle.unseal(KEYRING, NAME, data)


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_do_harm(data: bytes, known: bool) -> None:
    """Also under the fleet's own key: a member may be a liar."""
    with contextlib.suppress(bundle.BundleError):
        bundle.unseal(KEYRING, NAME, KEYRING.seal(data, SealedKind.BUNDLE, NAME) if known else data)

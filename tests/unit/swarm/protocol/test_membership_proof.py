"""Proof of membership."""

from __future__ import annotations

import pytest

from p2pcache.swarm.protocol.membership_proof import nonce, prove, proved

OLD, NEW, WRONG = b"o" * 32, b"n" * 32, b"w" * 32
A, B = "12D3KooWA", "12D3KooWB"
NA, NB = b"a" * 32, b"b" * 32


def test_who_knows_a_key_is_a_member() -> None:
    assert proved(prove(NEW, A, B, NA, NB), (NEW,), A, B, NA, NB)


@pytest.mark.parametrize(
    ("key", "prover", "verifier", "mine", "theirs"),
    [
        (WRONG, A, B, NA, NB),
        (NEW, B, A, NB, NA),
        (NEW, A, B, NA, b"x" * 32),
        (NEW, A, B, b"x" * 32, NB),
        (NEW, A, "12D3KooWC", NA, NB),
        (NEW, "12D3KooWC", B, NA, NB),
    ],
    ids=["wrong key", "sent back", "replayed to a fresh nonce", "other nonce", "for another verifier", "another's"],
)
def test_any_other_proof_is_refused(key: bytes, prover: str, verifier: str, mine: bytes, theirs: bytes) -> None:
    assert not proved(prove(key, prover, verifier, mine, theirs), (NEW,), A, B, NA, NB)


def test_during_a_rotation_old_and_new_keys_are_accepted() -> None:
    for key in (OLD, NEW):
        assert proved(prove(key, A, B, NA, NB), (NEW, OLD), A, B, NA, NB)


def test_names_of_different_length_never_make_the_same_message() -> None:
    assert prove(NEW, "ab", "c", NA, NB) != prove(NEW, "a", "bc", NA, NB)


@pytest.mark.parametrize("args", [(b"short", NA, NB), (NEW, b"", NB), (NEW, NA, b"")])
def test_lengths_are_checked(args: tuple[bytes, bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        prove(args[0], A, B, args[1], args[2])


def test_nonces_are_fresh() -> None:
    assert len({nonce() for _ in range(100)}) == 100

"""The address book."""

from __future__ import annotations

import pytest

from p2pcache.swarm import Limits
from p2pcache.swarm.rules import identity
from p2pcache.swarm.rules.address_book import GIVE_UP, AddressBook

TURNS = Limits().dial_turns
A, ME, B, C = sorted(identity.peer_id(bytes([n]) * 32) for n in range(4))


def test_of_two_that_hear_of_each_other_one_dials_first() -> None:
    book = AddressBook(ME, 10, TURNS)
    book.learn(A, ["/ip4/10.0.0.1/tcp/1"], 0.0)
    book.learn(B, ["/ip4/10.0.0.2/tcp/1"], 0.0)
    assert [peer for peer, _ in book.due(7.0, ())] == [B]
    assert {peer for peer, _ in book.due(12.0, ())} == {A, B}
    assert [peer for peer, _ in book.due(12.0, {A})] == [B]


@pytest.mark.parametrize(
    ("peer", "addresses"),
    [(ME, ["/ip4/10.0.0.1/tcp/1"]), (A, []), (A, ["rubbish"]), (A, [f"/ip4/10.0.0.1/tcp/1/p2p/{B}"])],
    ids=["itself", "nowhere", "no address", "another's"],
)
def test_what_is_not_learned(peer: str, addresses: list[str]) -> None:
    book = AddressBook(ME, 10, TURNS)
    book.learn(peer, addresses, 0.0)
    assert len(book) == 0


def test_hearing_the_same_again_does_not_dial_sooner() -> None:
    book = AddressBook(ME, 10, TURNS)
    book.learn(B, ["/ip4/10.0.0.2/tcp/1"], 0.0)
    for _ in range(3):
        book.failed(B, 10.0)
    book.learn(B, ["/ip4/10.0.0.2/tcp/1"], 10.0)
    assert not book.due(11.0, ())
    book.learn(B, ["/ip4/10.0.0.3/tcp/1"], 10.0)
    assert book.due(16.0, ())


def test_who_cannot_be_dialled_is_forgotten() -> None:
    book = AddressBook(ME, 10, TURNS)
    book.learn(B, ["/ip4/10.0.0.2/tcp/1"], 0.0)
    for _ in range(GIVE_UP):
        book.failed(B, 0.0)
    assert len(book) == 0
    book.failed(B, 0.0)
    book.succeeded(B, 0.0)


def test_success_forgives() -> None:
    book = AddressBook(ME, 10, TURNS)
    book.learn(B, ["/ip4/10.0.0.2/tcp/1"], 0.0)
    for _ in range(GIVE_UP - 1):
        book.failed(B, 0.0)
    book.succeeded(B, 100.0)
    assert book.due(106.0, ())
    book.failed(B, 106.0)
    assert len(book) == 1


def test_it_is_bounded_and_survives_a_restart() -> None:
    book = AddressBook(ME, 2, TURNS)
    for number, peer in enumerate([A, B, C]):
        book.learn(peer, [f"/ip4/10.0.0.{number}/tcp/1"], 0.0)
    again = AddressBook(ME, 2, TURNS)
    again.restore(book.dump(), 0.0)
    assert {peer for peer, _ in again.due(20.0, ())} == {B, C}


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b'[["x", []]]'])
def test_a_damaged_dump_is_as_good_as_none(data: bytes) -> None:
    book = AddressBook(ME, 10, TURNS)
    book.restore(data, 0.0)
    assert len(book) == 0


def test_without_a_hub_turns_come_sooner_and_in_the_same_order() -> None:
    book = AddressBook(ME, 10, TURNS)
    book.learn(A, ["/ip4/10.0.0.1/tcp/1"], 0.0)
    book.learn(B, ["/ip4/10.0.0.2/tcp/1"], 0.0)
    book.hurry(0.0)
    assert [peer for peer, _ in book.due(0.5, ())] == [B]
    assert {peer for peer, _ in book.due(1.5, ())} == {A, B}


def test_hurrying_puts_nobody_off() -> None:
    book = AddressBook(ME, 10, TURNS)
    book.learn(B, ["/ip4/10.0.0.2/tcp/1"], 0.0)
    book.hurry(100.0)
    assert book.due(6.0, ())

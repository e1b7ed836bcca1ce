"""Leases: one holder at a time, nobody left waiting."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from p2pcache.cache.arbiter import Arbiter, Claim, Ruling, Verdict, choose

A, B, C, D = (Claim(peer, 1) for peer in "abcd")
NOW = 1.0
R, S, T = b"resource", b"scope", b"other scope"


@pytest.fixture
def arbiter() -> Arbiter[str]:
    return made()


def made(bound: int = 100, share: int = 100, distrust: float = 60.0) -> Arbiter[str]:
    return Arbiter(lease=10.0, bound=bound, share=share, distrust=distrust)


def wait(claim: Claim, asking: Claim) -> Ruling[str]:
    return Ruling(claim, Verdict.WAIT, asking=asking)


def test_the_first_asks_the_others_wait_and_find_what_it_left(arbiter: Arbiter[str]) -> None:
    assert arbiter.ask(A, R, S, 0.0) == [Ruling(A, Verdict.GRANT)]
    assert arbiter.ask(B, R, S, 0.0) == [wait(B, A)]
    assert arbiter.ask(C, R, S, 0.0) == [wait(C, A)]
    assert arbiter.release(A, "left", NOW) == [Ruling(x, Verdict.FREE, "left", "a") for x in (B, C)]
    assert len(arbiter) == 0


def test_other_resources_do_not_wait(arbiter: Arbiter[str]) -> None:
    arbiter.ask(A, R, S, 0.0)
    assert arbiter.ask(B, b"another", S, 0.0) == [Ruling(B, Verdict.GRANT)]


def test_of_each_other_scope_one_goes_on_for_its_scope(arbiter: Arbiter[str]) -> None:
    arbiter.ask(A, R, S, 0.0)
    for claim in (B, C):
        arbiter.ask(claim, R, T, 0.0)
    arbiter.ask(D, R, S, 0.0)
    assert arbiter.release(A, "left", NOW) == [
        Ruling(D, Verdict.FREE, "left", "a"),
        Ruling(B, Verdict.GRANT, "left", "a"),
    ]
    assert arbiter.ask(D, R, T, NOW) == [wait(D, B)]
    assert arbiter.release(B, "proved", NOW) == [Ruling(x, Verdict.FREE, "proved", "b") for x in (C, D)]


def test_a_scope_that_is_done_leaves_the_others_theirs(arbiter: Arbiter[str]) -> None:
    other = b"a third scope"
    arbiter.ask(A, R, S, 0.0)
    arbiter.ask(B, R, T, 0.0)
    arbiter.ask(C, R, other, 0.0)
    assert [ruling.verdict for ruling in arbiter.release(A, "left", NOW)] == [Verdict.GRANT, Verdict.GRANT]
    assert arbiter.release(B, "proved", NOW) == []
    assert arbiter.ask(D, R, other, NOW) == [wait(D, C)]
    assert arbiter.release(C, "proved too", NOW) == [Ruling(D, Verdict.FREE, "proved too", "c")]


def test_what_was_left_before_a_write_is_not_offered_after_it(arbiter: Arbiter[str]) -> None:
    arbiter.ask(A, R, S, 0.0)
    arbiter.release(A, "left", NOW)
    assert arbiter.ask(B, R, S, NOW) == [Ruling(B, Verdict.FREE, "left", "a")]
    arbiter.forget_results()
    assert arbiter.ask(B, R, S, NOW) == [Ruling(B, Verdict.GRANT)]
    assert arbiter.ask(C, R, S, NOW) == [wait(C, B)]


def test_what_a_holder_left_and_nobody_can_have_is_asked_for_once_more(arbiter: Arbiter[str]) -> None:
    for claim in (A, B, C, D):
        arbiter.ask(claim, R, S, 0.0)
    arbiter.release(A, "left", NOW)
    assert arbiter.ask(B, R, S, NOW, exclude=["a"]) == [Ruling(B, Verdict.GRANT)]
    assert arbiter.ask(C, R, S, NOW, exclude=["a"]) == [wait(C, B)]
    assert arbiter.release(B, "left anew", NOW) == [Ruling(C, Verdict.FREE, "left anew", "b")]
    assert arbiter.ask(D, R, S, NOW, exclude=["a"]) == [Ruling(D, Verdict.FREE, "left anew", "b")]


def test_a_refused_holder_frees_its_scope_at_once(arbiter: Arbiter[str]) -> None:
    arbiter.ask(A, R, S, 0.0)
    arbiter.ask(B, R, S, 0.0)
    assert arbiter.release(A, None, NOW) == [Ruling(B, Verdict.FREE, None, "a")]


def test_a_holder_that_abandons_is_succeeded_by_one(arbiter: Arbiter[str]) -> None:
    for claim in (A, B, C):
        arbiter.ask(claim, R, S, 0.0)
    assert arbiter.abandon(A, 0.5) == [Ruling(B, Verdict.GRANT)]
    assert arbiter.abandon(C, 0.5) == []
    assert arbiter.abandon(D, 0.5) == []
    assert arbiter.abandon(B, 0.5) == []
    assert len(arbiter) == 0


def test_when_a_holder_dies_the_next_takes_its_place(arbiter: Arbiter[str]) -> None:
    for claim in (A, B, C):
        arbiter.ask(claim, R, S, 0.0)
    assert arbiter.gone({"a"}, 1.0) == [Ruling(B, Verdict.GRANT)]
    assert arbiter.release(B, "left", NOW) == [Ruling(C, Verdict.FREE, "left", "b")]


def test_a_waiter_that_leaves_is_not_granted_later(arbiter: Arbiter[str]) -> None:
    for claim in (A, B, C):
        arbiter.ask(claim, R, S, 0.0)
    assert arbiter.release(B, None, NOW) == []
    assert arbiter.gone({"a"}, 1.0) == [Ruling(C, Verdict.GRANT)]
    assert arbiter.gone({"c"}, 1.0) == []
    assert arbiter.ask(D, R, S, 1.0) == [Ruling(D, Verdict.GRANT)]


def test_a_waiter_that_dies(arbiter: Arbiter[str]) -> None:
    arbiter.ask(A, R, S, 0.0)
    arbiter.ask(B, R, S, 0.0)
    assert arbiter.gone({"b"}, 0.0) == []
    assert arbiter.release(A, "left", NOW) == []


def test_a_holder_that_takes_too_long_is_passed_over(arbiter: Arbiter[str]) -> None:
    arbiter.ask(A, R, S, 0.0)
    arbiter.ask(B, R, S, 5.0)
    assert arbiter.expire(9.9) == []
    assert arbiter.expire(10.0) == [Ruling(B, Verdict.GRANT)]
    assert arbiter.expire(19.9) == []
    assert arbiter.release(A, "late", NOW) == []


def test_beyond_the_bound_everybody_may_ask() -> None:
    arbiter = made(bound=1)
    arbiter.ask(A, R, S, 0.0)
    assert arbiter.ask(B, R, S, 0.0) == [Ruling(B, Verdict.GRANT)]
    assert len(arbiter) == 1


def test_asking_twice_does_not_wait_for_oneself(arbiter: Arbiter[str]) -> None:
    arbiter.ask(A, R, S, 0.0)
    assert arbiter.ask(A, R, S, 0.0) == [Ruling(A, Verdict.GRANT)]
    assert arbiter.release(A, "left", NOW) == []


def test_all_who_see_the_same_members_agree_and_a_loss_moves_little() -> None:
    peers = [f"peer-{n}" for n in range(10)]
    resources = [bytes([n]) for n in range(200)]
    before = {r: choose(r, peers) for r in resources}
    assert {r: choose(r, reversed(peers)) for r in resources} == before
    after = {r: choose(r, peers[1:]) for r in resources}
    assert all(before[r] in (after[r], peers[0]) for r in resources)
    assert len(set(before.values())) == 10


def test_who_asks_a_moment_late_is_told_what_was_left(arbiter: Arbiter[str]) -> None:
    arbiter.ask(A, R, S, 0.0)
    arbiter.release(A, "left", NOW)
    assert arbiter.ask(B, R, S, NOW + 0.9) == [Ruling(B, Verdict.FREE, "left", "a")]
    assert arbiter.ask(C, R, T, NOW + 0.9) == [Ruling(C, Verdict.GRANT)]
    arbiter.release(C, None, NOW)
    assert arbiter.ask(D, R, S, NOW + 1.0) == [Ruling(D, Verdict.GRANT)]


def test_what_was_left_is_bounded() -> None:
    arbiter = made(bound=3)
    for number in range(10):
        arbiter.ask(A, bytes([number]), S, 0.0)
        arbiter.release(A, "left", NOW)
    assert len(arbiter._recent) == 3


class Fleet(RuleBasedStateMachine):
    """Whatever happens: one holder a resource and scope, and every waiter is told in the end."""

    def __init__(self) -> None:
        super().__init__()
        self.arbiter = made(bound=1000, share=1000, distrust=0.0)
        self.now = 0.0
        self.tokens = 0
        self.state: dict[Claim, tuple[Verdict, bytes, bytes]] = {}

    def apply(self, rulings: list[Ruling[str]]) -> None:
        for ruling in rulings:
            _, resource, scope = self.state[ruling.claim]
            if ruling.verdict is Verdict.FREE:
                del self.state[ruling.claim]
            else:
                self.state[ruling.claim] = (ruling.verdict, resource, scope)

    @rule(peer=st.sampled_from("abcde"), resource=st.sampled_from([b"r", b"q"]), scope=st.sampled_from([b"s", b"t"]))
    def ask(self, peer: str, resource: bytes, scope: bytes) -> None:
        self.tokens += 1
        claim = Claim(peer, self.tokens)
        self.state[claim] = (Verdict.WAIT, resource, scope)
        self.apply(self.arbiter.ask(claim, resource, scope, self.now))

    @rule(data=st.data(), left=st.sampled_from(["x", None]))
    def release(self, data: st.DataObject, left: str | None) -> None:
        if self.state:
            claim = data.draw(st.sampled_from(sorted(self.state, key=lambda c: c.token)))
            rulings = self.arbiter.release(claim, left, self.now)
            del self.state[claim]
            self.apply(rulings)

    @rule(peer=st.sampled_from("abcde"))
    def die(self, peer: str) -> None:
        for claim in [claim for claim in self.state if claim.peer == peer]:
            self.state.pop(claim)
        self.apply(self.arbiter.gone({peer}, self.now))

    @rule(seconds=st.floats(0.1, 12.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        holders = {claim for claim, (verdict, _, _) in self.state.items() if verdict is Verdict.GRANT}
        rulings = self.arbiter.expire(self.now)
        for claim in holders - set(self.arbiter._claims):
            del self.state[claim]
        self.apply(rulings)

    @invariant()
    def one_holder(self) -> None:
        held = [(r, s) for verdict, r, s in self.state.values() if verdict is Verdict.GRANT]
        assert len(held) == len(set(held))

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        held = {r for verdict, r, _ in self.state.values() if verdict is Verdict.GRANT}
        assert {r for verdict, r, _ in self.state.values() if verdict is Verdict.WAIT} <= held

    @invariant()
    def nothing_is_forgotten(self) -> None:
        assert set(self.state) == set(self.arbiter._claims)


Fleet.TestCase.settings = settings(stateful_step_count=30)
test_fleet = Fleet.TestCase


def test_one_peer_makes_others_wait_for_so_much_at_a_time() -> None:
    arbiter = made(share=2)
    greedy = [Claim("greedy", token) for token in range(5)]
    for token, claim in enumerate(greedy):
        assert arbiter.ask(claim, bytes([token]), S, 0.0) == [Ruling(claim, Verdict.GRANT)]
    assert len(arbiter) == 2
    assert arbiter.ask(B, bytes([1]), S, 0.0) == [wait(B, greedy[1])]
    assert arbiter.ask(C, bytes([4]), S, 0.0) == [Ruling(C, Verdict.GRANT)]
    arbiter.abandon(greedy[0], 0.0)
    assert len(arbiter) == 3
    assert arbiter.peers() == {"greedy", "b", "c"}


def test_nobody_waits_again_for_one_that_let_others_wait_for_nothing(arbiter: Arbiter[str]) -> None:
    arbiter.ask(A, R, S, 0.0)
    arbiter.ask(B, R, S, 0.0)
    assert arbiter.expire(10.0) == [Ruling(B, Verdict.GRANT)]
    again = Claim("a", 2)
    assert arbiter.ask(again, b"another", S, 11.0) == [Ruling(again, Verdict.GRANT)]
    assert arbiter.ask(C, b"another", S, 11.0) == [Ruling(C, Verdict.GRANT)]
    assert arbiter.ask(D, b"another", S, 11.0) == [wait(D, C)]
    arbiter.expire(71.0)
    later = Claim("a", 3)
    arbiter.ask(later, b"a third", S, 71.0)
    assert arbiter.ask(B, b"a third", S, 71.0) == [wait(B, later)]


def test_a_holder_that_is_late_with_what_nobody_waits_for_harms_nobody(arbiter: Arbiter[str]) -> None:
    arbiter.ask(A, R, S, 0.0)
    assert arbiter.expire(10.0) == []
    again = Claim("a", 2)
    arbiter.ask(again, R, S, 11.0)
    assert arbiter.ask(B, R, S, 11.0) == [wait(B, again)]


def test_what_a_claim_holds(arbiter: Arbiter[str]) -> None:
    arbiter.ask(A, R, S, 0.0)
    arbiter.ask(B, R, T, 0.0)
    assert arbiter.holding(A) == (R, S)
    assert arbiter.holding(B) is None
    assert arbiter.holding(C) is None

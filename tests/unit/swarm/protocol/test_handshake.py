"""The handshake without a link: frames in, steps out."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from p2pcache.swarm.protocol import membership_proof as proof
from p2pcache.swarm.protocol.frames import (
    MAGIC,
    MAJOR,
    MINOR,
    AnyFrame,
    Bye,
    Enrol,
    Granted,
    Hello,
    NewerFrame,
    Ping,
    Proof,
    Welcome,
)
from p2pcache.swarm.protocol.handshake import (
    Admit,
    Card,
    Member,
    Receive,
    Response,
    Send,
    Step,
    Steps,
    Trust,
    enrolment,
    handshake,
)
from p2pcache.swarm.rules.admitted import Admitted
from p2pcache.swarm.rules.reasons import Ended, Reason
from tests.unit.swarm.admitting import place

KEY = b"k" * 32


PLAIN = Card(False, ())


def side(me: str = "A", peer: str = "B", *, dialled: bool = True, card: Card = PLAIN) -> Steps:
    return handshake(me, peer, card, (KEY,), 300.0, dialled=dialled)


def talk(
    one: Steps, other: Steps, admitted: Admitted | None = None
) -> tuple[tuple[list[type], list[type]], list[Member]]:
    """Carry the frames of two sides to each other; what each did, and the member it met."""
    frames: tuple[list[AnyFrame], list[AnyFrame]] = ([], [])
    steps: tuple[list[type], list[type]] = ([], [])
    members: dict[int, Member] = {}
    waiting: list[Step | None] = [None, None]
    while len(members) < 2:
        for n, each in enumerate((one, other)):
            if n in members or (waiting[n] == Receive() and not frames[n]):
                continue
            answer: Response = None
            if waiting[n] == Receive():
                answer = frames[n].pop(0)
            elif isinstance(waiting[n], Admit):
                answer = admitted
            try:
                step = each.send(answer)
            except StopIteration as end:
                members[n] = end.value
                continue
            waiting[n] = step
            steps[n].append(step.frame.__class__ if isinstance(step, Send) else step.__class__)
            if isinstance(step, Send):
                frames[1 - n].append(step.frame)
    return steps, [members[0], members[1]]


def test_the_side_that_dialled_proves_first_and_nothing_of_a_node_is_sent_before_trust() -> None:
    card = Card(True, ("/ip4/10.0.0.1/tcp/1",))
    (dialler, acceptor), (met, other) = talk(side(), side("B", "A", dialled=False, card=card))
    assert dialler == [Hello, Receive, Proof, Receive, Trust, Welcome, Receive]
    assert acceptor == [Hello, Receive, Receive, Proof, Trust, Welcome, Receive]
    assert (met.peer, met.hub, met.addresses, met.minor) == ("B", True, card.addresses, MINOR)
    assert other.peer == "A"


def greeting(steps: Steps) -> Hello:
    """The first frame of a side."""
    step = next(steps)
    assert isinstance(step, Send)
    assert isinstance(step.frame, Hello)
    return step.frame


def reach(steps: Steps, *frames: AnyFrame | NewerFrame) -> None:
    """Answer each `Receive` with the next frame."""
    given = iter(frames)
    step = next(steps)
    while True:
        step = steps.send(next(given) if step == Receive() else None)


def hello(**changes: Any) -> Hello:
    made = Hello(MAGIC, MAJOR, MINOR, b"n" * 32, time.time())
    return msgspec.structs.replace(made, **changes)


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([Ping(1)], Reason.GARBAGE),
        ([NewerFrame(99)], Reason.GARBAGE),
        ([Welcome(False, ())], Reason.GARBAGE),
        ([hello(magic="other")], Reason.GARBAGE),
        ([hello(major=MAJOR + 1)], Reason.VERSION),
        ([hello(), hello()], Reason.GARBAGE),
        ([hello(), Proof(b"m" * 32)], Reason.SECRET),
        ([Bye(int(Reason.FULL))], Reason.FULL),
    ],
)
@pytest.mark.parametrize("dialled", [True, False])
def test_what_ends_it(frames: list[AnyFrame | NewerFrame], reason: Reason, dialled: bool) -> None:
    with pytest.raises(Ended) as ended:
        reach(side(dialled=dialled), *frames)
    assert ended.value.reason is reason


def test_a_clock_that_is_far_off_and_this_node_itself() -> None:
    steps = side()
    mine = greeting(steps)
    steps.send(None)
    steps.send(hello(clock=time.time() + 400))
    steps.send(None)
    with pytest.raises(Ended) as ended:
        steps.send(Proof(proof.prove(KEY, "B", "A", b"n" * 32, mine.nonce)))
    assert ended.value.reason is Reason.CLOCK
    with pytest.raises(Ended) as ended:
        next(side("A", "A"))
    assert ended.value.reason is Reason.ITSELF


@pytest.mark.parametrize("minor", [0, MINOR + 3])
def test_the_minor_version_of_the_other_side_is_kept(minor: int) -> None:
    steps = side()
    mine = greeting(steps)
    steps.send(None)
    steps.send(hello(minor=minor))
    steps.send(None)
    assert steps.send(Proof(proof.prove(KEY, "B", "A", b"n" * 32, mine.nonce))) == Trust()
    next(steps)
    steps.send(None)
    with pytest.raises(StopIteration) as end:
        steps.send(Welcome(False, ()))
    assert end.value.value.minor == minor


GRANTED = place("1")


def enrolling(**changes: Any) -> Steps:
    (key,) = GRANTED.membership_keys
    given: dict[str, Any] = {"dialled": True, "token": "a token"}
    return handshake("A", "B", PLAIN, (key,), 300.0, **(given | changes))


def admitting() -> Steps:
    return side("B", "A", dialled=False)


def test_a_job_sends_its_token_before_its_proof_and_both_prove_what_was_granted() -> None:
    (dialler, acceptor), (met, admitted) = talk(enrolling(), admitting(), GRANTED)
    assert dialler == [Hello, Receive, Enrol, Receive, Proof, Receive, Trust, Welcome, Receive]
    assert acceptor == [Hello, Receive, Receive, Admit, Granted, Receive, Proof, Trust, Welcome, Receive]
    assert met.admitted is None
    assert admitted.admitted is GRANTED


def test_a_job_can_ask_for_its_keys_alone() -> None:
    steps = enrolment("A", "B", "a token")
    next(steps)
    steps.send(None)
    assert steps.send(hello()) == Send(Enrol("a token"))
    assert steps.send(None) == Receive()
    with pytest.raises(StopIteration) as end:
        steps.send(Granted(GRANTED.keys))
    assert end.value.value == GRANTED.keys


def test_an_older_hub_is_not_sent_what_it_does_not_know() -> None:
    with pytest.raises(Ended) as ended:
        reach(enrolling(), hello(minor=0))
    assert ended.value.reason is Reason.OLD_HUB


@pytest.mark.parametrize("answer", [Proof(b"m" * 32), Enrol("another"), NewerFrame(99), Welcome(False, ())])
def test_a_job_goes_on_with_what_it_is_granted_and_nothing_else(answer: AnyFrame) -> None:
    with pytest.raises(Ended) as ended:
        reach(enrolling(), hello(), answer)
    assert ended.value.reason is Reason.GARBAGE


def admit(steps: Steps, answer: object) -> Step:
    greeting(steps)
    steps.send(None)
    steps.send(hello())
    assert steps.send(Enrol("a token")) == Admit("a token")
    return steps.send(answer)  # type: ignore[arg-type]


def test_without_an_answer_nobody_is_admitted() -> None:
    with pytest.raises(Ended) as ended:
        admit(admitting(), None)
    assert ended.value.reason is Reason.TOKEN


def test_the_hubs_own_key_proves_nothing_after_a_token() -> None:
    steps = admitting()
    nonce = greeting(steps).nonce
    steps.send(None)
    steps.send(hello())
    steps.send(Enrol("a token"))
    assert steps.send(GRANTED) == Send(Granted(GRANTED.keys))
    steps.send(None)
    with pytest.raises(Ended) as ended:
        steps.send(Proof(proof.prove(KEY, "A", "B", b"n" * 32, nonce)))
    assert ended.value.reason is Reason.SECRET


@pytest.mark.parametrize("second", [Enrol("again"), Hello(MAGIC, MAJOR, MINOR, b"n" * 32, 0.0)])
def test_a_token_is_taken_once_a_connection(second: AnyFrame) -> None:
    steps = admitting()
    admit(steps, GRANTED)
    steps.send(None)
    with pytest.raises(Ended) as ended:
        steps.send(second)
    assert ended.value.reason is Reason.GARBAGE


def test_the_side_that_dialled_admits_nobody() -> None:
    with pytest.raises(Ended) as ended:
        reach(side(), hello(), Enrol("a token"))
    assert ended.value.reason is Reason.GARBAGE


def test_a_token_is_shown_nowhere() -> None:
    assert "a token" not in repr(Admit("a token"))
    assert GRANTED.keys[0].secret.hex() not in repr(GRANTED)
    assert repr(GRANTED.keys[0]) == "JobKeys(***)"

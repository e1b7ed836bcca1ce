"""The handshake without a link: frames in, steps out."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from p2pcache.swarm.protocol import membership_proof as proof
from p2pcache.swarm.protocol.frames import MAGIC, MAJOR, MINOR, AnyFrame, Bye, Hello, NewerFrame, Ping, Proof, Welcome
from p2pcache.swarm.protocol.handshake import Card, Member, Receive, Send, Step, Steps, Trust, handshake
from p2pcache.swarm.rules.reasons import Ended, Reason

KEY = b"k" * 32


PLAIN = Card(False, ())


def side(me: str = "A", peer: str = "B", *, dialled: bool = True, card: Card = PLAIN) -> Steps:
    return handshake(me, peer, card, (KEY,), 300.0, dialled=dialled)


def talk(one: Steps, other: Steps) -> tuple[tuple[list[type], list[type]], list[Member]]:
    """Carry the frames of two sides to each other; what each did, and the member it met."""
    frames: tuple[list[AnyFrame], list[AnyFrame]] = ([], [])
    steps: tuple[list[type], list[type]] = ([], [])
    members: dict[int, Member] = {}
    waiting: list[Step | None] = [None, None]
    while len(members) < 2:
        for n, each in enumerate((one, other)):
            if n in members or (waiting[n] == Receive() and not frames[n]):
                continue
            try:
                step = each.send(frames[n].pop(0) if waiting[n] == Receive() else None)
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


def test_the_minor_version_of_the_other_side_is_kept() -> None:
    steps = side()
    mine = greeting(steps)
    steps.send(None)
    steps.send(hello(minor=MINOR + 3))
    steps.send(None)
    assert steps.send(Proof(proof.prove(KEY, "B", "A", b"n" * 32, mine.nonce))) == Trust()
    next(steps)
    steps.send(None)
    with pytest.raises(StopIteration) as end:
        steps.send(Welcome(False, ()))
    assert end.value.value.minor == MINOR + 3

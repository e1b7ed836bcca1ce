"""What the Action concludes from what the node says of its peers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from p2pcache.gateway.ask import NodeError
from p2pcache.runner import joining, supervisor
from p2pcache.runner.joining import Joined, join

READY = {"p2p": "ready", "socket": "/s"}
HUB = "/ip4/10.0.0.1/tcp/9100"
OTHER = "/dns4/other/tcp/9100"


def row(address: str, state: str, reason: str = "", via: str = "direct") -> dict[str, str]:
    return {"address": address, "state": state, "reason": reason, "via": via}


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What the node says, one answer after the other, the last for ever."""

    def say(*answers: list[dict[str, str]] | AssertionError | NodeError) -> None:
        left = list(answers)

        def ask(*_: str) -> list[dict[str, str]]:
            rows = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(rows, Exception):
                raise rows
            return rows

        monkeypatch.setattr(joining, "ask_any", ask)

    return say


@pytest.mark.parametrize("state", ["hub", "member", "slow"])
def test_a_peer_that_is_connected(peers: Callable[..., None], state: str) -> None:
    peers([], [row("/ip4/10.9.9.9/tcp/1", state)])
    assert join(READY, [HUB]) == Joined(True)


def test_a_peer_that_was_refused_by_another_hub_and_one_that_connects(peers: Callable[..., None]) -> None:
    peers([row(HUB, "refused", "no")], [row(HUB, "refused", "no"), row(OTHER, "hub")])
    assert join(READY, [HUB, OTHER]) == Joined(True)


def test_a_refusal_by_all_is_not_waited_out(peers: Callable[..., None]) -> None:
    peers([row(HUB, "refused", "the secrets differ"), row(OTHER, "refused", "it is full")])
    said = join(READY, [f"{HUB}/p2p/12D3", OTHER], seconds=1e9)
    assert said == Joined(False, f"not in the swarm: the secrets differ ({HUB}); it is full ({OTHER})")


def test_what_is_not_reached_may_be_in_a_moment(peers: Callable[..., None]) -> None:
    peers([row(HUB, "unreached", "nothing listens there")], [row(HUB, "hub")])
    assert join(READY, [HUB]).connected


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([row(HUB, "unreached", "another peer answers there")], f"another peer answers there ({HUB})"),
        ([row("/ip4/10.9.9.9/tcp/1", "refused", "a stranger")], "no peer within 0.1 s"),
        ([row(HUB, "relayed", via="hub")], ""),
    ],
    ids=["unreached", "somebody else was refused", "only through a hub"],
)
def test_nobody_came(peers: Callable[..., None], rows: list[dict[str, str]], why: str) -> None:
    peers(rows)
    said = join(READY, [HUB], seconds=0.1)
    assert not said.connected
    assert said.problem.startswith("not in the swarm: ")
    assert said.problem.endswith(why)


def test_without_a_hub_nobody_is_waited_for_and_nothing_is_wrong(peers: Callable[..., None]) -> None:
    peers([])
    assert join(READY, [], seconds=1e9) == Joined(False)
    peers([row("", "member")])
    assert join(READY, []).connected, "members may find each other without one"


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        ("off", ""),
        ("starting", "peer to peer was not ready within 20 s"),
        ("failed: no port", "peer to peer failed: no port"),
    ],
)
def test_a_swarm_that_is_not_there(peers: Callable[..., None], state: str, problem: str) -> None:
    peers(AssertionError("nobody is to be asked"))
    assert join({**READY, "p2p": state}, [HUB]) == Joined(False, problem)


def test_a_node_that_does_not_answer(peers: Callable[..., None]) -> None:
    peers(NodeError("it does not answer"))
    assert join(READY, [HUB]) == Joined(False, "it does not answer")


def test_the_swarm_is_waited_for_within_bounds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    states = iter([None, {"p2p": "starting"}, {"p2p": "ready"}])
    monkeypatch.setattr(supervisor, "ready", lambda _: next(states))
    assert supervisor.with_swarm(tmp_path, {"p2p": "starting"}, 20.0) == {"p2p": "ready"}
    monkeypatch.setattr(supervisor, "ready", lambda _: None)
    assert supervisor.with_swarm(tmp_path, {"p2p": "starting"}, 0.1) == {"p2p": "starting"}

"""Peers that die or stop at the worst moment: callers wait for them no longer than a deadline, then GitHub is asked.

That the deadlines are kept to the moment is shown by virtual time, in tests/unit/swarm.
"""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fleet import Fleet, until
from tests.support.forks import Forks
from tests.support.processes import GitHub
from tests.support.relay import Relay

ENDS = pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])


@pytest.fixture
def fleet(forks: Forks, github: GitHub, tmp_path: Path) -> Iterator[Fleet]:
    """Its deadlines are longer than a busy machine makes a live peer late, and short enough to be waited for."""
    fleet = Fleet(forks, github.url, tmp_path, peer_deadline=2.0, lease_silence=4.0)
    yield fleet
    fleet.stop()


@ENDS
async def test_a_peer_that_ends_in_the_middle_of_a_block(
    fleet: Fleet, github: GitHub, tokens: list[str], repository: str, end: signal.Signals
) -> None:
    content = "".join(f"{number:x}" for number in range(400_000))
    github.order("edit", repo=repository, file="large", content=content)
    target = f"/repos/{repository}/contents/large"
    right = github.get(target, tokens[0])
    holder = await fleet.start("holder", token=tokens[0]).until_ready()
    port = int(holder.ready["multiaddrs"][0].split("/")[4])
    async with Relay(port) as cable:
        caller = fleet.start("caller", "--bootstrap", f"/ip4/127.0.0.1/tcp/{cable.port}", token=tokens[1])
        await caller.until_ready()
        await caller.until_connected(holder)
        assert (await holder.get(target)).body == right

        async def announced() -> bool:
            return bool((await caller.peers())[holder.ready["peer_id"]]["announced"])

        await until(announced, "the announcement")
        github.order("reset-calls")
        cable.after(len(right) // 8, lambda: holder.kill(end))
        answer = await caller.get(target)
        assert cable.reached.is_set()
        assert (answer.status, answer.body) == (200, right)
        assert answer.detail == ""
        assert len(github.calls(target)) == 1
        stats = await caller.stats()
        assert stats["hits"]["peer"] == 0
        if end == signal.SIGSTOP:
            assert stats["errors"]["peer_timeout"] == 1


@ENDS
async def test_a_stalled_holder_of_a_block_is_given_up(
    fleet: Fleet, github: GitHub, tokens: list[str], repository: str, end: signal.Signals
) -> None:
    target = f"/repos/{repository}/labels"
    right = github.get(target, tokens[0])
    hub = await fleet.start("holder", token=tokens[0]).until_ready()
    [caller] = await fleet.joined(hub, tokens[1])
    await hub.get(target)

    async def announced() -> bool:
        return bool((await caller.peers())[hub.ready["peer_id"]]["announced"])

    await until(announced, "the announcement")
    hub.kill(end)
    answer = await caller.get(target)
    assert (answer.status, answer.body, answer.detail) == (200, right, "")


@ENDS
async def test_a_lease_whose_holder_ends_frees_the_others(
    fleet: Fleet, github: GitHub, tokens: list[str], repository: str, end: signal.Signals
) -> None:
    target = f"/repos/{repository}/labels"
    right = github.get(target, tokens[0])
    github.order("reset-calls")
    github.order("fault", match=f"GET {target}", stall=True)
    hub = await fleet.hub(token=tokens[0])
    holder, *others = await fleet.joined(hub, *tokens[1:5])
    asked = asyncio.create_task(holder.get(target))
    await until(lambda: len(github.calls(target)) == 1, "the holder's call")
    waiting = [asyncio.create_task(other.get(target)) for other in others]
    done, _ = await asyncio.wait(waiting, timeout=0.5)
    assert not done or len(github.calls(target)) > 1, "nobody has an answer that GitHub did not give"
    holder.kill(end)
    answers = await asyncio.gather(*waiting)
    assert {(answer.status, answer.body) for answer in answers} == {(200, right)}
    assert 2 <= len(github.calls(target)) <= 1 + len(others)  # that it is 2: tests/property/test_bursts.py
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)

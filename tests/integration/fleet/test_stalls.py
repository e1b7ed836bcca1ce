"""Peers that die or stop at the worst moment: callers wait for them as long as promised, then GitHub is asked."""

import asyncio
import signal

import pytest

from tests.support.fleet import until
from tests.support.relay import Relay

pytestmark = pytest.mark.xdist_group("fleet")

STALLED = 1.0
"""Seconds until a holder of a lease that shows no life has lost it."""
BUSY_MACHINE = 1.0
"""Seconds for the rest: GitHub's own answer, and a machine that does other things."""
ENDS = pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])


@ENDS
@pytest.mark.timeout(120)
async def test_a_peer_that_ends_in_the_middle_of_a_block(fleet, github, tokens, repository, end):
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

        async def announced():
            return (await caller.peers())[holder.ready["peer_id"]]["announced"] > 0

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
@pytest.mark.timeout(120)
async def test_a_stalled_holder_of_a_block_costs_the_peer_deadline(fleet, github, tokens, repository, end):
    target = f"/repos/{repository}/labels"
    right = github.get(target, tokens[0])
    hub = await fleet.start("holder", token=tokens[0]).until_ready()
    [caller] = await fleet.joined(hub, tokens[1])
    await hub.get(target)

    async def announced():
        return (await caller.peers())[hub.ready["peer_id"]]["announced"] > 0

    await until(announced, "the announcement")
    hub.kill(end)
    answer = await caller.get(target)
    assert (answer.status, answer.body, answer.detail) == (200, right, "")
    assert answer.seconds < 2 * 0.25 + BUSY_MACHINE  # the block's deadline, and the arbiter's


@ENDS
@pytest.mark.timeout(120)
async def test_a_lease_whose_holder_ends_frees_the_others_within_a_second(fleet, github, tokens, repository, end):
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
    assert not done
    holder.kill(end)
    began = asyncio.get_running_loop().time()
    answers = await asyncio.gather(*waiting)
    took = asyncio.get_running_loop().time() - began
    assert {(answer.status, answer.body) for answer in answers} == {(200, right)}
    assert took < STALLED + BUSY_MACHINE
    assert len(github.calls(target)) == 2
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)

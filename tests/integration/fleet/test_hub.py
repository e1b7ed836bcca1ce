"""The hub dies in the middle of a load, and comes back."""

import asyncio

from tests.support.fleet import Fleet, Member, until
from tests.support.processes import GitHub

MEMBERS = 6


async def test_a_hub_killed_under_load_loses_no_answer_and_is_used_again_after_a_restart(
    patient: Fleet, github: GitHub, tokens: list[str], repository: str
) -> None:
    for number in range(2, 40):
        github.order("edit", repo=repository, file=f"f{number}", content=f"{number}\n")
    targets = [f"/repos/{repository}/contents/f{number}" for number in range(2, 40)]
    right = {target: github.get(target, tokens[0]) for target in targets}
    github.order("reset-calls")
    hub = await patient.hub(token=tokens[0], listen="/ip4/127.0.0.1/tcp/0")
    members = await patient.joined(hub, *tokens[:MEMBERS])
    answers = []

    async def load(member: Member) -> None:
        for target in targets:
            answer = await member.get(target)
            answers.append((target, answer))

    loads = [asyncio.create_task(load(member)) for member in members]
    await until(lambda: len(answers) > len(targets), "a load under way")
    before = hub.ready
    hub.kill()
    assert not all(task.done() for task in loads)
    await asyncio.gather(*loads)
    assert len(answers) == len(targets) * MEMBERS
    assert [(target, a.status) for target, a in answers if (a.status, a.body) != (200, right[target])] == []

    patient.restart(hub, listen=before["multiaddrs"][0].partition("/p2p/")[0])
    await hub.until_ready()
    assert hub.ready["peer_id"] == before["peer_id"]
    assert hub.ready["multiaddrs"] == before["multiaddrs"]
    await asyncio.gather(*(member.until_connected(hub) for member in members))
    first, *others = members
    target = f"/repos/{repository}/labels"
    fetched = await first.get(target)
    answered = await asyncio.gather(*(member.get(target) for member in others))
    assert {answer.body for answer in answered} == {fetched.body}
    assert len(github.calls(target)) <= MEMBERS
    assert (await hub.stats())["peers"]["connected"] == MEMBERS

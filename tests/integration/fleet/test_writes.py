"""Read your writes across the fleet: once a write's answer is here, nobody connected serves the state before."""

import asyncio
import json

from tests.support.fleet import Fleet
from tests.support.processes import GitHub

MEMBERS = 6


async def test_after_a_write_was_answered_no_member_serves_the_old_body(
    patient: Fleet, github: GitHub, tokens: list[str]
) -> None:
    hub = await patient.hub(token=tokens[0])
    members = await patient.joined(hub, *tokens[:MEMBERS])
    target = "/repos/octo/app/issues/3"
    everybody = [hub, *members]
    for number, writer in enumerate([members[0], hub, members[-1]]):
        before = await asyncio.gather(*(member.get(target) for member in everybody))
        assert len({answer.body for answer in before}) == 1
        title = f"Title {number}"
        assert (await writer.send("PATCH", target, body={"title": title})).status == 200
        github.order("reset-calls")
        after = await asyncio.gather(*(member.get(target) for member in everybody))
        assert [json.loads(answer.body)["title"] for answer in after] == [title] * len(everybody)
        assert 1 <= len(github.calls(target)) <= len(everybody)  # that it is 1: tests/property/test_bursts.py

"""Read your writes across the fleet: once a write's answer is here, nobody connected serves the state before."""

import asyncio
import json

import pytest

pytestmark = pytest.mark.xdist_group("fleet")

MEMBERS = 6


@pytest.mark.timeout(120)
async def test_after_a_write_was_answered_no_member_serves_the_old_body(fleet, github, tokens):
    hub = await fleet.hub(token=tokens[0])
    members = await fleet.joined(hub, *tokens[:MEMBERS])
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
        assert len(github.calls(target)) == 1

"""What members tell of each other: who gave what, and what is left of a quota."""

import asyncio
import json
import subprocess
import sys
from typing import Any

from tests.support.fleet import Fleet, Member, until
from tests.support.processes import GitHub, environment


async def announced(member: Member, giver: Member) -> None:
    """Wait until `giver` announced something to `member`."""

    async def heard() -> bool:
        return bool((await member.peers())[giver.ready["peer_id"]]["announced"])

    await until(heard, f"an announcement of {giver.name}")


def printed(member: Member) -> list[dict[str, Any]]:
    """What ``p2pcache peers`` prints in that member's job."""
    command = [sys.executable, "-m", "p2pcache", "peers", "--json"]
    variables = environment(member.home, P2PCACHE_SOCKET=str(member.home / "s"))
    done = subprocess.run(command, env=variables, capture_output=True, check=True, timeout=30)
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


async def test_who_gave_what_is_shown(patient: Fleet, github: GitHub, tokens: list[str], repository: str) -> None:
    hub = await patient.hub(token=tokens[0])
    [member] = await patient.joined(hub, tokens[1])
    target = f"/repos/{repository}/labels"
    await hub.get(target)
    await announced(member, hub)
    assert (await member.get(target)).detail == "peer"

    [row] = [row for row in await asyncio.to_thread(printed, member) if row["peer_id"] == hub.ready["peer_id"]]
    assert (row["state"], row["via"], row["direction"], row["blocks_in"]) == ("hub", "direct", "out", 1)
    assert row["bytes_in"] > 0
    assert row["rtt_ms"] > 0

    stats = await member.stats()
    assert stats["hits"]["peer"] == 1
    assert stats["peers"]["connected"] == 1
    assert stats["peers"]["bytes_in"] == row["bytes_in"]
    given = (await hub.peers())[member.ready["peer_id"]]
    assert (given["direction"], given["bytes_out"]) == ("in", row["bytes_in"])

    metrics = await member.control("metrics")
    assert 'p2pcache_hits_total{tier="peer"} 1.0' in metrics
    assert "p2pcache_peers_connected 1.0" in metrics
    assert f"p2pcache_peer_received_bytes_total {float(row['bytes_in'])}" in metrics


async def test_a_spent_bucket_is_heard_of_by_a_member_which_asks_github_once_whether_it_is_so(
    patient: Fleet, github: GitHub
) -> None:
    for name in ("one", "two"):
        github.order("token", value=f"ghs_poor_{name}", repos=["octo/tools"], limit=2)
    hub = await patient.hub(token="ghs_poor_one", repository="octo/tools")
    [member] = await patient.joined(hub, "ghs_poor_two", repository="octo/tools")
    for path in ("labels", "branches"):
        assert (await hub.get(f"/repos/octo/tools/{path}")).status == 200

    async def told() -> bool:
        return [bucket["remaining"] for bucket in (await member.stats())["quota"]] == [0]

    await until(told, "the other's bucket")
    assert (await member.stats())["upstream"]["calls"] == 0
    github.order("reset-calls")
    for path in ("issues", "pulls"):
        refused = await member.get(f"/repos/octo/tools/{path}")
        assert refused.status == 403
        assert refused.headers["x-ratelimit-remaining"] == "0"
    assert (await member.get("/repos/octo/tools/labels")).detail == "peer"
    assert [target for _, target in github.calls()] == ["/repos/octo/tools/issues"]


async def test_a_joiner_is_told_what_was_spent_before_it_came(patient: Fleet, github: GitHub) -> None:
    for name in ("old", "new"):
        github.order("token", value=f"ghs_{name}", repos=["octo/lib"])
    hub = await patient.hub(token="ghs_old", repository="octo/lib")
    await hub.get("/repos/octo/lib/labels")
    [member] = await patient.joined(hub, "ghs_new", repository="octo/lib")

    async def told() -> bool:
        return [bucket["remaining"] for bucket in (await member.stats())["quota"]] == [999]

    await until(told, "the bucket")
    assert (await member.stats())["upstream"]["calls"] == 0

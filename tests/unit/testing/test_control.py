"""The control over HTTP, and the stand-in as a process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.unit.testing.conftest import Client, Reply


async def order(client: Client, verb: str, /, **body: object) -> Reply:
    return await client.send("POST", f"/_stand-in/{verb}", json=body)


async def test_another_process_can_do_what_python_can(client: Client) -> None:
    assert (await order(client, "repository", name="octo/extra", private=True, issues=1)).status == 200
    assert (await order(client, "token", value="ghs_9", repos=["octo/extra"], limit=5)).json == {"ok": True}
    reply = await client.get("/repos/octo/extra", "ghs_9")
    assert (reply.status, reply.headers["X-RateLimit-Limit"]) == (200, "5")
    await order(client, "rename", old="octo/extra", new="octo/more")
    assert (await client.get("/repos/octo/extra", "ghs_9")).status == 301
    await order(client, "edit", repo="octo/more", issue=1, fields={"title": "Other"})
    assert (await client.get("/repos/octo/more/issues/1", "ghs_9")).json["title"] == "Other"
    await order(client, "edit", repo="octo/more", file="a.txt", content="hello")
    assert (await client.get("/repos/octo/more/contents/a.txt", "ghs_9")).json["size"] == 5
    await order(client, "fault", match="/zen", status=502)
    assert (await client.get("/zen")).status == 502
    await order(client, "secondary", retry_after=3)
    assert (await client.get("/zen")).headers["Retry-After"] == "3"
    await order(client, "fault", status=500)
    await order(client, "clear-faults")
    assert (await client.get("/zen")).status == 200
    await order(client, "grant", token="ghs_9", repo="octo/vault")
    assert (await client.get("/repos/octo/vault", "ghs_9")).status == 200
    await order(client, "revoke", token="ghs_9")
    assert (await client.get("/repos/octo/vault", "ghs_9")).status == 401


async def test_counts_are_read_and_reset_without_counting(client: Client) -> None:
    await client.get("/zen", "ghs_1")
    await client.get("/zen")
    assert (await client.get("/_stand-in/charged")).json == {"charged": 2, "calls": 2}
    assert (await client.get("/_stand-in/charged?token=ghs_1")).json["charged"] == 1
    assert [call["target"] for call in (await client.get("/_stand-in/calls?token=ghs_1")).json] == ["/zen"]
    await order(client, "reset-calls")
    assert (await client.get("/_stand-in/calls")).json == []


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("fault", {"statuses": 1}),
        ("token", {}),
        ("rename", {"old": "a/b", "new": "c/d"}),
        ("repository", {"name": "x"}),
    ],
)
async def test_an_unusable_order_says_why(client: Client, name: str, body: dict[str, object]) -> None:
    reply = await order(client, name, **body)
    assert reply.status == 400
    assert reply.json["error"]


async def test_the_process_says_where_it_is_and_ends_when_told(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "p2pcache.testing", "--ready-file", str(ready), "--token", "ghs_1=octo/app,octo/vault",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
        assert line["pid"] == process.pid
        request = urllib.request.Request(f"{line['url']}/repos/octo/vault", headers={"Authorization": "token ghs_1"})
        with await asyncio.to_thread(urllib.request.urlopen, request, timeout=10) as reply:
            assert json.load(reply)["full_name"] == "octo/vault"
        assert json.loads(ready.read_text()) == line
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_the_process_refuses_what_it_cannot_use(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "p2pcache.testing", "--fixtures", os.fspath(tmp_path), stderr=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert b"@octokit/fixtures" in said
    assert b"Traceback" not in said

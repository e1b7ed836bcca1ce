"""The real gh asks, over a unix socket as it will ask the gateway."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from p2pcache.testing import StandIn

pytestmark = pytest.mark.needs("gh")


@pytest.fixture
async def environment(github: StandIn, tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    github.repository("octo/gh", issues=3, pulls=1)
    github.token("ghp_1", repos=["octo/gh"])
    port = urlsplit(github.url).port

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        if writer.can_write_eof():
            writer.write_eof()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))
        for each in (writer, up_writer):
            each.close()
            await each.wait_closed()

    async with await asyncio.start_unix_server(relay, tmp_path / "s"):
        (tmp_path / "config.yml").write_text(f'version: "1"\nhttp_unix_socket: {tmp_path / "s"}\n')
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        yield {**kept, "GH_CONFIG_DIR": str(tmp_path), "GH_TOKEN": "ghp_1", "GH_NO_UPDATE_NOTIFIER": "1"}


async def gh(environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        "gh",
        *arguments,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode or 0, said.decode()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("repo view octo/gh", "Synthetic repository octo/gh"),
        ("repo list octo", "octo/gh"),
        ("issue list -R octo/gh", "3\tOPEN"),
        ("issue list -R octo/gh --label none", ""),
        ("issue view 1 -R octo/gh --comments", ""),
        ("pr list -R octo/gh", "topic-4\tOPEN"),
        ("pr view 4 -R octo/gh", "state:\tOPEN"),
        ("release list -R octo/gh", "v2.0.0"),
        ("release view -R octo/gh", "tag:\tv2.0.0"),
        ("label list -R octo/gh", "Something isn't working"),
        ("run list -R octo/gh", "success"),
        ("search issues is:open --repo octo/gh", "octo/gh"),
        ("issue create -R octo/gh -t Title -b Body", "https://github.com/octo/gh/issues/5"),
        ("issue comment 1 -R octo/gh -b hello", "#issuecomment-"),
        ("issue close 1 -R octo/gh", "Closed issue #1"),
        ("api --paginate repos/octo/app/issues?per_page=20 --jq .[0].number", "45\n25\n5"),
        ("api user --jq .login", "octocat"),
    ],
)
async def test_gh_gets_what_it_asks_for(environment: dict[str, str], command: str, expected: str) -> None:
    status, said = await gh(environment, *command.split())
    assert status == 0, said
    assert expected in said


async def test_gh_understands_what_is_not_there(environment: dict[str, str]) -> None:
    assert "HTTP 404" in (await gh(environment, "api", "repos/octo/none"))[1]
    assert "Could not resolve to a Repository" in (await gh(environment, "repo", "view", "octo/vault"))[1]

"""Prometheus' own tool reads a busy node's metrics and the dashboard's expressions."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path

import aiohttp
import pytest

from p2pcache.testing import StandIn
from tests.support.dashboard import expressions
from tests.support.gateway import TOKEN, running

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.needs("promtool")


async def promtool(*arguments: str, given: bytes = b"") -> tuple[int, str]:
    """Exit status and output."""
    process = await asyncio.create_subprocess_exec(
        "promtool", *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    async with asyncio.timeout(30):
        said, _ = await process.communicate(given)
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_the_metrics_of_a_busy_node_are_as_they_should_be(tmp_path: Path) -> None:
    async with StandIn() as github, running(github.url, tmp_path) as node, aiohttp.ClientSession() as session:
        github.populate()
        github.token(TOKEN, repos=["octo/app"])
        for path in ("/repos/octo/app", "/user", "/repos/octo/app", '/repos/octo/"app"\\', "/rate_limit"):
            async with session.get(node.address + path, headers={"Authorization": f"token {TOKEN}"}) as answer:
                await answer.read()
        async with session.get(f"{node.address}/-/metrics") as answer:
            text = await answer.read()
    assert b'tier="memory"} 1.0' in text
    assert await promtool("check", "metrics", given=text) == (0, "")


async def test_what_is_not_as_it_should_be_is_found() -> None:
    status, said = await promtool("check", "metrics", given=b"# TYPE bad counter\nbad 1\n")
    assert status == 3
    assert "bad" in said


@pytest.mark.parametrize(("more", "status"), [([], 0), (["sum(rate(p2pcache_requests_total))"], 1)], ids=["all", "bad"])
async def test_the_dashboards_expressions_are_promql(tmp_path: Path, more: list[str], status: int) -> None:
    rules = [{"record": f"panel:{i}", "expr": each} for i, each in enumerate([*expressions(), *more])]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # JSON is YAML
    found, said = await promtool("check", "rules", str(file))
    assert found == status, said


async def test_the_alerts_of_the_handbook_are_rules(tmp_path: Path) -> None:
    (groups,) = re.findall(r"```yaml\n(groups:\n.*?)```", (ROOT / "docs/operating.md").read_text("utf-8"), re.DOTALL)
    file = tmp_path / "alerts.yml"
    file.write_text(groups)
    status, said = await promtool("check", "rules", str(file))
    assert status == 0, said

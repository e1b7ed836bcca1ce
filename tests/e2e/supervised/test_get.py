"""``p2pcache get`` asks the API that is behind the node, whichever GitHub that is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

from tests.support.threads import Ready, in_a_thread


@in_a_thread
async def enterprise(ready: Ready) -> None:
    """A GitHub Enterprise Server that answers with what it was asked."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"asked": request.path})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await ready(f"http://127.0.0.1:{runner.addresses[0][1]}/api/v3")
    await runner.cleanup()


@pytest.mark.parametrize("path", ["/repos/octo/app", "repos/octo/app", "{upstream}/repos/octo/app"])
def test_on_an_enterprise_server(tmp_path: Path, path: str) -> None:
    with enterprise() as upstream:
        node = [sys.executable, "-m", "p2pcache"]
        command = [*node, "run", "--no-p2p", "--upstream", upstream, "--dir", str(tmp_path), "--"]
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GITHUB_TOKEN": "ghp_1"}
        command += [*node, "get", path.format(upstream=upstream)]
        said = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=50)
    assert '{"asked": "/api/v3/repos/octo/app"}' in said.stdout, said.stderr


def test_without_a_scheme_a_path_is_a_path(tmp_path: Path) -> None:
    with enterprise() as upstream:
        node = [sys.executable, "-m", "p2pcache"]
        command = [*node, "run", "--no-p2p", "--upstream", upstream, "--dir", str(tmp_path), "--", *node, "get", "a b"]
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        said = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=50)
    assert said.returncode == 2
    assert "PATH: expected an API path without spaces" in said.stderr

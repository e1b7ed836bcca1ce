"""`post/main.js` and `post/post.js`: what the runner gives goes to the node alone, and what main kept to the end."""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import MappingProxyType

import pytest

from p2pcache.runner import lifecycle
from tests.support import command_files

ROOT = Path(__file__).parents[2]


class FakeNode:
    """Answers what the step sends to the node's socket."""

    def __init__(self, path: Path, status: int = 200) -> None:
        self.received: list[tuple[str, dict[str, str], bytes]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                fake.received.append((self.path, dict(self.headers.items()), body))
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def address_string(self) -> str:
                return "a unix socket"

            def log_message(self, *_: object) -> None:
                pass

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

        self._server = Server(str(path), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> FakeNode:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def main_step(tmp_path: Path, variables: Mapping[str, str] = MappingProxyType({}), *, actions: bool = True) -> str:
    """What the nested action's main prints."""
    (tmp_path / "state").touch()
    given = json.dumps({"python": "x", "path": "", "socket": str(tmp_path / "s"), "actions": actions})
    runner = {
        "ACTIONS_RESULTS_URL": "https://results.example/", "ACTIONS_RUNTIME_TOKEN": "the-token",
        "GITHUB_SERVER_URL": "https://github.com",
    }  # fmt: skip
    environ = {"PATH": os.environ["PATH"], "GITHUB_STATE": str(tmp_path / "state"), "INPUT_ENVIRONMENT": given}
    done = subprocess.run(
        ["node", ROOT / "post/main.js"],
        env={**environ, **runner, **variables}, capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    assert "the-token" not in done.stdout + done.stderr + (tmp_path / "state").read_text()
    return done.stdout


@pytest.mark.needs("node")
def test_the_node_gets_the_credentials_of_the_actions_cache(tmp_path: Path) -> None:
    with FakeNode(tmp_path / "s") as node:
        assert main_step(tmp_path) == ""
    ((path, headers, body),) = node.received
    assert path == "/-/actions"
    assert json.loads(body) == {"results_url": "https://results.example/", "token": "the-token"}
    assert "Origin" not in headers


NO_SERVICE = "p2pcache: the Actions cache is not used: this runner has no cache service v2\n"


@pytest.mark.needs("node")
@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"GITHUB_SERVER_URL": "https://octo.ghe.com"}, ""),
        ({"GITHUB_SERVER_URL": "https://ghes.example", "ACTIONS_CACHE_SERVICE_V2": "True"}, ""),
        ({"GITHUB_SERVER_URL": "https://ghes.example"}, NO_SERVICE),
        ({"ACT": "true"}, NO_SERVICE),
        ({"ACTIONS_RUNTIME_TOKEN": ""}, NO_SERVICE),
        ({"ACTIONS_RESULTS_URL": ""}, NO_SERVICE),
    ],
)
def test_without_the_service_one_line_says_so(tmp_path: Path, variables: dict[str, str], said: str) -> None:
    with FakeNode(tmp_path / "s") as node:
        assert main_step(tmp_path, variables) == said
    assert bool(node.received) is not bool(said)


@pytest.mark.needs("node")
def test_where_it_is_not_asked_for_the_credentials_stay_where_they_are(tmp_path: Path) -> None:
    with FakeNode(tmp_path / "s") as node:
        assert main_step(tmp_path, actions=False) == ""
    assert not node.received


@pytest.mark.needs("node")
def test_a_node_that_is_not_there_or_refuses_is_a_line_of_the_log(tmp_path: Path) -> None:
    assert main_step(tmp_path) == "p2pcache: the Actions cache is not used: ENOENT\n"
    with FakeNode(tmp_path / "s", status=403):
        assert main_step(tmp_path) == "p2pcache: the Actions cache is not used: the node answered with status 403\n"


def test_both_kinds_of_action_say_the_same_of_a_missing_service() -> None:
    assert lifecycle.NO_CACHE_SERVICE + "\n" == NO_SERVICE


@pytest.mark.needs("node")
def test_the_post_step_hands_over_what_main_kept(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.touch()
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$*" "$PYTHONPATH"\necho oops >&2\nexit "$CODE"\n')
    python.chmod(0o755)
    given = json.dumps({"python": str(python), "path": "/somewhere"})
    environ = {
        "PATH": os.environ["PATH"],
        "GITHUB_STATE": str(state),
        "INPUT_ENVIRONMENT": given,
        "INPUT_STRICT": "false",
    }
    subprocess.run(["node", ROOT / "post/main.js"], env=environ, check=True, timeout=20)
    kept = {f"STATE_{name}": value for name, value in command_files.values(state).items()}

    def post(**more: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": os.environ["PATH"], "CODE": "0", **kept, **more}
        return subprocess.run(
            ["node", ROOT / "post/post.js"], env=environ, capture_output=True, text=True, timeout=20, check=False
        )

    assert post().stdout == "-m p2pcache.runner.main finish /somewhere\n"
    failed = post(CODE="1")
    assert failed.returncode == 0
    assert failed.stdout.splitlines()[-1] == "::warning title=p2pcache::No report: oops"
    assert {post(CODE="1", STATE_strict=said).returncode for said in ("true", "TRUE", "yes")} == {1}
    assert {post(CODE="1", STATE_strict=said).returncode for said in ("", "False")} == {0}
    assert "::warning" in post(STATE_environment="nonsense").stdout

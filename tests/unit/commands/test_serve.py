"""A node in the foreground, as a shell sees it; a hub most of all."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from p2pcache.cache.sealing import generate_secret
from tests.support.commands import MISSPELT, NAMED, inside, p2pcache


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start ``serve --hub``; gives its process. What is still there at the end is stopped."""
    started = []

    def start(*flags: str, **variables: str) -> subprocess.Popen[str]:
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "p2pcache", "serve", "--hub", *flags],
                env={**environ, **variables},
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=20)


def ready(path: Path, process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a node's ready file says once it is there."""
    end = time.monotonic() + 30
    while not path.exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.02)
    said: dict[str, Any] = json.loads(path.read_text())
    return said


def test_a_hub_as_the_readme_starts_it_is_one(hub: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    """Without a secret it makes one, and says how to hand it out; a job that has it can join."""
    where = ("--p2p-listen", "/ip4/127.0.0.1/tcp/0", "--ready-file", str(tmp_path / "ready"))
    process = hub(*where)
    assert ready(tmp_path / "ready", process)["p2p"] == "ready", "a hub is ready when it is one"
    secret = tmp_path / "cache/p2pcache/secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    address = json.loads((tmp_path / "ready").read_text())["multiaddrs"][0]
    script = 'exec "$0" -m p2pcache peers --json'
    variables = {"CACHE_SECRET": secret.read_text(), "GITHUB_TOKEN": "ghs_job"}
    ended = p2pcache(tmp_path, "run", "--bootstrap", address, "sh", "-c", script, sys.executable, **variables)
    assert [row["state"] for row in json.loads(ended.stdout)] == ["hub"], ended.stderr
    process.terminate()
    said = process.communicate(timeout=20)[1]
    assert f"hand it to the jobs with: gh secret set CACHE_SECRET <{secret}" in said
    assert secret.read_text().strip() not in said


@pytest.mark.parametrize(
    ("flags", "variables", "says"),
    [
        (["--no-p2p"], {}, "--hub: peer to peer is off (--no-p2p or CACHE_ENABLE_P2P)"),
        (["--share", "off"], {}, "--hub: sharing is off"),
        (["--backends", "disk"], {}, "--hub: peers are not among the backends"),
        (["--dir", "/dev/null/x"], {}, "/dev/null/x/secret: this hub's secret cannot be kept there"),
        ([], {"CACHE_SECRET": "weak"}, "CACHE_SECRET: "),
    ],
)
@pytest.mark.parametrize("command", ["serve", "up"])
def test_a_hub_that_cannot_be_one_is_one_line_and_exit_2(
    tmp_path: Path, command: str, flags: list[str], variables: dict[str, str], says: str
) -> None:
    ended = p2pcache(tmp_path, command, "--hub", *flags, **variables)
    assert ended.returncode == 2
    assert ended.stdout == ""
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(f"p2pcache: {says}"), ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_hub_whose_port_is_taken_is_one_line_and_exit_2(hub: Callable[..., subprocess.Popen[str]]) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = hub(CACHE_SECRET=generate_secret(), CACHE_LISTEN_PORT=port)
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 2
    assert f"p2pcache: the swarm cannot listen on /ip4/0.0.0.0/tcp/{port} (Address already in use): stop" in said
    assert "Traceback" not in said
    assert "works alone" not in said


def test_a_hub_that_does_not_start_does_not_hand_out_its_secret(hub: Callable[..., subprocess.Popen[str]]) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        said = hub(CACHE_LISTEN_PORT=str(taken.getsockname()[1])).communicate(timeout=30)[1]
    assert "cannot listen" in said
    assert "hand it to the jobs" not in said


@pytest.fixture
def foreground(hub: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> dict[str, Any]:
    """A ``serve --hub`` that is ready, in the default directory; gives its ready file's content."""
    flags = ("--p2p-listen", "/ip4/127.0.0.1/tcp/0", "--upstream", "http://127.0.0.1:1")
    return ready(tmp_path / "ready", hub(*flags, "--ready-file", str(tmp_path / "ready")))


def test_up_says_that_the_hub_refused_it(foreground: dict[str, Any], tmp_path: Path) -> None:
    flags = ("--bootstrap", foreground["multiaddrs"][0], "--p2p-listen", "/ip4/127.0.0.1/tcp/0")
    said = p2pcache(tmp_path, "up", *flags, CACHE_SECRET=generate_secret())
    assert said.returncode == 0
    assert "p2pcache: not in the swarm: " in said.stderr
    end = time.monotonic() + 30
    # A starved machine may break off the first time before the reason is there; the node goes on trying.
    while "the swarm secrets differ" not in said.stderr + p2pcache(tmp_path, "peers").stdout:
        assert time.monotonic() < end
    p2pcache(tmp_path, "down")


def test_up_says_that_the_hub_cannot_be_reached(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"/ip4/127.0.0.1/tcp/{unused.getsockname()[1]}"
        flags = ("--bootstrap", address, "--p2p-listen", "/ip4/127.0.0.1/tcp/0")
        said = p2pcache(tmp_path, "up", *flags, CACHE_SECRET=generate_secret())
        p2pcache(tmp_path, "down")
    assert said.returncode == 0
    assert "p2pcache: not in the swarm: " in said.stderr
    assert address in said.stderr


def test_each_node_of_a_directory_keeps_its_own_control_token(foreground: dict[str, Any], tmp_path: Path) -> None:
    of_hub = tmp_path / "cache/p2pcache/control-token"
    token = of_hub.read_text()
    p2pcache(tmp_path, "up", "--no-p2p")
    of_up = tmp_path / "cache/p2pcache/run/node.sock.control-token"
    try:
        assert of_hub.read_text() == token != of_up.read_text()
    finally:
        p2pcache(tmp_path, "down")
    assert p2pcache(tmp_path, "run", "--no-p2p", "true").returncode == 0
    assert not of_up.exists()
    assert of_hub.read_text() == token


def test_a_node_in_the_foreground_is_not_denied(foreground: dict[str, Any], tmp_path: Path) -> None:
    for command, status in (("env", 1), ("down", 0)):
        ended = inside(tmp_path, command)
        assert (ended.returncode, ended.stdout) == (status, "")
        assert ended.stderr == "p2pcache: a node runs here in the foreground (p2pcache serve): end it there\n"


def test_a_directory_names_the_node_that_is_asked(foreground: dict[str, Any], tmp_path: Path) -> None:
    where = ("--dir", str(tmp_path / "cache/p2pcache"))
    for command in (["stats", "--json"], ["peers", "--json"], ["get", "/-/healthz"]):
        ended = inside(tmp_path, *command, *where, XDG_CACHE_HOME=str(tmp_path / "other"))
        assert ended.returncode in (0, 1), ended.stderr
        assert "no node runs here" not in ended.stderr
        nowhere = inside(tmp_path, *command, "--dir", str(tmp_path / "other"), P2PCACHE_SOCKET=foreground["socket"])
        assert "no node runs here" in nowhere.stderr


def test_a_full_disk_is_one_true_sentence(foreground: dict[str, Any], tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for command in (["stats"], ["stats", "--json"], ["peers"], ["get", "/nothing"]):
        with Path("/dev/full").open("w") as full:
            program = [sys.executable, "-m", "p2pcache", *command]
            ended = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, env=environ, timeout=50)
        assert ended.stderr == "p2pcache: stdout cannot be written: No space left on device\n", command
        assert ended.returncode == 1


def test_a_second_hub_of_one_directory_is_told(hub: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    flags = ("--p2p-listen", "/ip4/127.0.0.1/tcp/0", "--ready-file", str(tmp_path / "ready"))
    first = hub(*flags, "--socket", str(tmp_path / "s"))
    ready(tmp_path / "ready", first)
    second = hub(*flags[:2])
    said = second.communicate(timeout=30)[1]
    assert second.returncode == 2
    assert "another hub runs with" in said
    assert first.poll() is None


def test_a_hubs_log_names_the_variables_that_nothing_reads(
    hub: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    ready(
        tmp_path / "ready",
        process := hub(
            "--ready-file",
            str(tmp_path / "ready"),
            "--p2p-listen",
            "/ip4/127.0.0.1/tcp/0",
            **MISSPELT,
            CACHE_S3_BUCKET="example",
        ),
    )
    process.terminate()
    said = process.communicate(timeout=20)[1]
    (line,) = [line for line in said.splitlines() if "CACHE_VERSION" in line]
    assert line.endswith(f" WARNING {NAMED}")
    (line,) = [line for line in said.splitlines() if "CACHE_S3_BUCKET" in line]
    assert line.endswith("not used: CACHE_S3_BUCKET (of s3): set CACHE_BACKENDS to disk,p2p,s3")


def test_the_log_is_json_where_that_is_wanted(hub: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    where = ("--p2p-listen", "/ip4/127.0.0.1/tcp/0", "--ready-file", str(tmp_path / "ready"))
    process = hub(*where, "--log-format", "json", CACHE_LOG_REQUESTS="true", CACHE_SECRET=generate_secret())
    address = ready(tmp_path / "ready", process)["api_url"]
    with urllib.request.urlopen(f"{address}/-/healthz", timeout=20) as answer:
        assert answer.status == 200
    process.terminate()
    _, said = process.communicate(timeout=20)
    lines = [json.loads(line) for line in said.splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    assert [line["status"] for line in lines if line.get("route") == "GET /-/healthz"] == [200]

"""Several `p2pcache run` of one user, started in the same moment on one host: all of them are in one swarm."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import meeting
from tests.support.namespaces import Namespace
from tests.support.processes import GitHub, Node, environment, running

SIZE = 3
SECONDS = 120.0


@pytest.fixture
def secret() -> str:
    return secrets.token_hex(32)


@pytest.fixture
def together(
    tmp_path: Path, github: GitHub, secret: str, tokens: list[str]
) -> Callable[..., tuple[list[dict[str, Any]], str]]:
    """Run the same command in `SIZE` nodes at once; what each says when all have met, and everything on stderr."""

    def run(
        *flags: str, peers: int, prefix: tuple[str, ...] = (), **variables: str
    ) -> tuple[list[dict[str, Any]], str]:
        home, marks = tmp_path / "home", tmp_path / "marks"
        home.mkdir(exist_ok=True)
        marks.mkdir()
        named = {"CACHE_SECRET": secret, "GITHUB_REPOSITORY": "octo/app", "CACHE_UPSTREAM": github.url, **variables}
        with contextlib.ExitStack() as processes:
            started = []
            for number in range(SIZE):
                script = [sys.executable, meeting.__file__, str(marks), str(number), str(SIZE), str(peers)]
                started.append(
                    subprocess.Popen(
                        [*prefix, sys.executable, "-m", "p2pcache", "run", *flags, "--", *script],
                        env=environment(home, GITHUB_TOKEN=tokens[number], **named),
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE,
                        text=True,
                    )
                )
                processes.callback(started[-1].wait)
                processes.callback(started[-1].kill)
            ended = [process.communicate(timeout=SECONDS) for process in started]
        log = "\n".join(error for _, error in ended)
        assert [process.returncode for process in started] == [0] * SIZE, log
        return [json.loads(out.partition("met ")[2]) for out, _ in ended], log

    return run


def all_there(met: list[dict[str, Any]]) -> None:
    """Every node is a peer of its own, and what it was told of itself is true."""
    assert len({one["peer_id"] for one in met}) == SIZE
    assert all(one["multiaddr"].endswith(f"/p2p/{one['peer_id']}") for one in met)
    assert len({one["multiaddr"].split("/")[4] for one in met}) == SIZE
    assert all(one["answers"] for one in met)


def test_at_the_hosts_hub(
    together: Callable[..., tuple[list[dict[str, Any]], str]],
    github: GitHub,
    secret: str,
    tokens: list[str],
    tmp_path: Path,
) -> None:
    flags = ("p2pcache", "serve", "--hub", "--p2p-listen", "/ip4/127.0.0.1/tcp/0", "--upstream", github.url)
    own = ("--dir", str(tmp_path / "hub" / "store"))
    with running(*flags, *own, home=tmp_path / "hub", CACHE_SECRET=secret, GITHUB_TOKEN=tokens[0]) as said:
        hub = Node(said["api_url"], said["socket"], said["pid"], said["ready_file"])
        met, _ = together("--bootstrap", hub.ready["multiaddrs"][0], peers=1)
    all_there(met)
    assert all(hub.ready["peer_id"] in one["peers"] for one in met)
    assert not any(one["alone_at_first"] for one in met), "a command begins when its node has met the hub"


@pytest.fixture
def host() -> Iterator[tuple[str, ...]]:
    """A host of its own, as far as ports go: the words that run a command there."""
    with Namespace() as namespace:
        yield namespace.prefix


@pytest.fixture
def readme_hub(host: tuple[str, ...], tmp_path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """``p2pcache serve --hub`` there, as the README starts it: its ready file, and the secret that it made."""
    home = tmp_path / "home"
    home.mkdir()
    command = [*host, sys.executable, "-m", "p2pcache", "serve", "--hub", "--ready-file", str(home / "hub.json")]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment(home), stdin=subprocess.DEVNULL, stderr=log)
    try:
        meeting.until((home / "hub.json").exists, "the hub")
        yield json.loads((home / "hub.json").read_text()), (home / "cache/p2pcache/secret").read_text()
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.needs("netns")
def test_at_the_hosts_hub_which_nobody_named(
    together: Callable[..., tuple[list[dict[str, Any]], str]],
    host: tuple[str, ...],
    readme_hub: tuple[dict[str, Any], str],
) -> None:
    """As the Action does: the hub is found where it is by default, by jobs of the user whose hub it is."""
    hub, secret = readme_hub
    met, log = together(peers=1, prefix=host, CACHE_SECRET=secret)
    all_there(met)
    assert all(hub["peer_id"] in one["peers"] for one in met)
    assert log.count("the hub answers at 127.0.0.1:9100 (loopback of the host)") == SIZE


@pytest.mark.needs("netns")
def test_a_node_in_the_background_looks_for_the_hosts_hub_too(
    host: tuple[str, ...], readme_hub: tuple[dict[str, Any], str], tmp_path: Path
) -> None:
    hub, secret = readme_hub
    variables = environment(tmp_path / "home", CACHE_SECRET=secret)

    def p2pcache(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*host, sys.executable, "-m", "p2pcache", *arguments]
        return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)

    try:
        up = p2pcache("up")
        assert "the hub answers at 127.0.0.1:9100" in up.stderr

        def connected() -> bool:
            rows = json.loads(p2pcache("peers", "--json").stdout)
            return [row["peer_id"] for row in rows if row["state"] == "hub"] == [hub["peer_id"]]

        meeting.until(connected, "the hub as a peer")
    finally:
        p2pcache("down")


def test_without_a_hub_where_all_wish_for_one_port(together: Callable[..., tuple[list[dict[str, Any]], str]]) -> None:
    """Who gets the port is where the others meet; they say in one line that theirs is another."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    where = f"/ip4/127.0.0.1/tcp/{port}"
    met, log = together("--p2p-listen", where, "--bootstrap", where, peers=SIZE - 1)
    all_there(met)
    assert sum(one["multiaddr"].split("/")[4] == str(port) for one in met) == 1
    assert log.count(f"{where} cannot be had: the swarm listens on /ip4/127.0.0.1/tcp/") == SIZE - 1


def test_without_a_hub_by_multicast(together: Callable[..., tuple[list[dict[str, Any]], str]]) -> None:
    met, _ = together("--mdns", peers=SIZE - 1)
    all_there(met)

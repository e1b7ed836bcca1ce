"""``p2pcache get`` tells its user what became of a read: which peer gave it, or why GitHub was asked."""

import contextlib
import secrets
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.processes import GitHub, Node, environment, running

REPOSITORY, PRIVATE = "octo/app", "octo/vault"
READ = f"/repos/{REPOSITORY}/releases"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node]]:
    """A stand-in GitHub, a hub, and a runner that found it."""
    home = tmp_path_factory.mktemp("explain")
    tokens = ["--token", f"ghs_one={REPOSITORY}", "--token", f"ghs_hidden={PRIVATE}"]
    with contextlib.ExitStack() as nodes:
        github = GitHub(nodes.enter_context(running("p2pcache.testing", *tokens, home=home / "github"))["url"])
        variables = {"CACHE_SECRET": secrets.token_hex(32), "GITHUB_TOKEN": "ghs_one", "GITHUB_REPOSITORY": REPOSITORY}

        def node(name: str, *flags: str) -> Node:
            where = ["--socket", str(home / name), "--p2p-listen", "/ip4/127.0.0.1/tcp/0", "--upstream", github.url]
            said = nodes.enter_context(
                running("p2pcache", "serve", *where, *flags, home=home / f"{name}-home", environ=variables)
            )
            return Node(said["api_url"], said["socket"], said["pid"], said["ready_file"])

        hub = node("hub", "--hub")
        hub.until(lambda _: hub.ready["p2p"] == "ready", "the hub's swarm")
        runner = node("runner", "--bootstrap", hub.ready["multiaddrs"][0])
        runner.until(lambda stats: stats["peers"]["connected"] == 1, "the runner at the hub")
        hub.until(lambda stats: stats["peers"]["connected"] == 1, "the runner, seen by the hub")
        yield hub, runner


def get(node: Node, path: str, token: str = "ghs_one", *flags: str) -> subprocess.CompletedProcess[str]:
    variables = {"P2PCACHE_SOCKET": str(node.socket), **({"GITHUB_TOKEN": token} if token else {})}
    return subprocess.run(
        [sys.executable, "-m", "p2pcache", "get", path, *flags],
        env=environment(node.ready_file.parent, **variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_which_peer_gave_it_and_which_was_not_asked(fleet: tuple[Node, Node]) -> None:
    hub, runner = fleet
    cold = get(hub, READ, "ghs_one", "--explain")
    assert cold.returncode == 0
    name = runner.ready["peer_id"][-8:]
    assert "from GitHub" in cold.stderr
    assert f"peer {name} was not asked: it has not announced this" in cold.stderr
    runner.until(lambda _: runner.control("peers")[0]["announced"] > 0, "the announcement")
    warm = get(runner, READ, "ghs_one", "--explain")
    assert "from a peer" in warm.stderr
    assert f"peer {hub.ready['peer_id'][-8:]} gave it in " in warm.stderr
    again = get(runner, READ, "ghs_one", "--explain")
    assert "from this node's memory" in again.stderr
    assert "peer " not in again.stderr
    assert cold.stdout == warm.stdout == again.stdout


def test_an_error_is_said_on_stderr(fleet: tuple[Node, Node]) -> None:
    said = get(fleet[0], "/repos/octo/nowhere")
    assert said.returncode == 1
    assert "404 Not Found for /repos/octo/nowhere" in said.stderr
    assert "gh auth token" not in said.stderr
    assert "gh auth token" in get(fleet[0], "/repos/octo/nowhere", "").stderr


def test_nothing_is_told_of_what_the_caller_may_not_see(fleet: tuple[Node, Node]) -> None:
    hub, runner = fleet
    target = f"/repos/{PRIVATE}/labels"
    assert get(hub, target, "ghs_hidden").returncode == 0
    runner.until(lambda _: runner.control("peers")[0]["announced"] > 1, "the announcement")
    said = get(runner, target, "ghs_one", "--explain")
    assert said.returncode == 1
    assert "peer " not in said.stderr

"""A stand-in GitHub and a node, each a process as users run them; every test finds both with nothing in them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import GitHub, Node, environment, running

TOKEN = "ghp_reader"


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def running_github(home: Path) -> Iterator[GitHub]:
    with running("p2pcache.testing", f"--token={TOKEN}=octo/app,octo/lib", home=home) as said:
        github = GitHub(said["url"])
        github.order("repository", name="octo/old", issues=4)
        github.order("rename", old="octo/old", new="octo/new")
        yield github


@pytest.fixture(scope="session")
def running_node(home: Path, running_github: GitHub) -> Iterator[Node]:
    where = ["--listen", "127.0.0.1:0", "--socket", str(home / "node.sock"), "--dir", str(home / "store")]
    with running("p2pcache", "serve", "--no-p2p", *where, "--upstream", running_github.url, home=home) as said:
        yield Node(said["api_url"], Path(said["socket"]))


@pytest.fixture
def token() -> str:
    """A credential that GitHub knows."""
    return TOKEN


@pytest.fixture
def clean_environment(home: Path) -> dict[str, str]:
    return environment(home)


@pytest.fixture
def node(running_node: Node, running_github: GitHub) -> Node:
    running_node.control("purge", {"all": True})
    running_github.order("reset-calls")
    return running_node


@pytest.fixture
def github(running_github: GitHub, node: Node) -> GitHub:
    return running_github

"""curl, over the socket and over TCP."""

import json
import subprocess
from collections.abc import Callable

import pytest

from tests.support.processes import GitHub, Node

pytestmark = pytest.mark.needs("curl")


@pytest.fixture
def curl(node: Node, token: str) -> Callable[..., tuple[int, dict[str, str], str]]:
    """The answer's status, headers and body."""

    def ask(*arguments: str, token: str = token) -> tuple[int, dict[str, str], str]:
        command = ["curl", "-sS", "-i", "--max-time", "20", "-H", f"Authorization: Bearer {token}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        head, _, body = done.stdout.partition("\n\n")
        status, *lines = head.splitlines()
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return int(status.split()[1]), headers, body

    return ask


@pytest.fixture(params=["socket", "tcp", "enterprise layout"])
def address(request: pytest.FixtureRequest, node: Node) -> tuple[str, ...]:
    """The arguments that reach the API's root."""
    return {
        "socket": ("--unix-socket", str(node.socket), "http://api.github.com"),
        "tcp": (node.api_url,),
        "enterprise layout": (f"{node.api_url}/api/v3",),
    }[request.param]


def test_the_second_read_says_where_it_came_from(
    curl: Callable[..., tuple[int, dict[str, str], str]], github: GitHub, address: tuple[str, ...]
) -> None:
    *options, base = address
    first, second = (curl(*options, f"{base}/repos/octo/app/labels") for _ in range(2))
    assert first[0] == second[0] == 200
    assert first[1]["cache-status"].startswith("p2pcache; fwd=uri-miss; fwd-status=200; stored")
    assert second[1]["cache-status"].startswith("p2pcache; hit; ttl=")
    assert second[1]["cache-status"].endswith("; detail=memory")
    assert int(second[1]["age"]) >= 0
    assert first[2] == second[2]
    assert github.calls() == [("GET", "/repos/octo/app/labels")]


def test_a_validator_of_the_client_is_answered_here(
    curl: Callable[..., tuple[int, dict[str, str], str]], github: GitHub, node: Node
) -> None:
    url = f"{node.api_url}/repos/octo/app"
    etag = curl(url)[1]["etag"]
    assert curl("-H", f"If-None-Match: {etag}", url)[0] == 304
    assert len(github.calls()) == 1


def test_a_compressed_answer_is_the_same_answer(
    curl: Callable[..., tuple[int, dict[str, str], str]], github: GitHub, node: Node
) -> None:
    url = f"{node.api_url}/repos/octo/app"
    plain, packed = curl(url), curl("--compressed", url)
    assert packed[1]["content-encoding"] == "gzip"
    assert packed[2] == plain[2]
    assert len(github.calls()) == 1


def test_urls_stay_githubs_over_the_socket_and_are_the_gateways_over_tcp(
    curl: Callable[..., tuple[int, dict[str, str], str]], node: Node
) -> None:
    path = "/repos/octo/app/issues?per_page=2"
    _, headers, body = curl("--unix-socket", str(node.socket), f"http://api.github.com{path}")
    assert headers["link"].startswith("<https://api.github.com/")
    assert json.loads(body)[0]["url"].startswith("https://api.github.com/repos/octo/app/issues/")
    _, headers, body = curl(f"{node.api_url}{path}")
    assert headers["link"].startswith(f"<{node.api_url}/")
    assert json.loads(body)[0]["url"].startswith(f"{node.api_url}/repos/octo/app/issues/")


def test_a_rename_is_followed_and_kept(
    curl: Callable[..., tuple[int, dict[str, str], str]], github: GitHub, node: Node
) -> None:
    for _ in range(2):
        status, headers, _ = curl(f"{node.api_url}/repos/octo/old")
        assert status == 301
        assert headers["location"].startswith(f"{node.api_url}/repositories/")
    assert len(github.calls()) == 1


def test_a_refused_token_is_refused_by_github_each_time(
    curl: Callable[..., tuple[int, dict[str, str], str]], github: GitHub, node: Node
) -> None:
    url = f"{node.api_url}/repos/octo/app"
    curl(url)
    for _ in range(2):
        status, _, body = curl(url, token="ghp_unknown")
        assert status == 401
        assert json.loads(body)["message"] == "Bad credentials"
    assert len(github.calls()) == 3

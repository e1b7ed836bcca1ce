"""A request goes to the server that it names, or nowhere: never to another one, and strangers get no way out."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from p2pcache.node import Node
from p2pcache.values import Secret
from tests.support.gateway import LIMIT, TOKEN, Elsewhere, Upstream, ask, ask_as_another_user, connect_tcp, get, running

LAYOUT = "/api/v3"
CONTROL = "6c0n7r01Zq8Vw2Tm5Xk9Yb4Hd7Js3Lf1"


@pytest.fixture
async def ghes(upstream: Upstream, elsewhere: Elsewhere, tmp_path: Path) -> AsyncIterator[Node]:
    """A node of an Enterprise Server, which is `upstream`; every other name leads to `elsewhere`."""
    upstream.answers(elsewhere._ok)
    async with running(upstream.url + LAYOUT, tmp_path) as node:
        await elsewhere.lead(node)
        yield node


@pytest.fixture
async def dotcom(upstream: Upstream, elsewhere: Elsewhere, tmp_path: Path) -> AsyncIterator[Node]:
    """A node of what stands in for github.com."""
    upstream.answers(elsewhere._ok)
    async with running(upstream.url, tmp_path) as node:
        await elsewhere.lead(node)
        yield node


@pytest.mark.parametrize("host", ["api.github.com", "uploads.github.com", "github.com", "octo.ghe.com", "ghe.example"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_enterprise_servers_node_sends_nothing_of_others_there(
    ghes: Node, upstream: Upstream, elsewhere: Elsewhere, host: str, method: str
) -> None:
    for _ in range(2):
        reply = await ask(ghes, get("/repos/octo/app", "Content-Length: 0", host=host, method=method))
        assert (reply.status, reply.body) == (200, b"ok")
    assert upstream.heads == []
    assert elsewhere.asked[-1] == (host, 443)
    assert elsewhere.heads[-1].startswith(f"{method} /repos/octo/app HTTP/1.1\r\n")
    assert f"host: {host}\r\nauthorization: token {TOKEN}\r\n" in elsewhere.heads[-1].lower().replace(
        "host: ", "host: "
    )
    assert len(elsewhere.heads) == 2  # a stream: nothing is kept of it


async def test_an_enterprise_servers_own_requests_go_to_it(
    ghes: Node, upstream: Upstream, elsewhere: Elsewhere
) -> None:
    assert (await ask(ghes, get("/repos/octo/app", host="127.0.0.1"))).status == 200
    assert upstream.heads[-1].startswith("GET /api/v3/repos/octo/app HTTP/1.1\r\n")
    assert elsewhere.heads == []


@pytest.mark.parametrize("host", ["ghe.example", "ghe.example:443", "api.octo.ghe.com", "octo.ghe.com"])
async def test_another_github_is_reached_over_the_socket(
    dotcom: Node, upstream: Upstream, elsewhere: Elsewhere, host: str
) -> None:
    reply = await ask(dotcom, get("/api/graphql", "Content-Length: 4", host=host, method="POST") + b"body")
    if "api." in host:  # no name that the certificate holds: TLS is verified, and the refusal is a sentence
        assert reply.status == 502
        assert elsewhere.heads == []
        return
    assert (reply.status, reply.body) == (200, b"ok")
    assert reply.headers["cache-status"] == "p2pcache; fwd=bypass; fwd-status=200"
    assert elsewhere.asked == [(host.removesuffix(":443"), 443)]
    assert upstream.heads == []
    assert dotcom.stats()["upstream"]["calls"] == 0  # nothing that counts against this GitHub's quota


@pytest.mark.parametrize("host", ["ghe.example", "octo.ghe.com", "evil.example"])
async def test_a_stranger_over_tcp_is_not_let_out(dotcom: Node, elsewhere: Elsewhere, host: str) -> None:
    async with connect_tcp(dotcom) as client:
        await client.send(get("/", host=host))
        assert (await client.reply()).status == 421
        await client.send(get(f"http://{host}/", host="api.github.com"))
        assert (await client.reply()).status == 421
    assert elsewhere.asked == []


@pytest.mark.needs("root")
async def test_another_user_of_the_machine_is_not_let_out(dotcom: Node, elsewhere: Elsewhere) -> None:
    status, _ = await ask_as_another_user(dotcom, get("/", "Connection: close", host="ghe.example"))
    assert status == 421
    assert elsewhere.asked == []
    status, body = await ask_as_another_user(dotcom, get("/zen", "Connection: close"))
    assert (status, body) == (200, b"ok")  # the socket itself is everybody's


INSIDE = ["127.1", "0x7f000001", "2130706433", "localhost.localdomain", "ip6-localhost", "a.localhost", "127.0.0.1."]


@pytest.mark.parametrize(
    "host", [*INSIDE, "ghe.example:8443", "ghe.example:22", "169.254.169.254.", "[::ffff:7f00:1]x"]
)
async def test_no_way_to_this_machine_or_to_other_ports(dotcom: Node, elsewhere: Elsewhere, host: str) -> None:
    reply = await ask(dotcom, get("/", host=host))
    assert reply.status in (400, 421)
    assert elsewhere.asked == []
    assert elsewhere.heads == []


@pytest.mark.parametrize("host", ["169.254.169.254", "10.0.0.1", "127.0.0.1:22", "[::1]:22", "[fe80::1]"])
async def test_an_address_is_the_gateways_own_name_and_never_a_target(
    dotcom: Node, upstream: Upstream, elsewhere: Elsewhere, host: str
) -> None:
    assert (await ask(dotcom, get("/zen", host=host))).status == 200
    assert upstream.heads[-1].startswith("GET /zen ")
    assert elsewhere.asked == []


@pytest.mark.parametrize("location", ["https://evil.example/", "http://127.0.0.1:1/"])
async def test_a_redirect_is_the_clients_to_follow(
    dotcom: Node, upstream: Upstream, elsewhere: Elsewhere, location: str
) -> None:
    async def redirect(_: Elsewhere | Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())

    upstream.answers(redirect)
    elsewhere.answers(redirect)
    for host in ("api.github.com", "ghe.example"):
        reply = await ask(dotcom, get("/repos/octo/app/zipball", host=host))
        assert (reply.status, reply.headers["location"]) == (302, location)
    assert elsewhere.asked == [("ghe.example", 443)]


@pytest.mark.needs("gh")
async def test_gh_that_talks_to_another_github_as_well(
    dotcom: Node, upstream: Upstream, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    (tmp_path / "config.yml").write_text(f'version: "1"\nhttp_unix_socket: {dotcom.socket}\n')
    tokens = {"GH_TOKEN": "here", "GH_ENTERPRISE_TOKEN": "there", "GH_CONFIG_DIR": str(tmp_path)}
    for options in (("--hostname", "ghe.example"), ()):
        done = await asyncio.to_thread(
            subprocess.run,
            ["gh", "api", *options, "repos/octo/app"],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **tokens},
            capture_output=True,
            timeout=LIMIT,
            check=True,
        )
        assert done.stdout == b"ok"
    assert "authorization: token there\r\n" in elsewhere.heads[-1].lower()
    assert elsewhere.heads[-1].startswith("GET /api/v3/repos/octo/app ")
    assert "authorization: token here\r\n" in upstream.heads[-1].lower()
    assert len(upstream.heads) == len(elsewhere.heads) == 1


@pytest.mark.parametrize("host", ["api.github.com", "uploads.github.com", "ghe.example"])
@pytest.mark.parametrize("form", ["Bearer {}", "token {}", "bearer  {}"])
async def test_the_control_token_reaches_no_server(
    upstream: Upstream, elsewhere: Elsewhere, tmp_path: Path, host: str, form: str
) -> None:
    async with running(upstream.url, tmp_path, control_token=Secret(CONTROL)) as node:
        await elsewhere.lead(node)
        given = get("/repos/octo/app", host=host).replace(f"token {TOKEN}".encode(), form.format(CONTROL).encode())
        reply = await ask(node, given)
    assert (reply.status, b"control token" in reply.body) == (403, True)
    assert (upstream.heads, elsewhere.heads) == ([], [])


@pytest.mark.parametrize("second", [TOKEN, CONTROL])
async def test_of_two_tokens_neither_is_sent(dotcom: Node, upstream: Upstream, second: str) -> None:
    reply = await ask(dotcom, get("/repos/octo/app", f"Authorization: token {second}"))
    assert (reply.status, b"one Authorization" in reply.body) == (400, True)
    assert upstream.heads == []

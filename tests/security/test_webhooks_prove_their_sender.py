"""Nobody but GitHub, or another holder of the webhook's secret, drops anything by a delivery; trying costs little."""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from p2pcache.hub import webhook
from p2pcache.node import Node
from p2pcache.settings import Secret
from p2pcache.testing import StandIn
from tests.support.deliveries import SECRET, about, raw, signed
from tests.support.gateway import LIMIT, ask, connect_tcp, get, running

KEPT = "/repos/octo/app/issues/1"
BODY = about(action="edited")


@pytest.fixture
async def filled(github: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    """A node that has `KEPT`, and receives webhooks."""
    monkeypatch.setattr(webhook, "LAG", 3600.0)
    async with running(github.url, tmp_path, webhook_secrets=(Secret(SECRET),)) as node:
        assert (await ask(node, get(KEPT))).status == 200
        yield node


async def deliver(node: Node, request: bytes) -> int:
    async with connect_tcp(node) as client:
        await client.send(request)
        return (await client.reply()).status


async def kept(node: Node) -> bool:
    return (await ask(node, get(KEPT))).headers["cache-status"].startswith("p2pcache; hit")


async def test_a_signed_one_is_carried_out(filled: Node) -> None:
    """Else the others below would show nothing."""
    assert await deliver(filled, raw(BODY)) == 200
    assert not await kept(filled)


SHA1 = "sha1=" + hmac.new(SECRET.encode(), BODY, hashlib.sha1).hexdigest()
SIGNATURE = "X-Hub-Signature-256: "


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(raw(BODY, X_Hub_Signature_256=""), id="none"),
        pytest.param(raw(BODY, X_Hub_Signature_256=signed(BODY, "wrong")), id="of another secret"),
        pytest.param(raw(BODY, X_Hub_Signature_256=signed(BODY, "")), id="of no secret"),
        pytest.param(raw(BODY, X_Hub_Signature_256=signed(BODY)[:40]), id="truncated"),
        pytest.param(raw(BODY, "issues", f"X-Hub-Signature: {SHA1}", X_Hub_Signature_256=""), id="SHA-1 alone"),
        pytest.param(raw(BODY, X_Hub_Signature_256=SHA1), id="SHA-1 in its place"),
        pytest.param(raw(BODY, X_Hub_Signature_256="sha256=" + "é" * 64), id="no ASCII"),
        pytest.param(raw(BODY, "issues", SIGNATURE + signed(BODY)), id="twice the right one"),
        pytest.param(raw(BODY, "issues", SIGNATURE + signed(BODY, "x")), id="a right one and another"),
        pytest.param(raw(BODY + b" ", X_Hub_Signature_256=signed(BODY)), id="of a part"),
        pytest.param(raw(b"", X_Hub_Signature_256=signed(BODY)), id="of what did not come"),
    ],
)
async def test_what_is_not_signed_is_refused_and_says_nothing_more(filled: Node, request_: bytes) -> None:
    async with connect_tcp(filled) as client:
        await client.send(request_)
        answer = await client.reply()
    assert answer.status == 401
    assert answer.body == b'{"message":"p2pcache: This needs GitHub\'s signature."}'
    assert await kept(filled)


async def test_bytes_that_are_no_text_in_the_signature(filled: Node) -> None:
    head, _, body = raw(BODY, X_Hub_Signature_256="sha256=?").partition(b"\r\n\r\n")
    assert await deliver(filled, head.replace(b"sha256=?", b"sha256=\xff\xfe") + b"\r\n\r\n" + body) == 400
    assert await kept(filled)


@pytest.mark.parametrize("event", ["\x1b[31mpush", "push\x80", "PUSH", "a" * 100, "../../x", "{}"])
async def test_strange_events_reach_no_log(filled: Node, event: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    request = raw(BODY, "issues").replace(b"X-GitHub-Event: issues", b"X-GitHub-Event: " + event.encode("latin-1"))
    assert await deliver(filled, request) == 400
    assert not any(event in record.getMessage() for record in caplog.records)
    assert await kept(filled)


async def test_a_body_longer_than_announced_is_not_the_signed_one(filled: Node) -> None:
    assert await deliver(filled, raw(BODY, length=len(BODY) - 1)) == 401
    assert await kept(filled)


async def test_a_body_shorter_than_announced_drops_nothing(filled: Node) -> None:
    async with connect_tcp(filled) as client:
        await client.send(raw(BODY, length=len(BODY) + 1))
    assert await kept(filled)


@pytest.mark.parametrize(("tail", "status"), [(b"", 200), (b" ", 401)])
async def test_chunks_are_signed_as_one(filled: Node, tail: bytes, status: int) -> None:
    head = raw(b"", X_Hub_Signature_256=signed(BODY)).partition(b"\r\n\r\n")[0]
    head = head.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    pieces = [BODY[:5], BODY[5:], *([tail] if tail else [])]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    assert await deliver(filled, head + b"\r\n\r\n" + chunks + b"0\r\n\r\n") == status
    assert await kept(filled) is (status == 401)


async def test_a_replay_drops_nothing_again(filled: Node) -> None:
    request = raw(BODY)
    assert await deliver(filled, request) == 200
    await ask(filled, get(KEPT))
    assert await deliver(filled, request) == 200
    assert await kept(filled)


async def test_the_id_of_a_delivery_does_not_open_for_another_body(filled: Node) -> None:
    other = about("octo/lib")
    await deliver(filled, raw(other, X_GitHub_Delivery="a"))
    assert await deliver(filled, raw(BODY, X_GitHub_Delivery="a", X_Hub_Signature_256=signed(other))) == 401
    assert await kept(filled)


BOMBS = [b"[" * 300_000, b'{"repository":' * 200_000, b'{"a":"' + b"\\u0000" * 400_000 + b'"}']


@pytest.mark.parametrize("body", BOMBS, ids=["brackets", "objects", "escapes"])
async def test_a_bomb_of_json_ends_nothing(filled: Node, body: bytes) -> None:
    """Signed: only who has the secret can send it."""
    assert await deliver(filled, raw(body)) in (200, 400)
    assert (await ask(filled, get(KEPT))).status == 200


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data"])
async def test_another_content_type(filled: Node, kind: str) -> None:
    body = b"payload=%7B%7D"
    assert await deliver(filled, raw(body, Content_Type=kind)) == 415
    assert await kept(filled)


async def test_a_body_that_nobody_signed_is_not_waited_for(filled: Node) -> None:
    """The answer comes though nothing of the body does: what is not signed costs no memory and no digest."""
    for more in ({"X_Hub_Signature_256": ""}, {"Content_Type": "text/plain"}, {}):
        async with connect_tcp(filled) as client:
            length = 20 << 20 if more else webhook.MAX_BODY + 1
            await client.send(raw(b"", length=length, **more))
            assert (await client.reply()).status in (401, 413, 415)


async def test_a_flood_of_false_signatures_takes_bounded_memory(filled: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "MAX_HELD", 1 << 20)
    rooms: list[int] = []
    add = webhook._Gathered.add

    def seen(self: webhook._Gathered, piece: bytes) -> None:
        add(self, piece)
        rooms.append(self._room.held)

    monkeypatch.setattr(webhook._Gathered, "add", seen)
    body = b" " * (1 << 19)
    async with asyncio.timeout(LIMIT * 3), asyncio.TaskGroup() as group:
        sent = [group.create_task(deliver(filled, raw(body, X_Hub_Signature_256=signed(b"x")))) for _ in range(20)]
    assert {task.result() for task in sent} == {401}
    assert max(rooms) <= (1 << 20) + 20 * webhook.ALWAYS_KEPT
    assert await kept(filled)
    assert await deliver(filled, raw(BODY)) == 200
    assert not await kept(filled)


async def test_a_page_of_another_site_proves_nothing(filled: Node) -> None:
    assert await deliver(filled, raw(BODY, "issues", "Origin: https://evil.example", X_Hub_Signature_256="")) == 401
    assert await kept(filled)

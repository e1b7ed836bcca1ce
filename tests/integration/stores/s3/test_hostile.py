"""An endpoint that sends what no store sends: the real client library takes in no more than a bound of it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from p2pcache.cache.codec import MAX_BLOCK, cid_text
from p2pcache.stores.s3.interception import intercepting
from p2pcache.testing.conformance import make
from tests.integration.stores.s3.conftest import Open
from tests.support.fleet import until
from tests.support.hostile_server import (
    Asked,
    HostileServer,
    Script,
    Sender,
    endless,
    endless_body,
    hostile_server,
    redirect,
    whole,
)

pytestmark = pytest.mark.needs("versitygw")
EMPTY = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
ON_THE_WAY = 24 << 20
"""What this machine's sockets and buffers may hold."""
ROUNDS = 15
"""Of 16 calls each, within the bound on calls a minute."""
TRIES = 4
"""For one call: two of the client library, each with a second one where the connection ended at once."""
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "very-secret", "AWS_SESSION_TOKEN": "session-secret"}


@pytest.fixture(params=["http", "https"])
def tls(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext | None:
    """What an endpoint serves by: nothing, or a certificate that this process trusts."""
    if request.param == "http":
        return None
    context, certificate = intercepting(["127.0.0.1"])
    (tmp_path / "trusted.pem").write_text(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    return context


@asynccontextmanager
async def bucket(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[HostileServer]:
    """An endpoint whose listing is in order, and whatever else by `script`."""

    async def answer(asked: Asked, send: Sender) -> None:
        if "list-type=2" in asked.line:
            await whole(send, "200 OK", EMPTY, "Content-Type: application/xml")
        else:
            await script(asked, send)

    async with hostile_server(answer, tls) as server:
        yield server


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (endless_body("200 OK"), "an answer of it was cut off or malformed"),
        (endless_body("403 Forbidden"), "the credentials do not allow it"),
        (endless_body("404 Not Found"), "it answers with status 404"),
        (endless_body("500 X"), "it answers with status 500"),
        (endless(b"HTTP/1.1 200 OK\r\nX-A: ", b"b" * 65536), "an answer of it was cut off or malformed"),
        (endless(b"", b"HTTP/1.1 103 X\r\nLink: <x>\r\n\r\n" * 500), "an answer of it was cut off or malformed"),
    ],
    ids=["listing", "403", "404", "500", "header", "early hints"],
)
async def test_an_answer_without_end(
    open_tier: Open, tls: ssl.SSLContext | None, caplog: pytest.LogCaptureFixture, script: Script, sentence: str
) -> None:
    async with hostile_server(script, tls) as server:
        tier = open_tier(server.url, **KEYS)
        for _ in range(3):
            await tier.open()
        assert sentence in tier.report()["why"]
        assert server.sent < len(server.asked) * (MAX_BLOCK + ON_THE_WAY)
        assert len(server.asked) <= 3 * TRIES
        assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1
        await tier.close()
        await until(lambda: not server.open, "its connections have ended")
    assert "secret" not in caplog.text


async def test_an_object_without_end(open_tier: Open, tls: ssl.SSLContext | None) -> None:
    head = b'HTTP/1.1 200 OK\r\nETag: "x"\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n'
    lengths = [MAX_BLOCK, 10**15]
    for length in lengths:
        script = endless(head + b"Content-Length: %d\r\n\r\n" % length, b"A" * 65536)
        async with bucket(script, tls) as server:
            tier = open_tier(server.url, **KEYS)
            await tier.open()
            assert await tier.block(make().pointer) is None
            await tier.close()
            assert server.sent < len(server.asked) * (MAX_BLOCK + ON_THE_WAY)


@pytest.mark.parametrize("status", ["301 X", "302 X", "303 X", "307 X", "308 X"])
async def test_a_redirect_takes_no_credentials_along(
    open_tier: Open, tls: ssl.SSLContext | None, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def fine(asked: Asked, send: Sender) -> None:
        await whole(send, "200 OK", EMPTY)

    async with hostile_server(fine) as thief, hostile_server(fine, tls) as same_scheme:
        for target in (thief, same_scheme):
            async with hostile_server(redirect(status, f"{target.url}/b?list-type=2"), tls) as server:
                tier = open_tier(server.url, **KEYS)
                await tier.open()
                assert "it redirects, which is not followed" in tier.trouble
                assert len(server.asked) == 1
                await tier.close()
        assert thief.asked == same_scheme.asked == []


async def test_a_redirect_of_what_is_written(open_tier: Open) -> None:
    async def fine(asked: Asked, send: Sender) -> None:
        await whole(send, "200 OK", b"", 'ETag: "x"')

    async with hostile_server(fine) as thief, bucket(redirect("307 X", f"{thief.url}/stolen")) as server:
        tier = open_tier(server.url, **KEYS)
        kept = make()
        await tier.store(kept.pointer, kept.sealed)
        await until(lambda: "redirects" in tier.report()["why"], "refused")
        assert any(asked.line.startswith("PUT") for asked in server.asked)
        assert thief.asked == []


@pytest.mark.parametrize(
    "variables",
    [
        {"AWS_PROXY_EXCLUDES": "*", "NO_PROXY": "*"},
        {"AWS_PROXY_EXCLUDES": "127.0.0.1", "NO_PROXY": "127.0.0.1"},
        {"AWS_PROXY_URL": "http://127.0.0.1:9", "ALL_PROXY": "http://127.0.0.1:9"},
    ],
    ids=lambda value: " ".join(value),
)
async def test_no_variable_leads_past_the_bound(open_tier: Open, variables: dict[str, str]) -> None:
    async with hostile_server(endless_body("403 Forbidden")) as server:
        tier = open_tier(server.url, **KEYS, **variables)
        await tier.open()
        assert "the credentials do not allow it" in tier.trouble
        assert len(server.asked) == 1
        assert server.sent < MAX_BLOCK + ON_THE_WAY


async def test_a_certificate_that_is_not_trusted(open_tier: Open, caplog: pytest.LogCaptureFixture) -> None:
    own, _ = intercepting(["127.0.0.1"])

    async def fine(asked: Asked, send: Sender) -> None:
        await whole(send, "200 OK", EMPTY)

    async with hostile_server(fine, own) as server:
        tier = open_tier(server.url, **KEYS)
        await tier.open()
        assert "its certificate is not trusted here: let SSL_CERT_FILE name" in tier.trouble
        assert server.asked == []


async def test_many_calls_at_once_are_answered(open_tier: Open, tls: ssl.SSLContext | None) -> None:
    """Connections are used again as soon as they are free, by whichever call is next."""
    entries = {cid_text(kept.pointer.cid): kept for kept in (make(f"/{n}", body=b"%d" % n) for n in range(16))}

    async def fine(asked: Asked, send: Sender) -> None:
        kept = entries[asked.line.split(" ")[1].rpartition("/")[2]]
        await whole(send, "200 OK", kept.sealed, 'ETag: "x"', "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT")

    async with bucket(fine, tls) as server:
        tier = open_tier(server.url, **KEYS)
        await tier.open()
        for _ in range(ROUNDS):
            got = await asyncio.gather(*(tier.block(kept.pointer) for kept in entries.values()))
            assert got == [kept.sealed for kept in entries.values()]
        assert tier.report()["why"] == ""
        assert len(server.asked) == 1 + ROUNDS * len(entries), "none was asked twice"


async def test_many_calls_of_a_hostile_endpoint_end_with_their_callers(open_tier: Open) -> None:
    async def hang(asked: Asked, send: Sender) -> None:
        await send.reader.read()

    async with bucket(hang) as server:
        tier = open_tier(server.url, **KEYS)
        await tier.open()
        calls = [asyncio.create_task(tier.block(make(f"/{n}", body=b"%d" % n).pointer)) for n in range(50)]
        await until(lambda: len(server.asked) > 30, "as many as there may be are under way")
        assert server.open <= 32
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await until(lambda: server.open <= 1, "what nobody waits for has ended")

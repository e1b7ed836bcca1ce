import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from p2pcache.stores.actions import cache_service
from p2pcache.stores.actions.cache_service import (
    MAX_DATA,
    CacheGrant,
    CacheService,
    DeniedError,
    Hit,
    LimitedError,
    ServiceError,
    grant_of,
)
from p2pcache.testing.actions_cache import runtime_token
from p2pcache.testing.actions_cache_server import ActionsCacheServer
from p2pcache.testing.faults import Fault
from p2pcache.values import Secret
from tests.unit.stores.actions.conftest import MAIN, ON_MAIN, ON_PULL, PULL, READ_ONLY, WRITE_ONLY

FIND, CREATE, FINALIZE = "*GetCacheEntryDownloadURL", "*CreateCacheEntry", "*FinalizeCacheEntryUpload"


@pytest.fixture
async def service(server: ActionsCacheServer) -> AsyncIterator[CacheService]:
    async with CacheService(server.url, ON_MAIN) as service:
        yield service


async def test_what_was_saved_is_found_by_key_and_by_prefix(service: CacheService) -> None:
    await service.save("a/1", b"one")
    await service.save("a/2", b"two")
    for asked, key, data in (("a/1", "a/1", b"one"), ("a/", "a/2", b"two")):
        hit = await service.find(asked)
        assert hit is not None
        assert (hit.key, await service.fetch(hit)) == (key, data)
    assert await service.find("b/") is None


async def test_a_pull_request_reads_the_default_branch_which_does_not_read_it(
    server: ActionsCacheServer, service: CacheService
) -> None:
    await service.save("main/1", b"of main")
    async with CacheService(server.url, ON_PULL) as pull:
        await pull.save("pull/1", b"of the pull request")
        assert await pull.find("main/") is not None
    assert await service.find("pull/") is None


async def test_a_used_key_is_refused_even_if_nothing_was_uploaded(
    server: ActionsCacheServer, service: CacheService
) -> None:
    server.faults.add(Fault(match="PUT *", status=500))
    with pytest.raises(ServiceError, match=r"^upload: status 500$"):
        await service.save("a/1", b"one")
    with pytest.raises(ServiceError, match=r"^CreateCacheEntry: refused$"):
        await service.save("a/1", b"one")


async def test_writes_may_be_denied_with_a_good_status(server: ActionsCacheServer, service: CacheService) -> None:
    await service.save("a/1", b"one")
    async with CacheService(server.url, READ_ONLY) as reader:
        assert await reader.find("a/") is not None
        with pytest.raises(DeniedError, match="cache write denied: token has no writable scopes"):
            await reader.save("a/2", b"two")


async def test_reads_may_be_denied(server: ActionsCacheServer) -> None:
    async with CacheService(server.url, WRITE_ONLY) as writer:
        await writer.save("a/1", b"one")
        with pytest.raises(DeniedError, match="cache read denied: token has no readable scopes"):
            await writer.find("a/")


@pytest.mark.parametrize("status", [401, 403])
async def test_an_expired_token_is_denied(server: ActionsCacheServer, service: CacheService, status: int) -> None:
    server.faults.add(Fault(match=f"POST {FIND}", status=status, body="<html>"))
    with pytest.raises(DeniedError, match=f"^GetCacheEntryDownloadURL: status {status}$"):
        await service.find("a/")


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("7", 7.0), ("0", 1.0), ("99999", 600.0), ("", 60.0), ("Sat, 21 Nov 2026 00:00:00 GMT", 60.0), ("-5", 60.0)],
)
async def test_a_limit_says_when_to_come_back(
    server: ActionsCacheServer, service: CacheService, retry_after: str, seconds: float
) -> None:
    headers = {"Retry-After": retry_after} if retry_after else {}
    server.faults.add(Fault(match=f"POST {CREATE}", status=429, headers=headers))
    with pytest.raises(LimitedError) as limited:
        await service.save("a/1", b"one")
    assert limited.value.seconds == seconds


async def test_the_services_own_limit(service: CacheService, server: ActionsCacheServer) -> None:
    server.cache.limits["CreateCacheEntry"] = 1
    await service.save("a/1", b"one")
    with pytest.raises(LimitedError) as limited:
        await service.save("a/2", b"two")
    assert 1 <= limited.value.seconds <= 61
    assert await service.find("a/") is not None


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(match=f"POST {FIND}", status=404, body='{"code": "bad_route"}'), id="no such method"),
        pytest.param(Fault(match=f"POST {FIND}", status=500), id="500"),
        pytest.param(Fault(match=f"POST {FIND}", status=302, headers={"Location": "http://elsewhere"}), id="redirect"),
        pytest.param(Fault(match=f"POST {FIND}", status=200, body="<html>"), id="no JSON"),
        pytest.param(Fault(match=f"POST {FIND}", status=200, body="[1]"), id="no object"),
        pytest.param(Fault(match=f"POST {FIND}", status=200, body="[" * 60_000), id="nested"),
        pytest.param(Fault(match=f"POST {FIND}", status=200, body='{"x": "' + "x" * 70_000 + '"}'), id="too much"),
        pytest.param(Fault(match=f"POST {FIND}", cut_after=3), id="cut"),
        pytest.param(Fault(match=f"POST {FIND}", status=500, body="x" * 100_000), id="a long error"),
    ],
)
async def test_any_other_answer_to_a_look_up_is_a_failure(
    server: ActionsCacheServer, service: CacheService, fault: Fault
) -> None:
    await service.save("a/1", b"one")
    server.faults.add(fault)
    with pytest.raises(ServiceError) as failed:
        await service.find("a/")
    assert type(failed.value) is ServiceError
    assert await service.find("a/") is not None, "once"


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(match="GET *", status=404), id="evicted"),
        pytest.param(Fault(match="GET *", status=403), id="expired"),
        pytest.param(Fault(match="GET *", status=302, headers={"Location": "http://127.0.0.1:1/"}), id="redirect"),
        pytest.param(Fault(match="GET *", cut_after=2), id="cut"),
        pytest.param(Fault(match="GET *", status=200, body="x" * (MAX_DATA + 1)), id="too large"),
    ],
)
async def test_a_download_that_fails(server: ActionsCacheServer, service: CacheService, fault: Fault) -> None:
    await service.save("a/1", b"one")
    hit = await service.find("a/1")
    assert hit is not None
    server.faults.add(fault)
    with pytest.raises(ServiceError) as failed:
        await service.fetch(hit)
    assert type(failed.value) is ServiceError


async def test_what_is_slow_is_given_up(
    server: ActionsCacheServer, service: CacheService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_service, "_CALL_SECONDS", 0.05)
    server.faults.add(Fault(match=f"POST {FIND}", stall=True))
    with pytest.raises(ServiceError, match="TimeoutError"):
        await service.find("a/")


async def test_a_server_that_is_not_there() -> None:
    async with CacheService("http://127.0.0.1:1/", ON_MAIN) as service:
        with pytest.raises(ServiceError, match="GetCacheEntryDownloadURL: ClientConnectorError"):
            await service.find("a/")


async def test_a_blob_that_is_not_seen_at_once_is_finalized_later(
    server: ActionsCacheServer, service: CacheService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_service, "_FINALIZE_SECONDS", 0.0)
    missing = Fault(match=f"POST {FINALIZE}", status=404, body='{"code": "not_found"}', times=2)
    server.faults.add(missing)
    await service.save("a/1", b"one")
    assert await service.find("a/1") is not None
    server.faults.add(Fault(match=f"POST {FINALIZE}", status=404, body='{"code": "not_found"}', times=3))
    with pytest.raises(ServiceError, match="FinalizeCacheEntryUpload: refused"):
        await service.save("a/2", b"two")


@pytest.mark.parametrize("data", [b"", b"x" * (MAX_DATA + 1)], ids=["none", "too much"])
async def test_data_out_of_bounds_is_never_sent(server: ActionsCacheServer, service: CacheService, data: bytes) -> None:
    with pytest.raises(ValueError, match="bytes are no entry"):
        await service.save("a/1", data)
    assert not server.cache.calls


@pytest.mark.parametrize(
    "url",
    [
        "http://results.example/",
        "http://127.0.0.1.evil.example/",
        "http://127.0.0.1@evil.example/",
        "https://mona:pw@results.example/",
        "https://",
        "https://results.example:0/",
        "https://results.example:x/",
        "https://results example/",
        "https://results.example/\r\nX: y",
        "ftp://results.example/",
        "file:///etc/passwd",
        "",
    ],
)
async def test_only_https_or_loopback_is_asked(url: str) -> None:
    with pytest.raises(ValueError):
        CacheService(url, ON_MAIN)


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX-Y: z", "ä", "x" * 20_000])
async def test_what_is_no_token_is_never_sent(token: str) -> None:
    with pytest.raises(ValueError, match="token"):
        CacheService("https://results.example/", Secret(token))


@pytest.mark.parametrize("url", ["http://localhost:1", "http://[::1]:1/x", "https://results.example/a/b?c"])
async def test_the_origin_counts(url: str) -> None:
    await CacheService(url, ON_MAIN).close()


async def test_a_service_over_https_leads_to_nothing_on_this_machine(server: ActionsCacheServer) -> None:
    async with CacheService("https://results.example/", ON_MAIN) as service:
        with pytest.raises(ServiceError, match="not https"):
            await service.fetch(Hit("a/1", Secret(f"{server.url}blob/1")))


async def test_neither_token_nor_signed_url_is_in_logs_and_errors(
    server: ActionsCacheServer, service: CacheService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await service.save("a/1", b"one")
    hit = await service.find("a/1")
    assert hit is not None
    said = [repr(hit)]
    server.expired = True
    for match in ("GET *", "PUT *", f"POST {FIND}", f"POST {CREATE}"):
        server.faults.add(Fault(match=match, cut_after=0))
    for attempt in (service.fetch(hit), service.find("a/1"), service.save("a/2", b"x"), service.save("a/3", b"x")):
        with pytest.raises(ServiceError) as failed:
            await attempt
        said += [str(failed.value), repr(failed.value), repr(failed.value.__cause__)]
    text = "\n".join([*said, caplog.text])
    assert "sig=" not in text
    assert server._signature not in text
    assert ON_MAIN.reveal() not in text


async def test_a_denial_shows_no_more_than_its_words(server: ActionsCacheServer, service: CacheService) -> None:
    body = '{"msg": "cache read denied: not for https://x/?sig=abc"}'
    server.faults.add(Fault(match=f"POST {FIND}", status=403, body=body))
    with pytest.raises(DeniedError) as denied:
        await service.find("a/")
    assert str(denied.value) == "GetCacheEntryDownloadURL: cache read denied: not for https"


@pytest.mark.parametrize(
    ("scopes", "refs"),
    [
        ({MAIN: 3}, CacheGrant(MAIN, (), True)),
        ({PULL: 3, MAIN: 1}, CacheGrant(PULL, (MAIN,), True)),
        ({MAIN: 1, PULL: 3}, CacheGrant(PULL, (MAIN,), True)),
        ({MAIN: 1}, CacheGrant(MAIN, (), False)),
        ({MAIN: 2}, CacheGrant(MAIN, (), True)),
        ({PULL: 3, "a": 1, "b": 0, "c": 1, "d": 1}, CacheGrant(PULL, ("a", "c"), True)),
        ({}, CacheGrant("", (), True)),
    ],
)
def test_the_grant_of_a_token(scopes: dict[str, int], refs: CacheGrant) -> None:
    assert grant_of(Secret(runtime_token("1", scopes))) == refs


@pytest.mark.parametrize("token", ["", "opaque", "a.b.c", "a.bnVsbA.c", "a.e30.c", "a.eyJhYyI6NX0.c", "a.ä.c"])
def test_a_token_of_another_make_has_one_nameless_ref(token: str) -> None:
    assert grant_of(Secret(token)) == CacheGrant("", (), True)


async def test_it_goes_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 403 no\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(proxy, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    monkeypatch.setenv("https_proxy", f"http://mona:pw@127.0.0.1:{port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with listening, CacheService("https://results.example/", ON_MAIN) as service:
        with pytest.raises(ServiceError):
            await service.find("a/")
    assert heads[0].startswith(b"CONNECT results.example:443 ")
    assert b"Proxy-Authorization: Basic bW9uYTpwdw==" in heads[0]

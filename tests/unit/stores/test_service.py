from __future__ import annotations

from pathlib import Path

import pytest

from p2pcache.stores.driver import StoreError
from p2pcache.stores.service import Service
from tests.support.gateway import certificate
from tests.support.http_service import HttpService, http_service

SECONDS = 20.0


async def failure(service: HttpService, path: str, *, most: int = 100, seconds: float = SECONDS) -> str:
    client = Service(service.url, {}, proxied=False)
    with pytest.raises(StoreError) as caught:
        await client.ask("GET", path, most=most, seconds=seconds)
    await client.close()
    return str(caught.value)


async def test_an_answer_comes_back_with_its_status() -> None:
    async with http_service({"/a": b"yes", "/b": (418, b"tea")}) as service:
        client = Service(service.url, {"Authorization": "Bearer t"}, proxied=False)
        assert await client.ask("POST", "/a", [("arg", "1"), ("arg", "2")], most=3, seconds=SECONDS) == (200, b"yes")
        assert await client.ask("GET", "/b", most=3, seconds=SECONDS, headers={"Accept": "x/y"}) == (418, b"tea")
        await client.close()
        first, second = service.asked
        assert (first.method, first.values("arg"), first.headers["Authorization"]) == ("POST", ["1", "2"], "Bearer t")
        assert (second.headers["Accept"], second.headers["Accept-Encoding"]) == ("x/y", "identity")


async def test_an_answer_is_bounded() -> None:
    async with http_service({"/a": b"x" * 101}) as service:
        assert await failure(service, "/a") == "an answer of more than 100 bytes"


async def test_of_a_long_answer_the_beginning_may_do() -> None:
    async with http_service({"/a": b"abc" * 100_000}) as service:
        client = Service(service.url, {}, proxied=False)
        assert await client.ask("GET", "/a", most=4, seconds=SECONDS, cut=True) == (200, b"abca")
        await client.close()


async def test_a_service_that_does_not_answer_is_not_waited_for() -> None:
    async with http_service({"/a": None}) as service:
        assert await failure(service, "/a", seconds=0.05) == "no answer within 0.05 s"


async def test_one_that_is_not_there_is_a_sentence_without_its_words() -> None:
    async with http_service() as service:
        pass
    assert (await failure(service, "/a")).startswith("it cannot be reached (")


async def test_a_certificate_that_is_not_trusted_is_named(tmp_path: Path) -> None:
    tls, _ = certificate(tmp_path)
    async with http_service({"/a": b"yes"}, tls) as service:
        assert (await failure(service, "/a")).startswith("its certificate is not trusted here: let SSL_CERT_FILE name")


@pytest.mark.parametrize(
    ("exempt", "proxied", "by"),
    [("", True, b"proxy"), ("127.0.0.1", True, b"service"), ("", False, b"service")],
    ids=["by default", "not where it is exempt", "not a daemon"],
)
async def test_the_proxy_of_the_environment_is_used_where_it_applies(
    monkeypatch: pytest.MonkeyPatch, exempt: str, proxied: bool, by: bytes
) -> None:
    async with http_service({"/a": b"proxy"}) as proxy, http_service({"/a": b"service"}) as service:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", exempt)
        client = Service(service.url, {}, proxied=proxied)
        assert await client.ask("GET", "/a", most=100, seconds=SECONDS) == (200, by)
        await client.close()

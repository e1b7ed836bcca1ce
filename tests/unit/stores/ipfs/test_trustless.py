from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from p2pcache.stores.driver import StoreError
from p2pcache.stores.ipfs.trustless import TrustlessGateway
from tests.support.http_service import HttpService, http_service


@pytest.fixture
async def service() -> AsyncIterator[HttpService]:
    async with http_service() as service:
        yield service


@pytest.fixture
async def gateway(service: HttpService) -> AsyncIterator[TrustlessGateway]:
    gateway = TrustlessGateway(service.url)
    yield gateway
    await gateway.close()


async def test_blocks_and_records_are_asked_for_as_they_are(gateway: TrustlessGateway, service: HttpService) -> None:
    service.answers |= {"/ipfs/bafk": b"block", "/ipns/k51": b"record"}
    assert await gateway.block("bafk", 100) == b"block"
    assert await gateway.record("k51") == b"record"
    asked = [(asked.method, asked.values("format"), asked.headers["Accept"]) for asked in service.asked]
    assert asked == [
        ("GET", ["raw"], "application/vnd.ipld.raw"),
        ("GET", ["ipns-record"], "application/vnd.ipfs.ipns-record"),
    ]


@pytest.mark.parametrize("answer", [(404, b""), (410, b""), (412, b""), (504, b""), (500, b"routing: not found\n")])
async def test_what_is_missing_is_none(
    gateway: TrustlessGateway, service: HttpService, answer: tuple[int, bytes]
) -> None:
    service.answers["/ipns/k51"] = answer
    assert await gateway.record("k51") is None


@pytest.mark.parametrize(("status", "lasting"), [(301, True), (429, False), (500, False), (503, False)])
async def test_anything_else_is_a_failure(
    gateway: TrustlessGateway, service: HttpService, status: int, lasting: bool
) -> None:
    service.answers["/ipfs/bafk"] = (status, b"hostile words")
    with pytest.raises(StoreError) as caught:
        await gateway.block("bafk", 100)
    assert caught.value.lasting is lasting
    assert "hostile" not in str(caught.value)


async def test_a_block_is_bounded(gateway: TrustlessGateway, service: HttpService) -> None:
    service.answers["/ipfs/bafk"] = b"x" * 101
    with pytest.raises(StoreError, match="more than 100 bytes"):
        await gateway.block("bafk", 100)

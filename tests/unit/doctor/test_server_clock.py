"""The difference of two clocks, and a server that does not give its own."""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from p2pcache.doctor.server_clock import skew_of
from tests.support.http_service import http_service


@asynccontextmanager
async def server(*head: str) -> AsyncIterator[str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write("\r\n".join(("HTTP/1.1 403 Forbidden", *head, "Content-Length: 0", "", "")).encode())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


def date(ahead: float) -> str:
    return f"Date: {email.utils.formatdate(time.time() + ahead, usegmt=True)}"


@pytest.mark.parametrize("ahead", [600.0, -600.0])
async def test_a_difference_is_found(ahead: float) -> None:
    async with server(date(ahead)) as url:
        skew = await skew_of(url, 20.0)
    assert skew == pytest.approx(ahead, abs=10)


async def test_less_than_what_can_be_seen_is_none() -> None:
    now = time.time()
    async with server(f"Date: {email.utils.formatdate(now - 0.2, usegmt=True)}") as url:
        skew = await skew_of(url, 20.0)
        took = time.time() - now
    assert skew is not None
    assert abs(skew) <= took + 1.2


@pytest.mark.parametrize("head", [(), ("Date: yesterday",)])
async def test_a_server_without_a_date(head: tuple[str, ...]) -> None:
    async with server(*head) as url:
        assert await skew_of(url, 20.0) is None


async def test_no_server_and_one_that_is_silent() -> None:
    assert await skew_of("http://127.0.0.1:1", 20.0) is None
    async with http_service({"/": None}) as silent:
        assert await skew_of(f"{silent.url}/", 0.05) is None

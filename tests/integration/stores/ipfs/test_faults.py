"""Faults of a real daemon, made by a proxy before it or by its end: each costs a line of the log and no request."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from aiohttp import web

from p2pcache.cache.sealing import Keyring
from p2pcache.stores.store_tier import StoreLimits
from p2pcache.testing.conformance import make
from tests.integration.stores.ipfs.conftest import MARKS, found, over, tier_of
from tests.support.ipfs import Daemon
from tests.support.s3_server import Answer, Fault, FaultProxy, cut, hanging, passing

pytestmark = MARKS

FULL = b'{"Message": "write: no space left on device", "Code": 0, "Type": "error"}'


async def flipped(request: web.Request, answer: Answer) -> Answer:
    """One bit of what was asked for, near its end."""
    if not request.path.endswith("/get"):
        return answer
    return Answer(answer.status, answer.body[:-3] + bytes([answer.body[-3] ^ 1]) + answer.body[-2:])


def refusing(status: int, body: bytes = b"") -> Fault:
    async def refuse(request: web.Request, answer: Answer) -> Answer:
        return Answer(status, body)

    return refuse


FAULTS = {
    "hanging": hanging,
    "cut": cut,
    "503": refusing(503, b"slow down"),
    "full": refusing(500, FULL),
    "403": refusing(403),
}
QUICK = StoreLimits(open=0.5, read=0.5, write=0.5, tries=1, flush=1.0)


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_costs_a_line_and_no_request(
    daemon: Daemon, names: Keyring, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    kept = make("/kept", body=b"kept" * 100)
    now = [1000.0]
    async with FaultProxy(daemon.api) as proxy:
        tier = tier_of(names, proxy.address, monotonic=lambda: now[0])
        await tier.store(kept.pointer, kept.sealed)
        tier._limits = QUICK
        proxy.fault = FAULTS[fault]
        for _ in range(6):
            assert await found(tier, kept) == ([], None)
        assert tier.report()["state"] == "open"
        warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(warnings) == 1
        assert "the cache goes on without it and tries again" in warnings[0]
        asked = proxy.asked.total()
        assert await found(tier, kept) == ([], None)
        assert proxy.asked.total() == asked, "it is left alone"
        proxy.fault = passing
        tier._limits = StoreLimits()
        now[0] += 60
        assert await found(tier, kept) == ([kept.pointer], kept.sealed)
        assert tier.report()["state"] == "closed"
        await tier.close()


async def test_a_flipped_bit_is_never_served(daemon: Daemon, names: Keyring) -> None:
    kept = make("/flipped", body=b"flipped" * 100)
    async with FaultProxy(daemon.api) as proxy, over(names, proxy.address) as tier:
        await tier.store(kept.pointer, kept.sealed)
        proxy.fault = flipped
        assert await found(tier, kept) == ([], None)
        assert tier.report()["refused"] == 1
        proxy.fault = passing
        assert await found(tier, kept) == ([kept.pointer], kept.sealed)


async def test_a_daemon_that_dies_and_comes_back(tmp_path: Path, names: Keyring) -> None:
    daemon = Daemon(tmp_path / "dies")
    kept, again = make(), make("/again")
    now = [1000.0]
    try:
        tier = tier_of(names, daemon.api, monotonic=lambda: now[0])
        await tier.store(kept.pointer, kept.sealed)
        port = daemon.api.rpartition(":")[2]
        daemon.kill()
        for _ in range(3):
            assert await found(tier, kept) == ([], None)
        assert tier.report()["state"] == "open"
        assert "it cannot be reached" in tier.trouble
        daemon.configure("Addresses.API", f"/ip4/127.0.0.1/tcp/{port}")
        daemon.start()
        now[0] += 60
        await tier.store(again.pointer, again.sealed)
        await found(tier, kept)
        assert tier.report()["state"] == "closed"
        await tier.close()
        async with over(names, daemon.api) as reader:
            assert await found(reader, again) == ([again.pointer], again.sealed)
    finally:
        daemon.kill()

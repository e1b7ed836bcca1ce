"""The issuer's keys: fetched when needed, kept while it is down, and never as often as strangers like."""

from __future__ import annotations

import asyncio

import pytest

from p2pcache.gateway.small_answers import SmallAnswerError
from p2pcache.hub import issuer_keys
from p2pcache.hub.issuer_keys import KEPT, PAUSE, IssuerKeys
from tests.support import oidc

CONFIGURATION = f"{oidc.ISSUER}/.well-known/openid-configuration"
JWKS = f"{oidc.ISSUER}/.well-known/jwks"


class Script:
    """An issuer and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.documents: dict[str, bytes] = {CONFIGURATION: oidc.configuration(), JWKS: oidc.key_document("one")}
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.keys = IssuerKeys(oidc.ISSUER, lambda: self.now, self.fetch)

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        await self.gate.wait()
        if url not in self.documents:
            raise SmallAnswerError("it answers 503")
        return self.documents[url]


async def test_they_are_fetched_once_and_kept_for_an_hour() -> None:
    it = Script()
    assert list(await it.keys.current()) == ["one"]
    it.now += KEPT - 1
    assert list(await it.keys.current()) == ["one"]
    assert it.asked == [CONFIGURATION, JWKS]
    it.documents[JWKS] = oidc.key_document("two")
    it.now += 1
    assert list(await it.keys.current()) == ["one"]  # at once; the newer ones are on their way
    assert list(await it.keys.renewed()) == ["two"]
    assert it.asked == 2 * [CONFIGURATION, JWKS]
    assert it.keys.trouble == ""


async def test_callers_at_the_same_time_wait_for_one_attempt() -> None:
    it = Script()
    it.gate.clear()
    waiting = [asyncio.create_task(it.keys.current()) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    it.gate.set()
    assert [list(keys) for keys in await asyncio.gather(*waiting[1:])] == 19 * [["one"]]
    assert it.asked == [CONFIGURATION, JWKS]


async def test_a_flood_of_unknown_keys_asks_once_in_thirty_seconds() -> None:
    it = Script()
    await it.keys.current()
    it.now += PAUSE
    for _ in range(100):
        await it.keys.renewed()
    assert len(it.asked) == 4
    it.now += PAUSE - 1
    await it.keys.renewed()
    assert len(it.asked) == 4
    it.now += 1
    await it.keys.renewed()
    assert len(it.asked) == 6


async def test_a_rotation_is_noticed() -> None:
    it = Script()
    await it.keys.current()
    it.documents[JWKS] = oidc.key_document("one", "two")
    it.now += PAUSE
    assert list(await it.keys.renewed()) == ["one", "two"]


@pytest.mark.parametrize(
    "documents",
    [
        {},
        {CONFIGURATION: b"<html>"},
        {CONFIGURATION: oidc.configuration()},
        {CONFIGURATION: oidc.configuration(), JWKS: b"{}"},
    ],
)
async def test_while_the_issuer_is_down_the_old_ones_count(documents: dict[str, bytes]) -> None:
    it = Script()
    await it.keys.current()
    it.documents = documents
    for _ in range(3):
        it.now += KEPT
        assert list(await it.keys.current()) == ["one"]
        assert list(await it.keys.renewed()) == ["one"]
    assert it.keys.trouble.startswith(f"the OIDC issuer {oidc.ISSUER} gives no keys: it")


async def test_an_issuer_that_was_never_up_gives_none_and_is_asked_again() -> None:
    it = Script()
    it.documents.clear()
    assert not await it.keys.current()
    assert not await it.keys.current()
    assert it.asked == [CONFIGURATION]
    it.documents |= {CONFIGURATION: oidc.configuration(), JWKS: oidc.key_document("one")}
    it.now += PAUSE
    assert list(await it.keys.current()) == ["one"]


async def test_a_slow_one_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer_keys, "SECONDS", 0.01)
    it = Script()
    it.gate.clear()
    assert not await it.keys.current()
    assert it.keys.trouble == f"the OIDC issuer {oidc.ISSUER} gives no keys: no answer within 0.01 s"
    await it.keys.close()


async def test_closing_ends_what_is_under_way() -> None:
    it = Script()
    await it.keys.close()
    it.gate.clear()
    waiting = asyncio.create_task(it.keys.current())
    await asyncio.sleep(0)
    await it.keys.close()
    assert not await waiting

from __future__ import annotations

import json
from collections.abc import MutableMapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from p2pcache.cache.buckets import Buckets
from p2pcache.cache.wanted import ScopePolicy
from p2pcache.gateway.caller_limits import CallerLimits
from p2pcache.gateway.exchange import Exchange
from p2pcache.gateway.http_upstream import UpstreamResponse

ONE, TWO = {"authorization": "token one"}, {"authorization": "token two"}
LIMIT = json.dumps({"message": "You have exceeded a secondary rate limit."}).encode()


@pytest.fixture
def limits() -> CallerLimits:
    made = CallerLimits(ScopePolicy("job", "octo/app", per_credential=False), Buckets(lambda: 1000.0))
    response = cast("UpstreamResponse", SimpleNamespace(status=403, headers={"retry-after": "30"}))
    made.observe(ONE, response, LIMIT)
    return made


def test_a_caller_that_was_asked_to_wait_is_refused_and_no_other(limits: CallerLimits) -> None:
    refusal = limits.refusal(ONE)
    assert refusal is not None
    assert dict(refusal.headers)["retry-after"] == "30"
    assert limits.refusal(TWO) is None
    assert limits.refusal({}) is None


@pytest.mark.parametrize("asked", [True, False])
async def test_the_refusal_names_its_rule_where_that_is_asked(limits: CallerLimits, asked: bool) -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("no body is asked for")

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    headers = [(b"p2pcache-explain", b"1")] if asked else []
    scope = {"method": "GET", "raw_path": b"/", "query_string": b"", "headers": headers, "http_version": "1.1"}
    refusal = limits.refusal(ONE)
    assert refusal is not None
    await limits.refuse(Exchange(scope, receive, send), refusal)
    lines = dict(sent[0]["headers"])
    assert (sent[0]["status"], lines[b"cache-status"]) == (403, b"p2pcache; detail=quota")
    assert (b"p2pcache-rule" in lines) is asked

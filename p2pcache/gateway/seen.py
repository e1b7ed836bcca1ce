"""The facts of a finished request, for the log and for traces."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import NamedTuple

from p2pcache.gateway.exchange import Exchange

GITHUB = "github"


class Call(NamedTuple):
    """One exchange with GitHub, up to the head of its answer; `status` is 0 where there was none."""

    began: float
    ended: float
    status: int


class Seen(NamedTuple):
    """One request. Times are those of `time.monotonic`.

    Attributes:
        route: its operation, as `/-/stats` names it; empty where it was none.
        rule: what decided it.
        tier: what answered it, as ``Cache-Status`` names it.
        status: of the answer; 0 where the client left before there was one.
        began, ended: the request's arrival, and the end of its answer.
        first: the beginning of its answer.
        calls: what GitHub was asked for it.
        traceparent: the caller's, as sent (W3C Trace Context); empty where it sent none.
    """

    route: str
    rule: str
    tier: str
    status: int
    began: float
    ended: float
    first: float
    calls: Sequence[Call] = ()
    traceparent: str = ""


Observer = Callable[[Seen], None]

_calls: ContextVar[list[Call] | None] = ContextVar("_calls", default=None)


def collected() -> list[Call]:
    """Return the list to which this task's calls of GitHub are added from now on."""
    found: list[Call] = []
    _calls.set(found)
    return found


def called(began: float, status: int) -> None:
    """Note a finished call of GitHub, if this request is recorded."""
    if (found := _calls.get()) is not None:
        found.append(Call(began, time.monotonic(), status))


def seen(exchange: Exchange, began: float, calls: Sequence[Call]) -> Seen:
    """Return what is known of a request that is over now."""
    status = b"".join(value for name, value in exchange.head if name == b"cache-status").decode()
    _, _, detail = status.partition("detail=")
    tier = detail.partition(";")[0] or (GITHUB if "fwd=" in status else "")
    parent = next((value for name, value in exchange.raw_headers if name == b"traceparent"), b"")
    return Seen(
        exchange.route,
        exchange.rule,
        tier,
        exchange.status,
        began,
        time.monotonic(),
        exchange.first_at or time.monotonic(),
        calls,
        parent.decode("ascii", "replace"),
    )

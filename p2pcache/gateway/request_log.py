"""One log line a request: its operation, what was decided, the status, the time it took. Never a name of anything."""

from __future__ import annotations

import logging

from p2pcache.gateway.exchange import Exchange

log = logging.getLogger("p2pcache.requests")

GITHUB = "github"
NO_ROUTE = "no operation"


def enabled() -> bool:
    """Return whether these lines are wanted."""
    return log.isEnabledFor(logging.DEBUG)


def write(exchange: Exchange, seconds: float) -> None:
    """Log a request that is over, after so many seconds."""
    status = b"".join(value for name, value in exchange.head if name == b"cache-status").decode()
    _, _, detail = status.partition("detail=")
    tier = detail.partition(";")[0] or (GITHUB if "fwd=" in status else "")
    line(exchange.route, exchange.rule, tier, exchange.status, seconds, exchange.first_after)


def line(route: str, rule: str, tier: str, status: int, seconds: float, first: float) -> None:
    """Log one request.

    Args:
        route: its operation, as `/-/stats` names it.
        rule: what decided it.
        tier: what answered it, as ``Cache-Status`` names it.
        status: of the answer; 0 where the client left before there was one.
        seconds: until the end of the answer.
        first: seconds until its head.
    """
    fields = {
        "route": route,
        "rule": rule,
        "tier": tier,
        "status": status,
        "ms": round(seconds * 1000, 3),
        "first_ms": round(first * 1000, 3),
    }
    decided = ", ".join(part for part in (rule, tier) if part) or "nothing decided"
    log.debug("%s: %s: %d in %.1f ms", route or NO_ROUTE, decided, status, seconds * 1000, extra={"request": fields})

"""One log line a request: its operation, what was decided, the status, the time it took. Never a name of anything."""

from __future__ import annotations

import logging

from p2pcache.gateway.seen import Observer, Seen

log = logging.getLogger("p2pcache.requests")

NO_ROUTE = "no operation"


def observers() -> tuple[Observer, ...]:
    """Return what logs requests, if these lines are wanted."""
    return (_line,) if log.isEnabledFor(logging.DEBUG) else ()


def _line(seen: Seen) -> None:
    milliseconds = (seen.ended - seen.began) * 1000
    fields = {
        "route": seen.route,
        "rule": seen.rule,
        "tier": seen.tier,
        "status": seen.status,
        "ms": round(milliseconds, 3),
        "first_ms": round((seen.first - seen.began) * 1000, 3),
    }
    decided = ", ".join(part for part in (seen.rule, seen.tier) if part) or "nothing decided"
    route = seen.route or NO_ROUTE
    log.debug("%s: %s: %d in %.1f ms", route, decided, seen.status, milliseconds, extra={"request": fields})

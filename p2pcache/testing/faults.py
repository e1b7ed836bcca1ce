"""Faults on demand, and the record of what was asked."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping

import msgspec


class Fault(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What goes wrong with the next `times` requests that match.

    Attributes:
        match: a shell pattern over ``METHOD /path?query``, or over the target alone when it starts with ``/``.
        status: answer this instead, with `body` (a JSON message by default) and `headers`; costs no quota.
        delay: seconds to wait before anything else.
        cut_after: close the connection after that many bytes of the body.
        stall: never answer; the connection stays open.
        garbage: answer with bytes that are not HTTP.
        times: how often; None is always.
    """

    match: str = "*"
    status: int | None = None
    body: str | None = None
    headers: dict[str, str] = {}
    delay: float = 0.0
    cut_after: int | None = None
    stall: bool = False
    garbage: bool = False
    times: int | None = 1

    def hits(self, method: str, target: str) -> bool:
        """Whether it applies to a request."""
        subject = target if self.match.startswith("/") else f"{method} {target}"
        return fnmatch.fnmatchcase(subject, self.match)


class Faults:
    """The faults that wait for their requests, oldest first."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """One more."""
        self._waiting.append(fault)

    def clear(self) -> None:
        """No more faults."""
        self._waiting.clear()

    def take(self, method: str, target: str) -> Fault | None:
        """The fault of this request, counted down."""
        found = next((fault for fault in self._waiting if fault.hits(method, target)), None)
        if found and found.times is not None:
            found.times -= 1
            if found.times <= 0:
                self._waiting.remove(found)
        return found


class Call(msgspec.Struct, frozen=True):
    """One request as the stand-in saw and judged it.

    Attributes:
        target: path and query as sent.
        host: the `Host` it was sent to.
        token: the credential's value, None when anonymous.
        status: 0 when the answer was withheld or no HTTP (a fault).
        charged: whether it cost a request of the primary limit.
        conditional: whether it carried `If-None-Match` or `If-Modified-Since`.
        headers: lower-case names; of a repeated header, the values joined by ", ".
    """

    method: str
    target: str
    host: str
    token: str | None
    status: int
    charged: bool
    conditional: bool
    user_agent: str
    headers: Mapping[str, str]

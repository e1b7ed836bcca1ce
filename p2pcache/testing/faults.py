"""Faults on demand, and the record of requests."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping

import msgspec


class Fault(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A fault of the next `times` requests that match.

    Attributes:
        match: a shell pattern for ``METHOD /path?query``, or for the target alone if it starts with ``/``.
        status: answer this instead, with `body` (a JSON message by default) and `headers`; costs no quota.
        delay: seconds to wait before anything else.
        cut_after: close the connection after this many bytes of the body.
        stall: never answer, with the connection open.
        garbage: answer with bytes that are not HTTP.
        times: the number of requests; None for all.
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
        """Return whether the fault applies to a request."""
        subject = target if self.match.startswith("/") else f"{method} {target}"
        return fnmatch.fnmatchcase(subject, self.match)


class Faults:
    """The pending faults, oldest first."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Add a fault."""
        self._waiting.append(fault)

    def clear(self) -> None:
        """Remove all faults."""
        self._waiting.clear()

    def take(self, method: str, target: str) -> Fault | None:
        """Return the fault of this request, if any, and count it down."""
        found = next((fault for fault in self._waiting if fault.hits(method, target)), None)
        if found and found.times is not None:
            found.times -= 1
            if found.times <= 0:
                self._waiting.remove(found)
        return found


class Call(msgspec.Struct, frozen=True):
    """One request and its outcome at the stand-in.

    Attributes:
        target: path and query as sent.
        host: the `Host` of the request.
        token: the credential's value, None if anonymous.
        status: 0 if a fault withheld or garbled the answer.
        charged: whether it counted against the primary limit.
        conditional: whether it had `If-None-Match` or `If-Modified-Since`.
        headers: lower-case names; the values of a repeated header are joined by ", ".
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

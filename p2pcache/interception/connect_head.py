"""The head of a CONNECT request (RFC 9110 section 9.3.6), by which a client of a proxy asks for a tunnel."""

from __future__ import annotations

import re
from typing import NamedTuple

MOST = 16 << 10
"""Bytes of a head."""
END = b"\r\n\r\n"
# HTTP/1.0 too, without Host: so asks Python 3.11.
_REQUEST = re.compile(rb"CONNECT ([^\s@/?#]+) HTTP/1\.[01]\r\n")
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})")


class TunnelTarget(NamedTuple):
    """Where a tunnel is to end; the host in lower case, an IPv6 address without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(head: bytes) -> TunnelTarget | None:
    """Return the target of a whole head, None where it asks for no tunnel or names none."""
    asked = _REQUEST.match(head)
    named = _AUTHORITY.fullmatch(asked[1].decode("latin-1")) if asked else None
    if named is None or not 0 < int(named[3]) < 1 << 16:
        return None
    return TunnelTarget((named[1] or named[2]).lower(), int(named[3]))


def request(target: TunnelTarget, headers: dict[str, str]) -> bytes:
    """Return the request by which a proxy is asked for a tunnel to `target`."""
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def answer(status: int, reason: str) -> bytes:
    """Return an answer that ends the connection, with one sentence as its body."""
    body = f"p2pcache: {reason}\n".encode()
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode("latin-1", "replace") + body


ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def is_established(head: bytes) -> bool:
    """Return whether a proxy's answer opens the tunnel."""
    return re.match(rb"HTTP/1\.[01] 2[0-9][0-9]\b", head) is not None

"""What is known of a caller: from the kernel, from GitHub's answers to its credential, and from a browser."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import struct
from collections.abc import Mapping

from p2pcache.bounded import Bounded
from p2pcache.github.tokens import token_in

_CREDENTIALS = struct.Struct("=iII")
"""linux/socket.h, struct ucred: process, user, group."""
ROOT = 0
CREDENTIALS = 1024
UNAUTHORIZED = 401


def own_user(transport: asyncio.BaseTransport) -> bool:
    """Return whether a process of this node's user, or of root, is connected.

    Only a unix socket shows it (unix(7), SO_PEERCRED): the node's own is open to every user of the machine, since the
    steps and containers of one job run as several, and over loopback anybody may speak, also for a page in a browser.
    """
    peer = transport.get_extra_info("socket")
    option = getattr(socket, "SO_PEERCRED", None)
    if peer is None or peer.family != socket.AF_UNIX or option is None:
        return False
    try:
        _, user, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))
    except (OSError, struct.error):
        return False
    return user in (ROOT, os.geteuid())


def foreign_page(headers: Mapping[str, str], host: str, scheme: str = "http") -> bool:
    """Return whether a page of another site asks, in a browser (RFC 6454 section 7.3)."""
    origin = headers.get("origin")
    return origin is not None and origin != f"{scheme}://{host}"


class Accepted:
    """The credentials that GitHub has accepted, as digests; the longest unused of `most` gives way."""

    def __init__(self, token: str | None = None, most: int = CREDENTIALS) -> None:
        self._digests: Bounded[bytes, None] = Bounded(most)
        if token:
            self._digests[_digest(f"token {token}")] = None

    def __contains__(self, authorization: str) -> bool:
        return _digest(authorization) in self._digests

    def note(self, authorization: str, status: int) -> None:
        """Record what GitHub answered to a request with this ``Authorization``."""
        digest = _digest(authorization)
        if status == UNAUTHORIZED:
            self._digests.pop(digest, None)
        elif status < 400:
            self._digests[digest] = None


def _digest(authorization: str) -> bytes:
    return hashlib.sha256((token_in(authorization) or authorization).encode()).digest()

"""What is known of a caller: from the kernel, from GitHub's answers to its credential, and from a browser."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Mapping
from pathlib import Path

from p2pcache.bounded import Bounded
from p2pcache.github.tokens import token_in

_CREDENTIALS = struct.Struct("=iII")
"""linux/socket.h, struct ucred: process, user, group."""
_TABLES = {socket.AF_INET: "/proc/net/tcp", socket.AF_INET6: "/proc/net/tcp6"}
ROOT = 0
CREDENTIALS = 1024
UNAUTHORIZED = 401
_OTHER_SITES = ("cross-site", "same-site")
"""Of the same site is another port of this machine, too."""


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


def users_process(transport: asyncio.BaseTransport) -> bool:
    """Return whether a process of this node's user is connected, by the unix socket or over the loopback.

    It may be a browser with any page in it, so this vouches for less than `own_user`. Root does not count over TCP: a
    proxy may run as root, and pass on what anybody sends.
    """
    peer = transport.get_extra_info("socket")
    if peer is None or peer.family not in _TABLES:
        return own_user(transport)
    try:
        return _user_of(_TABLES[peer.family], peer.getpeername(), peer.getsockname()) == os.geteuid()
    except (OSError, ValueError):
        return False


def _user_of(table: str, client: tuple[str, int], server: tuple[str, int]) -> int:
    """Return whose socket is at the client's end of a connection on this machine (proc_pid_net(5), ``net/tcp``).

    Raises:
        OSError: the kernel shows no such table.
        ValueError: there is no such socket in this network namespace.
    """
    ends = [_in_table(client), _in_table(server)]
    with Path(table).open("r", encoding="ascii") as lines:
        for line in lines:
            fields = line.split()
            if fields[1:3] == ends:
                return int(fields[7])
    raise ValueError("no such connection")


def _in_table(end: tuple[str, int]) -> str:
    """Return an address and port as the table has them: words of the machine's byte order, in hexadecimal digits."""
    packed = ipaddress.ip_address(end[0]).packed
    words = (int.from_bytes(packed[n : n + 4], sys.byteorder) for n in range(0, len(packed), 4))
    return f"{''.join(f'{word:08X}' for word in words)}:{end[1]:04X}"


def foreign_page(headers: Mapping[str, str], host: str, scheme: str = "http") -> bool:
    """Return whether a page of another site asks, in a browser (RFC 6454 section 7.3).

    For what a page embeds, as an image, browsers send no Origin, but Fetch Metadata (w3.org/TR/fetch-metadata). A link
    that leads here is no request of the page it is on.
    """
    origin = headers.get("origin")
    if origin is not None:
        return origin != f"{scheme}://{host}"
    return headers.get("sec-fetch-site") in _OTHER_SITES and headers.get("sec-fetch-mode") != "navigate"


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

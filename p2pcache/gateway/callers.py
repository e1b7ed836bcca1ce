"""Who is at the other end of a connection, as far as the kernel vouches for it."""

from __future__ import annotations

import asyncio
import os
import socket
import struct

_CREDENTIALS = struct.Struct("=iII")
"""linux/socket.h, struct ucred: process, user, group."""
ROOT = 0


def own_user(transport: asyncio.BaseTransport) -> bool:
    """Whether a process of this node's user, or of root, speaks here.

    Only a unix socket can tell (unix(7), SO_PEERCRED): the node's own is open to every user of the machine, since the
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

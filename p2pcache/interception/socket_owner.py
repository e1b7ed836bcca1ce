"""Whose the other end of a connection on this machine is, as the kernel has it: sock_diag(7), or /proc/net/tcp."""

from __future__ import annotations

import contextlib
import socket
import struct
from pathlib import Path
from typing import NamedTuple

Address = tuple[str, int]
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
SECONDS = 1.0
_NETLINK_SOCK_DIAG, _BY_FAMILY, _REQUEST = 4, 20, 1  # linux/netlink.h, linux/sock_diag.h
_ANY = 0xFFFFFFFF
_HEAD = struct.Struct("=IHHII")
_OWNER = struct.Struct("=II")
_OWNER_AT = _HEAD.size + 4 + 48 + 3 * 4
"""Where linux/inet_diag.h, struct inet_diag_msg, has ``idiag_uid`` and ``idiag_inode``."""
_MAPPED = bytes(10) + b"\xff\xff"
"""What precedes an IPv4 address in IPv6 (RFC 4291 section 2.5.5.2): a socket for both has it."""


class Owner(NamedTuple):
    """The user of a socket, and the socket's inode."""

    user: int
    inode: int


def owner(peer: Address, own: Address) -> Owner:
    """Return whose socket is at `peer`'s end of an IPv4 connection to `own`.

    Raises:
        OSError, ValueError: there is none, or the kernel does not answer.
    """
    with contextlib.suppress(OSError, struct.error, ValueError):
        return diagnosed(peer, own)
    return listed(peer, own)  # sock_diag may be missing: a module of the kernel, forbidden in some containers


def diagnosed(peer: Address, own: Address) -> Owner:
    """Return what sock_diag has, in some microseconds.

    Raises:
        OSError, struct.error: the kernel does not answer.
        ValueError: there is no such connection.
    """
    addresses = b"".join(socket.inet_aton(host) + bytes(12) for host, _ in (peer, own))
    ports = struct.pack("!HH", peer[1], own[1])
    asked = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, _ANY)
    asked += ports + addresses + struct.pack("=III", 0, _ANY, _ANY)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(SECONDS)
        kernel.send(_HEAD.pack(_HEAD.size + len(asked), _BY_FAMILY, _REQUEST, 1, 0) + asked)
        answer = kernel.recv(8192)
    if _HEAD.unpack_from(answer)[1] != _BY_FAMILY:
        raise ValueError("no such connection")
    return Owner(*_OWNER.unpack_from(answer, _OWNER_AT))


def listed(peer: Address, own: Address) -> Owner:
    """Return what the kernel's tables of connections have, in some milliseconds (proc(5), /proc/net/tcp).

    Raises:
        OSError: there are none.
        ValueError: there is no such connection.
    """
    for table, prefix in zip(TABLES, (b"", _MAPPED), strict=True):
        wanted = [_written(prefix, *peer), _written(prefix, *own)]
        with table.open(encoding="ascii", errors="replace") as lines:
            for fields in map(str.split, lines):
                if fields[1:3] == wanted:
                    return Owner(int(fields[7]), int(fields[9]))
    raise ValueError("no such connection")


def _written(prefix: bytes, host: str, port: int) -> str:
    """Return an address as these tables have it: words of 32 bits in this machine's order, in hexadecimal."""
    packed = prefix + socket.inet_aton(host)
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"

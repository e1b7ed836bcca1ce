"""Who is at the other end of a connection on this machine: its user, its process, and what can be seen of that.

Linux only. The kernel says whose socket it is (sock_diag(7)), /proc which process has it and how it was started.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import struct
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from p2pcache.interception.programs import Process, Program

Address = tuple[str, int]
RECENT = 16
"""Processes that connected lately, which are looked at first."""
_NETLINK_SOCK_DIAG, _BY_FAMILY, _REQUEST = 4, 20, 1  # linux/netlink.h, linux/sock_diag.h
_ANY = 0xFFFFFFFF
_HEAD = struct.Struct("=IHHII")
_OWNER = struct.Struct("=II")
_OWNER_AT = _HEAD.size + 4 + 48 + 3 * 4
"""Where linux/inet_diag.h, struct inet_diag_msg, has ``idiag_uid`` and ``idiag_inode``."""
_LOOK_SECONDS = 1.0
_MOST_BYTES = 1 << 20
_BUILD_INFO = b".go.buildinfo\0"
_CURLRC = ("CURL_HOME", "XDG_CONFIG_HOME", "HOME")


class UnknownPeerError(Exception):
    """Who connected cannot be found out; the message says at what point."""


class Processes:
    """Looks at the processes of one user, by the connections that they made to a listener of ours on the loopback."""

    def __init__(self, user: int) -> None:
        self._user = user
        self._recent: deque[int] = deque(maxlen=RECENT)

    def of(self, peer: Address, own: Address) -> Process:
        """Return what is connected from `peer` to our `own` address.

        Raises:
            UnknownPeerError: it is another user's, or cannot be looked at.
        """
        try:
            user, inode = owner(peer, own)
        except (OSError, struct.error, ValueError):
            raise UnknownPeerError("no socket of this machine") from None
        if user != self._user:
            raise UnknownPeerError("another user")
        pid = self._holder(inode)
        if pid is None:
            raise UnknownPeerError("no process that can be seen")
        try:
            return _seen(Path(f"/proc/{pid}"))
        except OSError:
            raise UnknownPeerError("a process that cannot be looked into") from None

    def _holder(self, inode: int) -> int | None:
        mark = f"socket:[{inode}]"
        for pid in self._candidates():
            if _holds(pid, mark, self._user):
                with contextlib.suppress(ValueError):
                    self._recent.remove(pid)
                self._recent.appendleft(pid)
                return pid
        return None

    def _candidates(self) -> Iterator[int]:
        """The latest first: what connects has often just been started."""
        recent = tuple(self._recent)
        yield from recent
        pids = sorted((int(name) for name in os.listdir("/proc") if name.isdecimal()), reverse=True)  # noqa: PTH208
        yield from (pid for pid in pids if pid not in recent)


def owner(peer: Address, own: Address) -> tuple[int, int]:
    """Return user and inode of the socket at `peer`'s end of an IPv4 connection between these two.

    Raises:
        OSError, struct.error: the kernel does not say.
        ValueError: there is no such connection.
    """
    addresses = b"".join(socket.inet_aton(host) + bytes(12) for host, _ in (peer, own))
    ports = struct.pack("!HH", peer[1], own[1])
    asked = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, _ANY)
    asked += ports + addresses + struct.pack("=III", 0, _ANY, _ANY)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(_LOOK_SECONDS)
        kernel.send(_HEAD.pack(_HEAD.size + len(asked), _BY_FAMILY, _REQUEST, 1, 0) + asked)
        answer = kernel.recv(8192)
    if _HEAD.unpack_from(answer)[1] != _BY_FAMILY:
        raise ValueError("no such connection")
    user, inode = _OWNER.unpack_from(answer, _OWNER_AT)
    return user, inode


def _holds(pid: int, mark: str, user: int) -> bool:
    # Paths as text: a machine has thousands of descriptors, and each is looked at.
    folder = f"/proc/{pid}"
    with contextlib.suppress(OSError):
        if os.stat(folder).st_uid == user:  # noqa: PTH116
            return any(_is(f"{folder}/fd/{fd}", mark) for fd in os.listdir(f"{folder}/fd"))  # noqa: PTH208
    return False


def _is(link: str, mark: str) -> bool:
    try:
        return os.readlink(link) == mark  # noqa: PTH115
    except OSError:
        return False


def _seen(folder: Path) -> Process:
    executable = (folder / "exe").readlink()
    found = (folder / "exe").stat()
    pairs = (entry.partition("=") for entry in _words(folder / "environ"))
    environ = {name: value for name, _, value in pairs}
    go = is_go(str(folder / "exe"), (found.st_dev, found.st_ino, found.st_mtime_ns))
    process = Process(executable.name, go, environ, tuple(_words(folder / "cmdline")))
    if process.program in (Program.PYTHON, Program.RUBY):
        return Process(process.name, go, environ, process.arguments, loaded=_libraries(folder / "maps"))
    if process.program is Program.CURL:
        return Process(process.name, go, environ, process.arguments, own_files=tuple(_curl_configurations(environ)))
    return process


def _words(path: Path) -> list[str]:
    return [word.decode("utf-8", "surrogateescape") for word in path.read_bytes().split(b"\0") if word]


def _libraries(maps: Path) -> frozenset[str]:
    lines = maps.read_bytes().splitlines()
    return frozenset(line.rpartition(b"/")[2].decode("utf-8", "replace") for line in lines if b".so" in line)


def _curl_configurations(environ: dict[str, str]) -> Iterator[str]:
    """The texts of the files that curl reads unasked (curl(1), ``--config``)."""
    for variable in _CURLRC:
        if folder := environ.get(variable):
            for name in (".curlrc", "curlrc", ".config/curlrc"):
                with contextlib.suppress(OSError), Path(folder, name).open("rb") as file:
                    yield file.read(_MOST_BYTES).decode("utf-8", "replace")


@functools.lru_cache(512)
def is_go(path: str, _identity: tuple[int, int, int]) -> bool:
    """Return whether the Go linker made an executable: a 64-bit ELF file with a section for its build information.

    Args:
        path: of the executable.
        _identity: device, inode and time, for the cache: `path` may lead to another file later.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(64)
            if head[:5] != b"\x7fELF\x02":
                return False
            (offset,) = struct.unpack_from("<Q", head, 40)
            size, count, names = struct.unpack_from("<HHH", head, 58)
            file.seek(offset)
            table = file.read(size * count)
            at, length = struct.unpack_from("<QQ", table, names * size + 24)
            file.seek(at)
            return _BUILD_INFO in file.read(min(length, _MOST_BYTES))
    except (OSError, struct.error, OverflowError, ValueError):
        return False

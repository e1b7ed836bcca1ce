"""Who is at the other end of a connection on this machine: its user, its process, and what can be seen of that.

Linux only. `socket_owner` has whose socket it is, /proc which process holds it and how that was started.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
import struct
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from p2pcache.bounded import Bounded
from p2pcache.interception.programs import Process, Program
from p2pcache.interception.socket_owner import Address, owner

RECENT = 16
"""Processes that connected lately, which are looked at first."""
EXECUTABLES = 512
_MOST_BYTES = 1 << 20
_BUILD_INFO = b".go.buildinfo\0"
_LIBCURL = b"libcurl"
_CURLRC = ("CURL_HOME", "XDG_CONFIG_HOME", "HOME")


class UnknownPeerError(Exception):
    """Who connected cannot be found out; the message says at what point."""


class Processes:
    """Looks at the processes of one user, by the connections that they made to a listener of ours on the loopback.

    Args:
        user: whose processes are looked at.
        landmark: a file; a process that does not see it at its place is in a container, and reads other files.
    """

    def __init__(self, user: int, landmark: Path) -> None:
        self._user = user
        self._landmark = landmark
        self._recent: deque[int] = deque(maxlen=RECENT)
        self._go: Bounded[tuple[int, int, int], bool] = Bounded(EXECUTABLES)

    def of(self, peer: Address, own: Address) -> Process:
        """Return what is connected from `peer` to our `own` address.

        Raises:
            UnknownPeerError: it is another user's, or cannot be looked at.
        """
        try:
            user, inode = owner(peer, own)
        except (OSError, ValueError):
            raise UnknownPeerError("no socket of this machine") from None
        if user != self._user:
            raise UnknownPeerError("another user")
        pid = self._holder(inode)
        if pid is None:
            raise UnknownPeerError("no process that can be seen")
        folder = Path(f"/proc/{pid}")
        try:
            there = Path(f"{folder}/root{self._landmark}").stat()
            if not os.path.samestat(there, self._landmark.stat()):
                raise UnknownPeerError("a process in a container")
            return self._seen(folder)
        except FileNotFoundError:
            raise UnknownPeerError("a process in a container, or gone") from None
        except OSError:
            raise UnknownPeerError("a process that cannot be looked into") from None

    def _seen(self, folder: Path) -> Process:
        executable = folder / "exe"
        name = executable.readlink().name
        found = executable.stat()
        if found.st_mode & (stat.S_ISUID | stat.S_ISGID):
            raise UnknownPeerError("a program with rights of its own")  # OpenSSL heeds no variable in it
        identity = (found.st_dev, found.st_ino, found.st_mtime_ns)
        if identity not in self._go:
            self._go[identity] = is_go(executable)
        # Of a name that is there twice, a program in C finds the first.
        pairs = (entry.partition("=") for entry in reversed(_words(folder / "environ")))
        process = Process(
            name, self._go[identity], {key: value for key, _, value in pairs}, tuple(_words(folder / "cmdline"))
        )
        if process.program in (Program.PYTHON, Program.RUBY):
            return replace(process, loaded=_libraries(folder / "maps"))
        if process.program is Program.CURL:
            return replace(process, own_files=tuple(_curl_configurations(folder, process.environ, self._user)))
        return process

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


def _words(path: Path) -> list[str]:
    return [word.decode("utf-8", "surrogateescape") for word in path.read_bytes().split(b"\0") if word]


def _libraries(maps: Path) -> frozenset[str]:
    content = maps.read_bytes()
    if _LIBCURL not in content:
        return frozenset()  # nothing else counts, and a Python program has hundreds of lines
    lines = content.splitlines()
    return frozenset(line.rpartition(b"/")[2].decode("utf-8", "replace") for line in lines if b".so" in line)


def _curl_configurations(process: Path, environ: Mapping[str, str], user: int) -> Iterator[str]:
    """Give the texts of the files that curl reads unasked (curl(1), ``--config``), as seen from where it runs."""
    folders = {environ.get(variable, "") for variable in _CURLRC}
    if not environ.get("HOME"):
        with contextlib.suppress(KeyError):
            folders.add(pwd.getpwuid(user).pw_dir)
    for folder in sorted(filter(None, folders)):
        for name in (".curlrc", "curlrc", ".config/curlrc"):
            path = Path(process, "cwd", folder, name)
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                if not path.is_file():
                    continue  # a pipe would be waited for
                with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123 - a descriptor
                    yield file.read(_MOST_BYTES).decode("utf-8", "replace")


def is_go(path: Path) -> bool:
    """Return whether the Go linker made an executable: a 64-bit ELF file with a section for its build information."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
            if head[:5] != b"\x7fELF\x02":
                return False
            (offset,) = struct.unpack_from("<Q", head, 40)
            size, count, names = struct.unpack_from("<HHH", head, 58)
            file.seek(offset)
            table = file.read(min(size * count, _MOST_BYTES))
            at, length = struct.unpack_from("<QQ", table, names * size + 24)
            file.seek(at)
            return _BUILD_INFO in file.read(min(length, _MOST_BYTES))
    except (OSError, struct.error, OverflowError, ValueError):
        return False

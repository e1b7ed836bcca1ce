"""Listening sockets, for the node and for the supervisor that holds them while nodes come and go.

Standard library only: the supervisor must not pay for more.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import stat
from pathlib import Path

from p2pcache.declarations import SOCKET_PATH_BYTES

BACKLOG = 1024
"""Connections that may wait while a node is busy, or being replaced."""
PROBE_SECONDS = 1.0


class ListenError(Exception):
    """An address that cannot be listened on: one sentence that names the flag and says what would be right."""


def tcp(host: str, port: int, flag: str = "--listen") -> socket.socket:
    """A listening TCP socket; port 0 is any free one, a name is what it resolves to first.

    Raises:
        ListenError: the address is taken, foreign or not allowed.
    """
    with contextlib.ExitStack() as undo:
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            listener = undo.enter_context(socket.socket(family, kind))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except (OSError, OverflowError, UnicodeError) as error:
            taken = getattr(error, "errno", None) in (errno.EADDRINUSE, errno.EACCES)
            advice = "name another port, or 0 for any free one" if taken else "name an address of this machine"
            reason = getattr(error, "strerror", None) or "it is not an address"
            raise ListenError(f"{flag} {host}:{port}: {reason}; {advice}") from None
        undo.pop_all()
        return listener


def unix(path: Path) -> socket.socket:
    """A listening unix socket at `path`, for every user of this machine.

    Steps, job containers and Docker actions of one job run as different users. A socket that nobody answers on is a
    dead node's and is replaced; anything else that stands there is left alone.

    Raises:
        ListenError: somebody answers there, or the path cannot be used.
    """
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
        raise ListenError(f"--socket {path}: name a shorter path, of at most {SOCKET_PATH_BYTES} bytes")
    with contextlib.ExitStack() as undo:
        try:
            _make_folder(path.parent)
            _make_room(path)
            listener = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            listener.bind(str(path))
            path.chmod(0o666)
            listener.listen(BACKLOG)
        except OSError as error:
            raise ListenError(f"--socket {path}: {error.strerror}; name a path that this user may write") from None
        undo.pop_all()
        return listener


def here(client: tuple[str, int] | None) -> bool:
    """Whether a client's address is this machine's loopback; one on a unix socket has none (None or "")."""
    try:
        known = ipaddress.ip_address((client and client[0]) or "127.0.0.1")
    except ValueError:
        return False
    return (getattr(known, "ipv4_mapped", None) or known).is_loopback


def inherit(descriptor: int) -> socket.socket:
    """A listener that the supervisor opened and passed on.

    Raises:
        ListenError: the descriptor is not a socket.
    """
    try:
        return socket.socket(fileno=os.dup(descriptor))
    except OSError as error:
        raise ListenError(f"descriptor {descriptor} is not an inherited socket ({error.strerror})") from None


def _make_folder(folder: Path) -> None:
    """Make the socket's folder; among everybody's files it is to be this user's own, and closed to others.

    Its name can be guessed, and who made it first could put a socket of their own there and be sent tokens.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not folder.parent.stat().st_mode & stat.S_IWOTH:
        return
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise ListenError(f"--socket: {folder} is not a folder of this user, and others may write where it is")
    folder.chmod(0o700)


def _make_room(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ListenError(f"--socket {path}: a file that is no socket is there; name another path")
        if listens(path):
            raise ListenError(f"--socket {path}: another node answers there; stop it, or name another path")
        path.unlink()


def listens(path: Path) -> bool:
    """Whether somebody listens on the unix socket `path`; nobody can at one that is too long for it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_SECONDS)
        try:
            return probe.connect_ex(str(path)) == 0
        except OSError:
            return False

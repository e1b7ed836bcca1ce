"""What takes root: lines in the hosts file, and a socket at a port below 1024. By sudo, where this process is not root.

GitHub's own runners allow sudo without a password (docs.github.com, "Using GitHub-hosted runners").
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from p2pcache.interception import hosts_file
from p2pcache.interception.hosts_file import Led

SECONDS = 10.0
SUDO = ("sudo", "-n")


def allowed() -> bool:
    """Return whether this process is root, or may become root without a password."""
    if os.geteuid() == 0:
        return True
    try:
        _run([*SUDO, "true"])
    except OSError:
        return False
    return True


def listen(address: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        OSError: the address is taken, or root is not to be had.
    """
    try:
        return hosts_file.listening(address, port)
    except PermissionError:  # containers often allow low ports to all
        pass
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            _as_root(hosts_file.LISTEN, address, str(port), stdin=theirs.fileno())
        ours.settimeout(SECONDS)
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        if not descriptors:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return socket.socket(fileno=descriptors[0])


def lead(lines: Sequence[Led], path: Path) -> None:
    """Add lines to the hosts file.

    Raises:
        OSError: it cannot be written.
    """
    if _directly(path):
        hosts_file.lead(lines, path)
    else:
        _as_root(hosts_file.LEAD, str(path), *map(str, lines))


def withdraw(owner: str, path: Path) -> None:
    """Take the lines of `owner` out of the hosts file, all of ours where it is empty.

    Raises:
        OSError: it cannot be written.
    """
    if not any(owner in ("", line.owner) for line in hosts_file.led(path)):
        return
    if _directly(path):
        hosts_file.withdraw(owner, path)
    else:
        _as_root(hosts_file.WITHDRAW, str(path), owner)


def withdrawing(owner: str, path: Path) -> list[str]:
    """Return the command that does what `withdraw` does, whichever user runs it."""
    return [*([] if _directly(path) else SUDO), *_script(hosts_file.WITHDRAW, str(path), owner)]


def _directly(path: Path) -> bool:
    """Return whether a file is written without sudo; what stops root, e.g. a read-only mount, stops sudo as well."""
    return os.geteuid() == 0 or os.access(path, os.W_OK)


def _script(*arguments: str) -> list[str]:
    return [sys.executable, "-I", "-S", hosts_file.__file__, *arguments]


def _as_root(*arguments: str, stdin: int = subprocess.DEVNULL) -> None:
    _run([*SUDO, *_script(*arguments)], stdin)


def _run(command: Sequence[str], stdin: int = subprocess.DEVNULL) -> None:
    try:
        process = subprocess.Popen(  # noqa: S603 - our own script
            command, stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
        )
    except FileNotFoundError:
        raise OSError(None, "there is no sudo here") from None
    try:
        _, written = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(PermissionError):  # sudo is root's: it is left behind, not waited for
            process.kill()
        process.returncode = -1
        if process.stderr:
            process.stderr.close()
        raise OSError(errno.ETIMEDOUT, "sudo does not answer") from None
    if process.returncode:
        words = "".join(c for c in written.strip() if c.isprintable())[:200]
        raise OSError(process.returncode, words or f"sudo ended with {process.returncode}")

"""What takes root: lines in the hosts file, and a socket at a port below 1024. By sudo, where this process is not root.

GitHub's own runners allow sudo without a password (docs.github.com, "Using GitHub-hosted runners").
"""

from __future__ import annotations

import os
import shutil
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
    if shutil.which(SUDO[0]) is None:
        return False
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            [*SUDO, "true"], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def listen(address: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        OSError: the address is taken, or root is not to be had.
    """
    if os.geteuid() == 0:
        return hosts_file.listening(address, port)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        _run(hosts_file.LISTEN, address, str(port), stdin=theirs.fileno())
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        return socket.socket(fileno=descriptors[0])


def lead(lines: Sequence[Led], path: Path) -> None:
    """Add lines to the hosts file.

    Raises:
        OSError: it cannot be written.
    """
    if _directly(path):
        hosts_file.lead(lines, path)
    else:
        _run(hosts_file.LEAD, str(path), *map(str, lines))


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
        _run(hosts_file.WITHDRAW, str(path), owner)


def withdrawing(owner: str, path: Path) -> list[str]:
    """Return the command that does what `withdraw` does, whichever user runs it."""
    return [*([] if _directly(path) else SUDO), *_script(hosts_file.WITHDRAW, str(path), owner)]


def _directly(path: Path) -> bool:
    """Return whether a file is written without sudo; what stops root, e.g. a read-only mount, stops sudo as well."""
    return os.geteuid() == 0 or os.access(path, os.W_OK)


def _script(*arguments: str) -> list[str]:
    return [sys.executable, "-I", "-S", hosts_file.__file__, *arguments]


def _run(*arguments: str, stdin: int = subprocess.DEVNULL) -> None:
    command = [*SUDO, *_script(*arguments)]
    try:
        done = subprocess.run(  # noqa: S603 - our own script
            command, stdin=stdin, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise OSError(None, "sudo does not answer") from None
    if done.returncode:
        words = "".join(c for c in done.stderr.strip() if c.isprintable())[:200]
        raise OSError(None, words or f"sudo ended with {done.returncode}")

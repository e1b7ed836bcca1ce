"""Lines of ours in the hosts file, by which a name leads to this machine: written, read, and taken out again.

Also a script of its own (``python -I -S hosts_file.py``), standard library only, since root writes that file. It is
written in place: in a container it is a mount, which cannot be replaced. Readers never see half of a line: one is
appended by one write, and is a comment before the rest of it is blanked.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

HOSTS = Path("/etc/hosts")
MARK = "# p2pcache"
WITHDRAW, LEAD, LISTEN = "withdraw", "lead", "listen"
USAGE_ERROR = 2
MOST_BYTES = 16 << 20
BACKLOG = 1024
# A line that a person wrote, and marked in some way of their own, is not ours.
_OURS = re.compile(
    rf"(?m)^(?P<address>127(?:\.\d{{1,3}}){{3}}) (?P<name>[a-z0-9.-]+) {MARK} "
    r"(?P<owner>p2pcache-[0-9a-f]+-[0-9a-f]+)(?P<seen> [0-9A-Za-z:.,%_-]*)?(?:\n|\Z)".encode()
)


class Led(NamedTuple):
    """One of our lines.

    Attributes:
        name: the host that is led here, in lower case.
        address: of this machine.
        owner: of the line, as `new_owner` returns one.
        seen: the addresses that the name had before.
    """

    name: str
    address: str
    owner: str
    seen: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.address} {self.name} {MARK} {self.owner} {','.join(self.seen)}"


def new_owner() -> str:
    """Return a name for the lines of one use that no other has."""
    return f"p2pcache-{os.getpid():x}-{os.urandom(4).hex()}"


def led(path: Path = HOSTS) -> list[Led]:
    """Return our lines."""
    return [found for _, found in _ours(_content(path))]


def names(path: Path = HOSTS) -> set[str]:
    """Return all names that the file has, ours or not, in lower case."""
    lines = (line.partition(b"#")[0].split() for line in _content(path).splitlines())
    return {name.decode("latin-1").lower() for line in lines for name in line[1:]}


def lead(lines: Sequence[Led], path: Path = HOSTS) -> None:
    """Add lines.

    Raises:
        OSError: the file cannot be written.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
    try:
        before = _whole(descriptor)
        text = "".join(f"{line}\n" for line in lines).encode("ascii")
        text = text if before.endswith(b"\n") or not before else b"\n" + text
        if os.write(descriptor, text) != len(text):
            os.ftruncate(descriptor, len(before))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)


def withdraw(owner: str, path: Path = HOSTS) -> None:
    """Take out the lines of `owner`, of all owners where it is empty.

    Raises:
        OSError: the file cannot be written.
    """
    if not any(owner in ("", line.owner) for line in led(path)):
        return
    descriptor = os.open(path, os.O_RDWR)
    try:
        before = _whole(descriptor)
        end = len(before)
        for (start, stop), found in reversed(list(_ours(before))):
            if owner not in ("", found.owner):
                continue
            if stop == end == os.fstat(descriptor).st_size:
                os.ftruncate(descriptor, start)
                end = start
            else:
                os.pwrite(descriptor, b"#", start)
                os.pwrite(descriptor, b" " * len(before[start + 1 : stop].rstrip(b"\n")), start + 1)
    finally:
        os.close(descriptor)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES)
    except OSError:
        return b""


def _whole(descriptor: int) -> bytes:
    if os.fstat(descriptor).st_size > MOST_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return os.pread(descriptor, MOST_BYTES, 0)


def _ours(content: bytes) -> Iterator[tuple[tuple[int, int], Led]]:
    """Give where our lines are, their ends included, and what they are."""
    for found in _OURS.finditer(content):
        address, name, owner, seen = (
            (each or b"").decode() for each in found.group("address", "name", "owner", "seen")
        )
        yield found.span(), Led(name, address, owner, tuple(filter(None, seen.strip().split(","))))


def listening(address: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        OSError: the address is taken, or this user may not.
    """
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def main(arguments: Sequence[str]) -> int:
    """``lead FILE LINE...``, ``withdraw FILE OWNER``, or ``listen ADDRESS PORT``, which sends its socket to stdin.

    The exit status is that of the error (errno(3)), or `USAGE_ERROR`.
    """
    try:
        match arguments:
            case [str(verb), address, port] if verb == LISTEN and port.isdecimal():
                with listening(address, int(port)) as listener, socket.socket(fileno=os.dup(0)) as channel:
                    socket.send_fds(channel, [b"0"], [listener.fileno()])
            case [str(verb), path, owner] if verb == WITHDRAW:
                withdraw(owner, Path(path))
            case [str(verb), path, *lines] if verb == LEAD:
                lead([found for _, found in _ours("\n".join(lines).encode())], Path(path))
            case _:
                return USAGE_ERROR
    except OSError as error:
        print(error.strerror or error, file=sys.stderr)
        return error.errno or 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

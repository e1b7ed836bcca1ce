"""Lines of ours in the hosts file, by which a name leads to this machine: written, read, and taken out again.

Also a script of its own (``python -I -S hosts_file.py``), standard library only, since root writes that file. It is
written in place: in a container it is a mount, which cannot be replaced. Readers never see half of a line: one is
appended by one write, and blanked by one.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

HOSTS = Path("/etc/hosts")
MARK = "# p2pcache"
WITHDRAW, LEAD, LISTEN = "withdraw", "lead", "listen"
MOST_BYTES = 1 << 20
BACKLOG = 1024


class Led(NamedTuple):
    """One of our lines.

    Attributes:
        name: the host that is led here.
        address: of this machine.
        owner: the process that keeps it, ``PID:START`` as `runner.watch.started_at` has it.
        seen: the addresses that the name had before.
    """

    name: str
    address: str
    owner: str
    seen: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.address} {self.name} {MARK} {self.owner} {','.join(self.seen)}"


def led(path: Path = HOSTS) -> list[Led]:
    """Return our lines."""
    return [found for _, found in _ours(_read(path))]


def names(path: Path = HOSTS) -> set[str]:
    """Return all names that the file has, ours or not, in lower case."""
    lines = (line.partition(b"#")[0].split() for line in _read(path).splitlines())
    return {name.decode("latin-1").lower() for line in lines for name in line[1:]}


def lead(lines: Sequence[Led], path: Path = HOSTS) -> None:
    """Add lines.

    Raises:
        OSError: the file cannot be written.
    """
    before = _read(path)
    text = "".join(f"{line}\n" for line in lines).encode("ascii")
    with path.open("ab", buffering=0) as file:
        file.write((b"" if before.endswith(b"\n") or not before else b"\n") + text)


def withdraw(owner: str, path: Path = HOSTS) -> None:
    """Take out the lines of `owner`, of all owners where it is empty.

    Raises:
        OSError: the file cannot be written.
    """
    before = _read(path)
    ours = [line for line, found in _ours(before) if owner in ("", found.owner)]
    if not ours:
        return
    descriptor = os.open(path, os.O_WRONLY)
    try:
        kept = len(before)
        for line in reversed(ours):
            at = before.rindex(line, 0, kept)
            if at + len(line) == kept:
                os.ftruncate(descriptor, at)
                kept = at
            else:
                os.pwrite(descriptor, b"\n" * len(line), at)
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES)
    except OSError:
        return b""


def _ours(content: bytes) -> Iterator[tuple[bytes, Led]]:
    for line in content.splitlines(keepends=True):
        entry, mark, rest = line.decode("latin-1").partition(MARK)
        fields, more = entry.split(), rest.split()
        if mark and len(fields) == 2 and more:
            yield line, Led(fields[1], fields[0], more[0], tuple(more[1].split(",")) if more[1:] else ())


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
    """``lead FILE LINE...``, ``withdraw FILE OWNER``, or ``listen ADDRESS PORT``, which sends its socket to stdin."""
    verb, *rest = arguments
    try:
        if verb == LISTEN:
            address, port = rest
            with listening(address, int(port)) as listener, socket.socket(fileno=os.dup(0)) as channel:
                socket.send_fds(channel, [b"0"], [listener.fileno()])
        elif verb == WITHDRAW:
            withdraw(rest[1], Path(rest[0]))
        else:
            lead([found for _, found in _ours("\n".join(rest[1:]).encode())], Path(rest[0]))
    except OSError as error:
        print(error.strerror or error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The journal of what each connection waits for, in memory that the supervisor keeps.

Two descriptors come from the supervisor: a SEQPACKET socket that takes ``slot`` with a descriptor (hold it) or without
(close it), and a memory file of `SLOTS` slots, one a connection. Connections beyond `SLOTS`, or that cannot be handed
over at once, die with their node.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import socket
import struct
import termios
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

SLOTS = 1024
SLOT_BYTES = 16 << 10
MEMORY_BYTES = SLOTS * SLOT_BYTES + mmap.PAGESIZE
"""The slots, and the number of the one in hand, plus one."""

_HEAD = struct.Struct("<BB?xIQ")
"""State, replays, unsafe, length of the request, bytes read from the connection in its life."""
_REPLAYS_AT, _UNSAFE_AT = 1, 2
ROOM = SLOT_BYTES - _HEAD.size
_ATTEMPTS = 4
"""Reads of counts that change meanwhile, before a connection counts as one that does not hold still."""


class ConnectionState(IntEnum):
    """What a connection is waiting for, as far as a next node needs to know."""

    FREE = 0  # no connection
    IDLE = 1  # nothing
    ASKED = 2  # an answer to the bytes in the slot, of which nothing went out
    LOST = 3  # an answer that may have begun, or to bytes that the slot does not hold


@dataclass(frozen=True, slots=True)
class Adopted:
    """A connection that the supervisor holds: a new one, or one of a node that died.

    Attributes:
        slot: None when it could not be held.
        request: the bytes that it waits for an answer to, as far as the slot holds them.
        whole: whether that is all of them.
        unsafe: whether they must not be sent again, since GitHub may have them.
        replays: how often they were taken up before.
        read: bytes read from the connection in its life.
    """

    slot: int | None
    connection: socket.socket
    state: ConnectionState = ConnectionState.IDLE
    request: bytes = b""
    whole: bool = True
    unsafe: bool = False
    replays: int = 0
    read: int = 0


class Journal:
    """This node's side of the journal.

    Attributes:
        in_hand: one number, of the slot whose bytes are being parsed plus one, or 0. That slot's note is not true.
    """

    def __init__(self, channel: socket.socket, memory: mmap.mmap) -> None:
        self._channel = channel
        self._memory = memory
        self._mine: set[int] = set()
        self._closed: set[int] = set()  # the supervisor does not know yet
        self.in_hand = memoryview(memory)[SLOTS * SLOT_BYTES :].cast("I")
        if interrupted := self.in_hand[0]:
            self.lose(interrupted - 1)
            self.in_hand[0] = 0
        self._free = [s for s in range(SLOTS - 1, -1, -1) if memory[s * SLOT_BYTES] == ConnectionState.FREE]

    @classmethod
    def inherit(cls, channel: int, memory: int) -> Journal:
        """Take the supervisor's descriptors over.

        Raises:
            OSError: they are not what they should be.
        """
        sock = socket.socket(fileno=channel)
        sock.set_inheritable(False)
        sock.setblocking(False)
        os.ftruncate(memory, MEMORY_BYTES)  # the first node finds it empty
        mapped = mmap.mmap(memory, MEMORY_BYTES)
        os.close(memory)
        return cls(sock, mapped)

    def adopt(self, held: Iterable[tuple[int, int]]) -> list[Adopted]:
        """Take over connections (slot, descriptor) of a node that died; the supervisor goes on holding them.

        The journal stays as it is until they are answered: this node may die, too.
        """
        adopted = []
        for slot, descriptor in held:
            try:
                connection = socket.socket(fileno=descriptor)
            except OSError:  # closed by the supervisor in the meantime
                continue
            connection.set_inheritable(False)
            connection.setblocking(False)
            adopted.append(self._read(slot, connection))
            self._mine.add(slot)
        # Slots of connections that ended with the node that died.
        for slot in set(range(SLOTS)) - self._mine - self._closed - set(self._free):
            self._release(slot)
        return adopted

    def hold(self, descriptor: int) -> int | None:
        """Have a new connection held; its slot, or None when that cannot be had and it dies with this node."""
        self._report_closed()
        if not self._free:
            return None
        slot = self._free.pop()
        self.idle(slot)
        try:
            socket.send_fds(self._channel, [b"%d" % slot], [descriptor])
        except OSError:
            self._release(slot)
            return None
        self._mine.add(slot)
        return slot

    def let_go(self, slot: int) -> None:
        """Note that the connection is over. Its slot is free once that was reported to the supervisor."""
        self._mine.discard(slot)
        self._closed.add(slot)
        self._report_closed()

    def asked(self, slot: int, data: bytes, read: int) -> None:
        """Add bytes to the request that waits for an answer; with them, `read` were read from the connection."""
        base = slot * SLOT_BYTES
        state, replays, unsafe, length, _ = _HEAD.unpack_from(self._memory, base)
        if state == ConnectionState.LOST:
            return
        start, kept = base + _HEAD.size + length, data[: max(0, ROOM - length)]
        self._memory[start : start + len(kept)] = kept
        length = min(length + len(data), ROOM + 1)
        _HEAD.pack_into(self._memory, base, ConnectionState.ASKED, replays, unsafe, length, read)

    def lose(self, slot: int) -> None:
        """Note that the request cannot be taken up from here on."""
        self._memory[slot * SLOT_BYTES] = ConnectionState.LOST

    def idle(self, slot: int) -> None:
        """Note that nothing is waited for."""
        _HEAD.pack_into(self._memory, slot * SLOT_BYTES, ConnectionState.IDLE, 0, False, 0, 0)

    def unsafe(self, slot: int) -> None:
        """Note that the request must not be sent again from here on, since GitHub may have it."""
        self._memory[slot * SLOT_BYTES + _UNSAFE_AT] = 1

    def replayed(self, slot: int) -> None:
        """Note that the request is taken up once more."""
        self._memory[slot * SLOT_BYTES + _REPLAYS_AT] += 1

    def _read(self, slot: int, connection: socket.socket) -> Adopted:
        base = slot * SLOT_BYTES
        code, replays, unsafe, length, noted = _HEAD.unpack_from(self._memory, base)
        state, counted = ConnectionState(code), bytes_read(connection)
        read = noted if counted is None else counted
        if state is ConnectionState.ASKED and read == noted:
            request = self._memory[base + _HEAD.size : base + _HEAD.size + min(length, ROOM)]
            return Adopted(slot, connection, state, request, length <= ROOM, unsafe, replays, read)
        if state is ConnectionState.IDLE:
            self.idle(slot)  # without what a note that was cut off wrote into it
            return Adopted(slot, connection, read=read)
        return Adopted(slot, connection, ConnectionState.LOST)

    def _release(self, slot: int) -> None:
        self._memory[slot * SLOT_BYTES] = ConnectionState.FREE
        self._free.append(slot)

    def _report_closed(self) -> None:
        """Report to the supervisor what is over; what its socket does not take now follows with the next report."""
        while self._closed:
            slot = self._closed.pop()
            try:
                self._channel.send(b"%d" % slot)
            except OSError:
                self._closed.add(slot)
                return
            self._release(slot)


def bytes_read(connection: socket.socket) -> int | None:
    """Return how many bytes processes have read from a TCP connection, as the kernel counts them.

    None for a unix socket, which counts nothing, and for a connection that does not hold still. linux/tcp.h, struct
    tcp_info: tcpi_bytes_received at 128 (since Linux 4.1); less what waits to be read (tcp(7), SIOCINQ).
    """
    try:
        for _ in range(_ATTEMPTS):
            (before,), unread, (after,) = _received(connection), _unread(connection), _received(connection)
            if before == after:
                return int(before - unread)
    except (OSError, struct.error):
        return None
    return None


def _received(connection: socket.socket) -> tuple[int]:
    return struct.unpack_from("=Q", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136), 128)


def _unread(connection: socket.socket) -> int:
    (count,) = struct.unpack("=i", fcntl.ioctl(connection, termios.FIONREAD, bytes(4)))
    return int(count)

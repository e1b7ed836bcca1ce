"""Connections that outlive the node: the supervisor holds a second handle on each, a journal says what each awaits.

A node that is killed takes its memory along but not its clients: the supervisor has every connection open still, and
in shared memory stands the request that each is waiting on. The next node takes up both (`adoption`).

A kill can fall between a system call and its note in the journal. On TCP the kernel's own counts tell on which side
of the call it fell, so nothing is lost or sent twice. A unix socket has no such counts: there an answer that was just
being written counts as sent in part, and its connection is closed; bytes that were just read are gone, and the client
is closed when it has been waiting for as long as a head may take. Both gaps are a few microseconds a request. On
either kind an answer of which a part went out cannot be taken up: its connection is closed, also when that part was
all and only the note is missing. And a connection that was accepted in the very step before is held by nobody yet.

Two descriptors come from the supervisor (`runner/watch.py` has the other ends): a SEQPACKET socket that takes
``slot`` with a descriptor (hold it) or without (let go), and a memory file of `SLOTS` slots. Connections beyond
`SLOTS`, or that cannot be handed over at once, die with their node.
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
MEMORY_BYTES = SLOTS * SLOT_BYTES
MOST_REPLAYS = 3
"""How often a request is taken up: one that kills every node it reaches must not use up the supervisor's patience."""

# state, replays, unsafe, length of the request; bytes read from and written to the connection in its life
_HEAD = struct.Struct("<BB?xIQQ")
_KEPT = struct.Struct("<IQ")
_LENGTH = struct.Struct("<I")
_SENT = struct.Struct("<Q")
_REPLAYS_AT, _UNSAFE_AT, _KEPT_AT, _SENT_AT = 1, 2, 4, 16
ROOM = SLOT_BYTES - _HEAD.size
_LOOKS = 4
"""At counts that change meanwhile, before a connection counts as one that does not hold still."""


class ConnectionState(IntEnum):
    """What a connection is waiting for, as far as a next node needs to know."""

    FREE = 0  # no connection
    IDLE = 1  # nothing
    ASKED = 2  # an answer to the bytes in the slot, of which nothing went out
    ANSWERING = 3  # part of the answer may have gone out
    LOST = 4  # more came in before that answer was out


_IDLE, _ASKED = (
    int(ConnectionState.IDLE),
    int(ConnectionState.ASKED),
)  # a plain number goes into the memory in half the time


@dataclass(frozen=True, slots=True)
class Adopted:
    """A connection that is held: a new one, or one of a node that died.

    Attributes:
        slot: None when it could not be held.
        received: what it had asked, as far as the slot holds it.
        whole: whether that is all of it.
        unsafe: whether it must not be made twice and GitHub may have it.
        replays: how often it was taken up before.
    """

    slot: int | None
    connection: socket.socket
    state: ConnectionState
    received: bytes = b""
    whole: bool = True
    unsafe: bool = False
    replays: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """Bytes that a process has read from a connection and written to it, as the kernel counts."""

    read: int
    written: int


class Keeper:
    """This node's side of it."""

    def __init__(self, channel: socket.socket, memory: mmap.mmap) -> None:
        self._channel = channel
        self._memory = memory
        self._mine: set[int] = set()
        self._owed: set[int] = set()
        self._free = [s for s in range(SLOTS - 1, -1, -1) if memory[s * SLOT_BYTES] == ConnectionState.FREE]
        # What this node wrote to the journal, so that it need not be read and unpacked for every request.
        self._states = [ConnectionState.FREE] * SLOTS
        self._lengths = [0] * SLOTS
        self._reads = [0] * SLOTS
        self._marked = bytearray(SLOTS)  # a slot has replays or `unsafe` set

    @classmethod
    def inherit(cls, channel: int, memory: int) -> Keeper:
        """The supervisor's descriptors.

        Raises:
            OSError: they are not what they should be.
        """
        sock = socket.socket(fileno=channel)
        sock.set_inheritable(False)
        sock.setblocking(False)
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
        for slot in (
            set(range(SLOTS)) - self._mine - self._owed - set(self._free)
        ):  # taken by the node that died, and over
            self._release(slot)
        return adopted

    def hold(self, descriptor: int) -> int | None:
        """Have a new connection held; its slot, or None when that cannot be had and it dies with this node."""
        self._pay()
        if not self._free:
            return None
        slot = self._free.pop()
        _HEAD.pack_into(self._memory, slot * SLOT_BYTES, ConnectionState.IDLE, 0, False, 0, 0, 0)
        self._states[slot] = ConnectionState.IDLE
        self._lengths[slot] = self._reads[slot] = self._marked[slot] = 0
        try:
            socket.send_fds(self._channel, [b"%d" % slot], [descriptor])
        except OSError:
            self._release(slot)
            return None
        self._mine.add(slot)
        return slot

    def let_go(self, slot: int) -> None:
        """The connection is over. The slot is free once the supervisor could be told."""
        self._mine.discard(slot)
        self._owed.add(slot)
        self._pay()

    def received(self, slot: int, data: bytes) -> None:
        """Note bytes of a request before they are looked at."""
        memory, base, length = self._memory, slot * SLOT_BYTES, self._lengths[slot]
        read = self._reads[slot] = self._reads[slot] + len(data)
        if self._states[slot] > ConnectionState.ASKED:
            self._states[slot] = ConnectionState.LOST
            memory[base] = ConnectionState.LOST
            _KEPT.pack_into(memory, base + _KEPT_AT, length, read)
            return
        end = length + len(data)
        if end > ROOM:
            data, end = data[: max(0, ROOM - length)], ROOM + 1
        start = base + _HEAD.size + length
        memory[start : start + len(data)] = data
        _KEPT.pack_into(memory, base + _KEPT_AT, end, read)
        memory[base] = _ASKED  # last: a note that was cut off counts as none
        self._states[slot] = ConnectionState.ASKED
        self._lengths[slot] = end

    def mark(self, slot: int, state: ConnectionState) -> None:
        """Note how far the answer is."""
        self._memory[slot * SLOT_BYTES] = self._states[slot] = state

    def idle(self, slot: int, sent: int) -> None:
        """The answer is out, the `sent`-th byte of this connection its last: nothing is waited for."""
        base = slot * SLOT_BYTES
        self._memory[base] = _IDLE  # first: what is left in the slot means nothing from here on
        self._states[slot] = ConnectionState.IDLE
        self._lengths[slot] = 0
        if self._marked[slot]:
            self._marked[slot] = self._memory[base + _REPLAYS_AT] = self._memory[base + _UNSAFE_AT] = 0
        _SENT.pack_into(self._memory, base + _SENT_AT, sent)

    def sent(self, slot: int, sent: int) -> None:
        """Note how many bytes went out before the answer that is due."""
        _SENT.pack_into(self._memory, slot * SLOT_BYTES + _SENT_AT, sent)

    def written(self, slot: int) -> int:
        """What `sent` noted last."""
        (sent,) = _SENT.unpack_from(self._memory, slot * SLOT_BYTES + _SENT_AT)
        return int(sent)

    def unsafe(self, slot: int) -> None:
        """Note that from here on the request must not be made again: GitHub may have it."""
        self._marked[slot] = self._memory[slot * SLOT_BYTES + _UNSAFE_AT] = 1

    def replayed(self, slot: int) -> None:
        """Note that the request is asked once more."""
        self._memory[slot * SLOT_BYTES + _REPLAYS_AT] += 1
        self._marked[slot] = 1
        self.mark(slot, ConnectionState.ASKED)

    def _read(self, slot: int, connection: socket.socket) -> Adopted:
        base = slot * SLOT_BYTES
        code, replays, unsafe, length, read, sent = _HEAD.unpack_from(self._memory, base)
        state = judge(ConnectionState(code), Counts(read, sent), kernel_counts(connection))
        self._states[slot], self._lengths[slot], self._reads[slot], self._marked[slot] = (
            ConnectionState(code),
            length,
            read,
            1,
        )
        if state is not ConnectionState.ASKED:
            return Adopted(slot, connection, state)
        received = self._memory[base + _HEAD.size : base + _HEAD.size + min(length, ROOM)]
        return Adopted(slot, connection, state, received, length <= ROOM, unsafe, replays)

    def _release(self, slot: int) -> None:
        self.mark(slot, ConnectionState.FREE)
        self._free.append(slot)

    def _pay(self) -> None:
        """Tell the supervisor what is over; what its socket does not take now is told with the next."""
        while self._owed:
            slot = self._owed.pop()
            try:
                self._channel.send(b"%d" % slot)
            except OSError:
                self._owed.add(slot)
                return
            self._release(slot)


def judge(state: ConnectionState, noted: Counts, counted: Counts | None) -> ConnectionState:
    """What a connection waits for, by the journal and by what the kernel has `counted` (None: it does not count)."""
    if counted is not None and counted.read != noted.read:
        return ConnectionState.LOST
    if state is ConnectionState.ANSWERING and counted is not None and counted.written == noted.written:
        return ConnectionState.ASKED
    return state


def kernel_counts(connection: socket.socket) -> Counts | None:
    """The counts of a TCP connection; None for a unix socket, which has none, or one that does not hold still.

    linux/tcp.h, struct tcp_info: tcpi_bytes_acked at 120, tcpi_bytes_received at 128 (since Linux 4.1). Less what
    waits to be read, and with what waits to be acknowledged (tcp(7), SIOCINQ and SIOCOUTQ), they are the process's.
    """
    try:
        for _ in range(_LOOKS):
            before = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)
            unread, unacknowledged = (_queued(connection, which) for which in (termios.FIONREAD, termios.TIOCOUTQ))
            if before[120:] == connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)[120:]:
                acknowledged, received = struct.unpack_from("=QQ", before, 120)
                return Counts(received - unread, acknowledged + unacknowledged)
    except (OSError, struct.error):
        return None
    return None


def _queued(connection: socket.socket, which: int) -> int:
    (count,) = struct.unpack("=i", fcntl.ioctl(connection, which, bytes(4)))
    return int(count)

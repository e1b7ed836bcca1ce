"""Connections that outlive the node: the supervisor holds a second handle on each, a journal says what each awaits.

A node that is killed takes its memory along but not its clients: the supervisor has every connection open still, and
in shared memory stands the request that each is waiting on. The next node adopts both and answers. What was answered in
part, or was a write that GitHub may have seen already, cannot be taken up: the first is closed, the second gets a
sentence.

Two descriptors come from the supervisor (`runner/watch.py` has the other ends): a SEQPACKET socket that takes
``slot`` with a descriptor (hold it) or without (let go), and a memory file of `SLOTS` slots.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

SLOTS = 1024
SLOT_BYTES = 16 << 10
_HEAD = struct.Struct("<BxxxI")
_ROOM = SLOT_BYTES - _HEAD.size
MEMORY_BYTES = SLOTS * SLOT_BYTES


class State(IntEnum):
    """What a connection is waiting for, as far as a next node needs to know."""

    IDLE = 0
    ASKED = 1  # the bytes in the slot were received and nothing of the answer went out
    ANSWERING = 2  # part of the answer may have gone out
    LOST = 3  # more was received than the slot holds
    WRITING = 4  # a write was sent on to GitHub


@dataclass(frozen=True, slots=True)
class Adopted:
    """A connection of a node that died."""

    slot: int
    connection: socket.socket
    state: State
    received: bytes


class Keeper:
    """This node's side of it."""

    def __init__(self, channel: socket.socket, memory: mmap.mmap) -> None:
        self._channel = channel
        self._memory = memory
        self._free = list(range(SLOTS - 1, -1, -1))

    @classmethod
    def inherit(cls, channel: int, memory: int) -> Keeper:
        """The supervisor's descriptors.

        Raises:
            OSError: they are not what they should be.
        """
        sock = socket.socket(fileno=channel)
        sock.setblocking(False)
        return cls(sock, mmap.mmap(memory, MEMORY_BYTES))

    def adopt(self, held: Iterable[tuple[int, int]]) -> list[Adopted]:
        """Take over connections (slot, descriptor) of a node that died; the supervisor goes on holding them."""
        adopted = []
        for slot, descriptor in held:
            if slot not in self._free:
                continue
            self._free.remove(slot)
            state, length = _HEAD.unpack_from(self._memory, slot * SLOT_BYTES)
            start = slot * SLOT_BYTES + _HEAD.size
            received = self._memory[start : start + min(length, _ROOM)]
            self.idle(slot)
            adopted.append(Adopted(slot, socket.socket(fileno=descriptor), State(state), received))
        return adopted

    def hold(self, descriptor: int) -> int | None:
        """Have a new connection held; its slot, or None when that cannot be had and it dies with this node."""
        if not self._free:
            return None
        slot = self._free.pop()
        self.idle(slot)
        try:
            socket.send_fds(self._channel, [b"%d" % slot], [descriptor])
        except OSError:
            self._free.append(slot)
            return None
        return slot

    def let_go(self, slot: int) -> None:
        """The connection is over. If the supervisor cannot be told, its slot stays taken and nothing else is harmed."""
        try:
            self._channel.send(b"%d" % slot)
        except OSError:
            return
        self._free.append(slot)

    def received(self, slot: int, data: bytes) -> None:
        """Note bytes of a request before they are looked at."""
        base = slot * SLOT_BYTES
        state, length = _HEAD.unpack_from(self._memory, base)
        if state == State.ANSWERING:  # asked again before the last answer has drained
            self.mark(slot, State.LOST)
        if state > State.ASKED:
            return
        end = length + len(data)
        if end > _ROOM:
            _HEAD.pack_into(self._memory, base, State.LOST, 0)
            return
        start = base + _HEAD.size + length
        self._memory[start : start + len(data)] = data
        _HEAD.pack_into(self._memory, base, State.ASKED, end)

    def mark(self, slot: int, state: State) -> None:
        """Note how far the answer is."""
        self._memory[slot * SLOT_BYTES] = state

    def idle(self, slot: int) -> None:
        """The answer is out: nothing is waited for."""
        _HEAD.pack_into(self._memory, slot * SLOT_BYTES, State.IDLE, 0)


def memory_file() -> int:
    """A memory file of the journal's size, for the tests and for `runner/watch.py` to agree on."""
    descriptor = os.memfd_create("p2pcache-journal")
    os.ftruncate(descriptor, MEMORY_BYTES)
    return descriptor

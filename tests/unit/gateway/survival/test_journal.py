"""The journal: what a next node learns, whenever the one before was killed; and slots that never clash or leak."""

import mmap
import os
import socket
import struct
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from p2pcache.gateway.survival.journal import (
    MEMORY_BYTES,
    ROOM,
    SLOT_BYTES,
    SLOTS,
    Adopted,
    ConnectionState,
    Journal,
    bytes_read,
)

Pair = tuple[socket.socket, socket.socket]
Nodes = Callable[..., tuple[Journal, list[Adopted]]]

ASK = b"GET / HTTP/1.1\r\n\r\n"


class Supervisor:
    """The other ends, read on demand."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.setblocking(False)
        self.memory = mmap.mmap(-1, MEMORY_BYTES)
        self.held: dict[int, int] = {}

    def node(self) -> tuple[Journal, socket.socket]:
        channel = self.theirs.dup()
        channel.setblocking(False)
        return Journal(channel, self.memory), channel

    def hear(self) -> None:
        while True:
            try:
                said, descriptors, _, _ = socket.recv_fds(self.ours, 16, 1)
            except BlockingIOError:
                return
            if (old := self.held.pop(int(said), None)) is not None:
                os.close(old)
            if descriptors:
                self.held[int(said)] = descriptors[0]

    def close(self) -> None:
        self.hear()
        for descriptor in self.held.values():
            os.close(descriptor)
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    made = Supervisor()
    yield made
    made.close()


@pytest.fixture
def nodes(supervisor: Supervisor) -> Iterator[Nodes]:
    """Nodes, one after the other."""
    channels: list[socket.socket] = []
    taken: list[socket.socket] = []

    def start(*, adopt: bool = False) -> tuple[Journal, list[Adopted]]:
        journal, channel = supervisor.node()
        channels.append(channel)
        supervisor.hear()
        adopted = journal.adopt([(slot, os.dup(fd)) for slot, fd in supervisor.held.items()]) if adopt else []
        taken.extend(each.connection for each in adopted)
        return journal, adopted

    yield start
    for each in (*channels, *taken):
        each.close()


@pytest.fixture(params=["tcp", "unix"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A client's end and a node's end."""
    if request.param == "unix":
        ends = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = socket.create_connection(server.getsockname())
            ends = client, server.accept()[0]
    for end in ends:
        end.setblocking(True)
    yield ends
    for end in ends:
        end.close()


def hold(journal: Journal, end: socket.socket) -> int:
    slot = journal.hold(end.fileno())
    assert slot is not None
    return slot


def read(journal: Journal, slot: int, end: socket.socket, length: int, total: int = 0) -> None:
    """As a node does: take bytes from the kernel, then note them."""
    data = end.recv(length, socket.MSG_WAITALL)
    journal.asked(slot, data, total or len(data))


def test_descriptors_are_taken_from_the_supervisor_and_not_passed_on(supervisor: Supervisor) -> None:
    memory = os.memfd_create("journal")
    channel = os.dup(supervisor.theirs.fileno())
    os.set_inheritable(channel, True)
    journal = Journal.inherit(channel, memory)
    assert not os.get_inheritable(channel)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(memory)
    journal._channel.close()


def test_what_was_asked_is_asked_of_the_next_node(pair: Pair, nodes: Nodes) -> None:
    client, end = pair
    first, _ = nodes()
    slot = hold(first, end)
    client.sendall(ASK)
    read(first, slot, end, 5)
    read(first, slot, end, len(ASK) - 5, len(ASK))
    _, (adopted,) = nodes(adopt=True)
    assert (adopted.slot, adopted.state, adopted.request, adopted.whole) == (slot, ConnectionState.ASKED, ASK, True)


def test_it_is_asked_of_the_one_after_that_too(pair: Pair, nodes: Nodes) -> None:
    client, end = pair
    first, _ = nodes()
    slot = hold(first, end)
    client.sendall(ASK)
    read(first, slot, end, len(ASK))
    first.unsafe(slot)
    for replays in range(3):
        journal, (adopted,) = nodes(adopt=True)
        assert (adopted.state, adopted.request, adopted.replays, adopted.unsafe) == (
            ConnectionState.ASKED,
            ASK,
            replays,
            True,
        )
        journal.replayed(slot)


def test_after_an_answer_nothing_is_asked(pair: Pair, nodes: Nodes) -> None:
    client, end = pair
    first, _ = nodes()
    slot = hold(first, end)
    client.sendall(ASK)
    read(first, slot, end, len(ASK))
    first.unsafe(slot)
    first.idle(slot)
    _, (adopted,) = nodes(adopt=True)
    assert (adopted.state, adopted.request, adopted.unsafe) == (ConnectionState.IDLE, b"", False)


def test_an_answer_that_may_have_begun_is_never_due(pair: Pair, nodes: Nodes) -> None:
    client, end = pair
    first, _ = nodes()
    slot = hold(first, end)
    client.sendall(ASK + ASK)
    read(first, slot, end, len(ASK))
    first.lose(slot)
    read(first, slot, end, len(ASK), 2 * len(ASK))
    _, (adopted,) = nodes(adopt=True)
    assert (adopted.state, adopted.request) == (ConnectionState.LOST, b"")


def test_bytes_that_were_read_and_not_noted_are_lost_where_the_kernel_counts(pair: Pair, nodes: Nodes) -> None:
    client, end = pair
    first, _ = nodes()
    slot = hold(first, end)
    client.sendall(ASK)
    read(first, slot, end, 5)
    end.recv(100)
    _, (adopted,) = nodes(adopt=True)
    assert adopted.state is (ConnectionState.LOST if end.family == socket.AF_INET else ConnectionState.ASKED)


@pytest.mark.parametrize("asked", [b"", ASK])
def test_a_connection_whose_bytes_were_in_hand_is_lost_and_no_other(pair: Pair, nodes: Nodes, asked: bytes) -> None:
    _, end = pair
    first, _ = nodes()
    slot, other = hold(first, end), hold(first, end)
    if asked:
        first.asked(slot, asked, 0)
    first.in_hand[0] = slot + 1
    nodes()  # it ends before it adopts anything
    _, adopted = nodes(adopt=True)
    states = {each.slot: each.state for each in adopted}
    assert states == {slot: ConnectionState.LOST, other: ConnectionState.IDLE}


def test_a_request_after_answers_that_left_no_note_is_asked_whole(pair: Pair, nodes: Nodes) -> None:
    client, end = pair
    first, _ = nodes()
    slot = hold(first, end)
    client.sendall(ASK + ASK)
    end.recv(len(ASK), socket.MSG_WAITALL)  # and answered in the same step
    second, (adopted,) = nodes(adopt=True)
    assert adopted.state is ConnectionState.IDLE
    read(second, slot, end, len(ASK), adopted.read + len(ASK))
    _, (adopted,) = nodes(adopt=True)
    assert (adopted.state, adopted.request) == (ConnectionState.ASKED, ASK)


@pytest.mark.parametrize(("more", "whole"), [(0, True), (1, False), (SLOT_BYTES, False)])
def test_a_slot_is_never_left(pair: Pair, nodes: Nodes, supervisor: Supervisor, more: int, whole: bool) -> None:
    client, end = pair
    first, _ = nodes()
    slot = hold(first, end)
    client.sendall(b"x" * ROOM)
    read(first, slot, end, ROOM)
    if more:
        client.sendall(b"y" * more)
        read(first, slot, end, more, ROOM + more)
    start = (slot + 1) * SLOT_BYTES
    assert supervisor.memory[start : start + SLOT_BYTES] == bytes(SLOT_BYTES)
    _, (adopted,) = nodes(adopt=True)
    assert (adopted.state, adopted.request, adopted.whole) == (ConnectionState.ASKED, b"x" * ROOM, whole)


def test_a_new_connection_never_gets_a_slot_that_waits_to_be_adopted(
    pair: Pair, nodes: Nodes, supervisor: Supervisor
) -> None:
    _, end = pair
    first, _ = nodes()
    slots = [hold(first, end) for _ in range(3)]
    second, _ = nodes()  # it accepts before it has adopted
    new = hold(second, end)
    assert new not in slots
    assert len([*slots, new]) == len({*slots, new})


def test_slots_of_connections_that_ended_with_a_node_are_free_again(
    pair: Pair, nodes: Nodes, supervisor: Supervisor
) -> None:
    _, end = pair
    first, _ = nodes()
    slots = {hold(first, end) for _ in range(2)}
    supervisor.hear()
    for descriptor in supervisor.held.values():
        os.close(descriptor)
    supervisor.held.clear()
    second, adopted = nodes(adopt=True)
    assert adopted == []
    assert {second.hold(end.fileno()) for _ in range(2)} == slots


def test_connections_beyond_the_slots_are_not_held(nodes: Nodes, supervisor: Supervisor) -> None:
    journal, _ = nodes(adopt=True)
    memory = supervisor.memory
    for slot in range(SLOTS - 1):
        memory[slot * SLOT_BYTES] = ConnectionState.IDLE
    journal, _ = nodes()
    with socket.socket() as end:
        assert journal.hold(end.fileno()) == SLOTS - 1
        assert journal.hold(end.fileno()) is None
        journal.let_go(SLOTS - 1)
        assert journal.hold(end.fileno()) == SLOTS - 1


def test_a_supervisor_that_does_not_listen_costs_nothing_but_its_help(nodes: Nodes, supervisor: Supervisor) -> None:
    journal, _ = nodes()
    with socket.socket() as end:
        held = []
        while (slot := journal.hold(end.fileno())) is not None:
            held.append(slot)
        assert 0 < len(held) < SLOTS
        journal.let_go(held[0])  # cannot be told now
        supervisor.hear()
        assert held[0] in supervisor.held
        assert journal.hold(end.fileno()) is not None  # tells what is owed first
        supervisor.hear()
        assert len(supervisor.held) == len(held)
    supervisor.ours.close()
    with socket.socket() as end:
        assert journal.hold(end.fileno()) is None
        journal.let_go(held[1])
    supervisor.theirs.close()
    supervisor.ours, supervisor.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    supervisor.ours.setblocking(False)


def test_a_connection_that_the_supervisor_closed_meanwhile_is_passed_over(nodes: Nodes) -> None:
    journal, _ = nodes()
    descriptor = os.dup(0)
    os.close(descriptor)
    assert journal.adopt([(0, descriptor)]) == []


def test_the_kernel_counts_what_was_read_not_what_arrived(pair: Pair) -> None:
    client, end = pair
    client.sendall(b"x" * 50)
    end.recv(20, socket.MSG_WAITALL)
    assert bytes_read(end) == (20 if end.family == socket.AF_INET else None)


@pytest.mark.parametrize("info", [lambda n: bytes(60), lambda n: struct.pack("=QQ", n, n).rjust(136, b"\0")])
def test_counts_that_are_absent_or_do_not_hold_still_count_as_none(pair: Pair, info: Callable[[int], bytes]) -> None:
    class Unsteady:
        calls = 0

        def getsockopt(self, *_: int) -> bytes:
            self.calls += 1
            return info(self.calls)

        def fileno(self) -> int:
            return pair[1].fileno()

    assert bytes_read(cast("socket.socket", Unsteady())) is None

"""The journal: what a next node learns, whenever the one before was killed; and slots that never clash or leak."""

import mmap
import os
import socket
import struct

import pytest

from p2pcache.gateway.keeper import (
    MEMORY_BYTES,
    ROOM,
    SLOT_BYTES,
    SLOTS,
    ConnectionState,
    Counts,
    Keeper,
    judge,
    kernel_counts,
)
from p2pcache.runner.watch import JOURNAL_BYTES

ASK = b"GET / HTTP/1.1\r\n\r\n"


class Supervisor:
    """The other ends, read on demand."""

    def __init__(self):
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.setblocking(False)
        self.memory = mmap.mmap(-1, MEMORY_BYTES)
        self.held = {}

    def node(self):
        channel = self.theirs.dup()
        channel.setblocking(False)
        return Keeper(channel, self.memory), channel

    def hear(self):
        while True:
            try:
                said, descriptors, _, _ = socket.recv_fds(self.ours, 16, 1)
            except BlockingIOError:
                return
            if (old := self.held.pop(int(said), None)) is not None:
                os.close(old)
            if descriptors:
                self.held[int(said)] = descriptors[0]

    def close(self):
        self.hear()
        for descriptor in self.held.values():
            os.close(descriptor)
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def supervisor():
    made = Supervisor()
    yield made
    made.close()


@pytest.fixture
def nodes(supervisor):
    """Nodes, one after the other."""
    channels, taken = [], []

    def start(*, adopt=False):
        keeper, channel = supervisor.node()
        channels.append(channel)
        supervisor.hear()
        adopted = keeper.adopt([(slot, os.dup(fd)) for slot, fd in supervisor.held.items()]) if adopt else []
        taken.extend(each.connection for each in adopted)
        return keeper, adopted

    yield start
    for each in (*channels, *taken):
        each.close()


@pytest.fixture(params=["tcp", "unix"])
def pair(request):
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


def read(keeper, slot, end, length):
    """As a node does: take bytes from the kernel, then note them."""
    data = end.recv(length, socket.MSG_WAITALL)
    keeper.received(slot, data)


def test_the_supervisor_maps_what_the_node_maps():
    assert JOURNAL_BYTES == MEMORY_BYTES == SLOTS * SLOT_BYTES


def test_descriptors_are_taken_from_the_supervisor_and_not_passed_on(supervisor):
    memory = os.memfd_create("journal")
    os.ftruncate(memory, MEMORY_BYTES)
    channel = os.dup(supervisor.theirs.fileno())
    os.set_inheritable(channel, True)
    keeper = Keeper.inherit(channel, memory)
    assert not os.get_inheritable(channel)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(memory)
    keeper._channel.close()


def test_what_was_asked_is_asked_of_the_next_node(pair, nodes):
    client, end = pair
    first, _ = nodes()
    slot = first.hold(end.fileno())
    client.sendall(ASK)
    read(first, slot, end, 5)
    read(first, slot, end, len(ASK) - 5)
    _, (adopted,) = nodes(adopt=True)
    assert (adopted.slot, adopted.state, adopted.received, adopted.whole) == (slot, ConnectionState.ASKED, ASK, True)


def test_it_is_asked_of_the_one_after_that_too(pair, nodes):
    client, end = pair
    first, _ = nodes()
    slot = first.hold(end.fileno())
    client.sendall(ASK)
    read(first, slot, end, len(ASK))
    first.unsafe(slot)
    for replays in range(3):
        keeper, (adopted,) = nodes(adopt=True)
        assert (adopted.state, adopted.received, adopted.replays, adopted.unsafe) == (
            ConnectionState.ASKED,
            ASK,
            replays,
            True,
        )
        keeper.replayed(slot)


def test_after_an_answer_nothing_is_asked(pair, nodes):
    client, end = pair
    first, _ = nodes()
    slot = first.hold(end.fileno())
    client.sendall(ASK)
    read(first, slot, end, len(ASK))
    first.unsafe(slot)
    first.mark(slot, ConnectionState.ANSWERING)
    end.sendall(b"answer")
    first.idle(slot, 6)
    keeper, (adopted,) = nodes(adopt=True)
    assert (adopted.state, adopted.received, adopted.unsafe) == (ConnectionState.IDLE, b"", False)
    assert keeper.written(slot) == 6


def test_an_answer_that_was_announced_and_not_written_is_due_where_the_kernel_counts(pair, nodes):
    client, end = pair
    first, _ = nodes()
    slot = first.hold(end.fileno())
    client.sendall(ASK)
    read(first, slot, end, len(ASK))
    first.mark(slot, ConnectionState.ANSWERING)
    _, (adopted,) = nodes(adopt=True)
    tcp = end.family == socket.AF_INET
    assert (adopted.state, adopted.received) == (
        (ConnectionState.ASKED, ASK) if tcp else (ConnectionState.ANSWERING, b"")
    )


def test_an_answer_that_began_is_never_due(pair, nodes):
    client, end = pair
    first, _ = nodes()
    slot = first.hold(end.fileno())
    client.sendall(ASK)
    read(first, slot, end, len(ASK))
    first.mark(slot, ConnectionState.ANSWERING)
    end.sendall(b"H")
    _, (adopted,) = nodes(adopt=True)
    assert adopted.state is ConnectionState.ANSWERING


def test_bytes_that_were_read_and_not_noted_are_lost_where_the_kernel_counts(pair, nodes):
    client, end = pair
    first, _ = nodes()
    first.hold(end.fileno())
    client.sendall(ASK)
    end.recv(100)
    _, (adopted,) = nodes(adopt=True)
    assert adopted.state is (ConnectionState.LOST if end.family == socket.AF_INET else ConnectionState.IDLE)


def test_what_comes_in_before_an_answer_is_out_is_lost(pair, nodes):
    client, end = pair
    first, _ = nodes()
    slot = first.hold(end.fileno())
    client.sendall(ASK + ASK)
    read(first, slot, end, len(ASK))
    first.mark(slot, ConnectionState.ANSWERING)
    read(first, slot, end, len(ASK))
    _, (adopted,) = nodes(adopt=True)
    assert (adopted.state, adopted.received) == (ConnectionState.LOST, b"")


@pytest.mark.parametrize(("more", "whole"), [(0, True), (1, False), (SLOT_BYTES, False)])
def test_a_slot_is_never_left(pair, nodes, supervisor, more, whole):
    client, end = pair
    first, _ = nodes()
    slot = first.hold(end.fileno())
    client.sendall(b"x" * ROOM)
    read(first, slot, end, ROOM)
    if more:
        client.sendall(b"y" * more)
        read(first, slot, end, more)
    start = (slot + 1) * SLOT_BYTES
    assert supervisor.memory[start : start + SLOT_BYTES] == bytes(SLOT_BYTES)
    _, (adopted,) = nodes(adopt=True)
    assert (adopted.state, adopted.received, adopted.whole) == (ConnectionState.ASKED, b"x" * ROOM, whole)


def test_a_new_connection_never_gets_a_slot_that_waits_to_be_adopted(pair, nodes, supervisor):
    _, end = pair
    first, _ = nodes()
    slots = [first.hold(end.fileno()) for _ in range(3)]
    second, _ = nodes()  # it accepts before it has adopted
    new = second.hold(end.fileno())
    assert new not in slots
    assert len([*slots, new]) == len({*slots, new})


def test_slots_of_connections_that_ended_with_a_node_are_free_again(pair, nodes, supervisor):
    _, end = pair
    first, _ = nodes()
    slots = {first.hold(end.fileno()) for _ in range(2)}
    supervisor.hear()
    for descriptor in supervisor.held.values():
        os.close(descriptor)
    supervisor.held.clear()
    second, adopted = nodes(adopt=True)
    assert adopted == []
    assert {second.hold(end.fileno()) for _ in range(2)} == slots


def test_connections_beyond_the_slots_are_not_held(nodes, supervisor):
    keeper, _ = nodes(adopt=True)
    memory = supervisor.memory
    for slot in range(SLOTS - 1):
        memory[slot * SLOT_BYTES] = ConnectionState.IDLE
    keeper, _ = nodes()
    with socket.socket() as end:
        assert keeper.hold(end.fileno()) == SLOTS - 1
        assert keeper.hold(end.fileno()) is None
        keeper.let_go(SLOTS - 1)
        assert keeper.hold(end.fileno()) == SLOTS - 1


def test_a_supervisor_that_does_not_listen_costs_nothing_but_its_help(nodes, supervisor):
    keeper, _ = nodes()
    with socket.socket() as end:
        held = []
        while (slot := keeper.hold(end.fileno())) is not None:
            held.append(slot)
        assert 0 < len(held) < SLOTS
        keeper.let_go(held[0])  # cannot be told now
        supervisor.hear()
        assert held[0] in supervisor.held
        assert keeper.hold(end.fileno()) is not None  # tells what is owed first
        supervisor.hear()
        assert len(supervisor.held) == len(held)
    supervisor.ours.close()
    with socket.socket() as end:
        assert keeper.hold(end.fileno()) is None
        keeper.let_go(held[1])
    supervisor.ours = socket.socket()
    supervisor.ours.setblocking(False)
    supervisor.hear = lambda: None


def test_a_connection_that_the_supervisor_closed_meanwhile_is_passed_over(nodes):
    keeper, _ = nodes()
    descriptor = os.dup(0)
    os.close(descriptor)
    assert keeper.adopt([(0, descriptor)]) == []


NOTED = Counts(10, 20)


@pytest.mark.parametrize(
    ("state", "counted", "verdict"),
    [
        pytest.param(ConnectionState.IDLE, NOTED, ConnectionState.IDLE, id="idle"),
        pytest.param(ConnectionState.IDLE, None, ConnectionState.IDLE, id="idle, not counted"),
        pytest.param(ConnectionState.IDLE, Counts(11, 20), ConnectionState.LOST, id="read unnoted"),
        pytest.param(ConnectionState.ASKED, NOTED, ConnectionState.ASKED, id="asked"),
        pytest.param(ConnectionState.ASKED, Counts(11, 20), ConnectionState.LOST, id="asked, and more read unnoted"),
        pytest.param(ConnectionState.ANSWERING, NOTED, ConnectionState.ASKED, id="announced only"),
        pytest.param(ConnectionState.ANSWERING, Counts(10, 21), ConnectionState.ANSWERING, id="begun"),
        pytest.param(ConnectionState.ANSWERING, None, ConnectionState.ANSWERING, id="not counted"),
        pytest.param(
            ConnectionState.ANSWERING, Counts(11, 20), ConnectionState.LOST, id="announced, and more read unnoted"
        ),
        pytest.param(ConnectionState.LOST, NOTED, ConnectionState.LOST, id="lost"),
    ],
)
def test_the_kernels_counts_decide(state, counted, verdict):
    assert judge(state, NOTED, counted) is verdict


def test_the_kernel_counts_what_the_process_did_not_what_arrived(pair):
    client, end = pair
    client.sendall(b"x" * 50)
    end.recv(20, socket.MSG_WAITALL)
    end.sendall(b"y" * 7)
    assert kernel_counts(end) == (Counts(20, 7) if end.family == socket.AF_INET else None)


@pytest.mark.parametrize("info", [lambda n: bytes(60), lambda n: struct.pack("=QQ", n, n).rjust(136, b"\0")])
def test_counts_that_are_absent_or_do_not_hold_still_count_as_none(pair, info):
    class Unsteady:
        looks = 0

        def getsockopt(self, *_):
            self.looks += 1
            return info(self.looks)

        def fileno(self):
            return pair[1].fileno()

    assert kernel_counts(Unsteady()) is None

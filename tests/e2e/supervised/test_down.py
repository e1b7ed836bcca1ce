"""How a supervised node ends: clients see an end, and nothing is left behind."""

import os
import signal
import socket

import pytest

from p2pcache.runner.watch import started_at
from tests.support.processes import GitHub

from .conftest import HEADERS, REPOSITORY, Connect, Supervised, answer, ask, open_files, tcp, unix, until

REPO = f"/repos/{REPOSITORY}"


@pytest.mark.parametrize("connect", [tcp, unix], ids=["tcp", "unix"])
def test_down_ends_idle_connections_and_leaves_nothing(supervised: Supervised, connect: Connect) -> None:
    with connect(supervised.node) as connection:
        for _ in range(2):
            assert ask(connection, REPO)[0] == 200
            supervised.kill()
        pids = supervised.pids
        said = supervised.down()
        assert said.returncode == 0
        assert "API calls" in said.stderr
        assert connection.sock.recv(1) == b""
    assert [started_at(pid) for pid in pids] == [None, None]
    assert not supervised.node.socket.exists()


def test_a_request_under_way_is_answered_by_a_node_that_is_told_to_leave(
    supervised: Supervised, github: GitHub
) -> None:
    github.order("fault", match=f"{REPO}/labels*", delay=0.5, times=None)
    with unix(supervised.node) as connection:
        connection.request("GET", f"{REPO}/labels", headers=HEADERS)
        until(lambda: supervised.held() == 1, "the connection in two hands")
        os.kill(supervised.state["node"], signal.SIGTERM)
        assert answer(connection)[0] == 200


def test_connections_that_are_over_are_let_go_on_both_sides(supervised: Supervised) -> None:
    for _ in range(2):
        node = supervised.state["node"]
        at_first = len(open_files(node))
        for connect in (tcp, unix) * 20:
            with connect(supervised.node) as connection:
                assert ask(connection, REPO)[0] == 200
        until(lambda: supervised.held() == 0, "the supervisor lets go")
        until(lambda n=node, most=at_first + 10: len(open_files(n)) <= most, "the node lets go")
        supervised.kill()


def test_clients_that_left_meanwhile_are_let_go(supervised: Supervised) -> None:
    with tcp(supervised.node) as one, unix(supervised.node) as other:
        for connection in (one, other):
            assert ask(connection, REPO)[0] == 200
        os.kill(supervised.state["node"], signal.SIGSTOP)
        for connection in (one, other):
            connection.sock.shutdown(socket.SHUT_RDWR)
    supervised.kill(stopped=True)
    until(lambda: supervised.held() == 0, "the supervisor lets go")

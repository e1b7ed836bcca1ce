"""Whose a connection's other end is: asked of the kernel in both ways."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest

from p2pcache.interception import socket_owner
from p2pcache.interception.socket_owner import Address, Owner

Ask = Callable[[Address, Address], Owner]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture(params=[socket_owner.diagnosed, socket_owner.listed, socket_owner.owner])
def ask(request: pytest.FixtureRequest) -> Ask:
    found: Ask = request.param
    return found


def connected(listener: socket.socket, host: str = "127.0.0.1") -> tuple[socket.socket, socket.socket]:
    client = socket.create_connection((host, listener.getsockname()[1]), 10)
    return client, listener.accept()[0]


def test_it_is_the_clients_and_not_ours(listener: socket.socket, ask: Ask) -> None:
    client, accepted = connected(listener)
    with client, accepted:
        found = ask(accepted.getpeername(), accepted.getsockname())
        assert found == (os.geteuid(), os.fstat(client.fileno()).st_ino)
        turned = ask(accepted.getsockname(), accepted.getpeername())
        assert turned.inode == os.fstat(accepted.fileno()).st_ino


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_a_client_with_a_socket_for_both_families_is_found(listener: socket.socket, ask: Ask) -> None:
    client, accepted = connected(listener, "::ffff:127.0.0.1")
    with client, accepted:
        found = ask(accepted.getpeername(), accepted.getsockname())
        assert found.inode == os.fstat(client.fileno()).st_ino


def test_of_no_connection_there_is_no_owner(listener: socket.socket, ask: Ask) -> None:
    client, accepted = connected(listener)
    with client, accepted:
        peer, own = accepted.getpeername(), accepted.getsockname()
        for there, here in (((peer[0], 1), own), (peer, (own[0], 1)), (("127.0.0.77", peer[1]), own)):
            with pytest.raises((ValueError, OSError)):
                ask(there, here)


def test_without_sock_diag_the_tables_are_read(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_owner, "_NETLINK_SOCK_DIAG", 31)  # no such protocol
    client, accepted = connected(listener)
    with client, accepted:
        found = socket_owner.owner(accepted.getpeername(), accepted.getsockname())
        assert found.inode == os.fstat(client.fileno()).st_ino

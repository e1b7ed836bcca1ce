import asyncio
import os
import socket

import pytest

from p2pcache.gateway import callers
from p2pcache.gateway.callers import Accepted, foreign_page, own_user, users_process


class Transport(asyncio.BaseTransport):
    def __init__(self, peer: socket.socket | None) -> None:
        super().__init__()
        self.peer = peer

    def get_extra_info(self, name: str, default: object = None) -> socket.socket | None:
        return self.peer if name == "socket" else None


def test_a_process_of_this_user() -> None:
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there:
        assert own_user(Transport(here))


def test_a_process_of_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "ROOT", -1)
    monkeypatch.setattr(os, "geteuid", lambda: -2)
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there:
        assert not own_user(Transport(here))


def test_nobody_vouches(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as tcp:
        assert not own_user(Transport(tcp))
    assert not own_user(Transport(None))
    gone, other = socket.socketpair(socket.AF_UNIX)
    other.close()
    gone.close()
    assert not own_user(Transport(gone))
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there:
        monkeypatch.delattr(socket, "SO_PEERCRED")  # a system that has none
        assert not own_user(Transport(here))


@pytest.mark.parametrize(
    ("address", "family"),
    [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6), ("::ffff:127.0.0.1", socket.AF_INET6)],
)
def test_a_process_of_this_user_on_the_loopback(
    monkeypatch: pytest.MonkeyPatch, address: str, family: socket.AddressFamily
) -> None:
    with socket.socket(family) as server:
        server.bind((address, 0))
        server.listen()
        with socket.create_connection(server.getsockname()[:2]), server.accept()[0] as accepted:
            assert users_process(Transport(accepted))
            monkeypatch.setattr(os, "geteuid", lambda: -2)
            assert not users_process(Transport(accepted))


def test_a_connection_that_the_kernel_does_not_show_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()),
        server.accept()[0] as accepted,
    ):
        for nothing in ("/dev/null", "/nowhere/at/all"):
            monkeypatch.setitem(callers._TABLES, socket.AF_INET, nothing)
            assert not users_process(Transport(accepted))
    assert not users_process(Transport(accepted)), "it is closed"


def test_on_the_unix_socket_it_is_the_own_user() -> None:
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there:
        assert users_process(Transport(here))
    assert not users_process(Transport(None))


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({}, False),
        ({"origin": "http://127.0.0.1:8"}, False),
        ({"origin": "http://127.0.0.1:9"}, True),
        ({"origin": "https://127.0.0.1:8"}, True),
        ({"origin": "null"}, True),
        ({"origin": ""}, True),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, True),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, True),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, False),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "origin": "https://evil.example"}, True),
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, False),
        ({"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, False),
    ],
)
def test_pages_of_other_sites(headers: dict[str, str], foreign: bool) -> None:
    assert foreign_page(headers, "127.0.0.1:8") is foreign


def test_what_github_said_of_a_credential() -> None:
    accepted = Accepted("own")
    assert "Bearer own" in accepted
    for status, known in ((403, False), (200, True), (404, True), (500, True), (401, False), (304, True)):
        accepted.note("token x", status)
        assert ("bearer x" in accepted) is known
    assert "token y" not in accepted
    assert "Digest z" not in accepted


def test_credentials_are_bounded() -> None:
    accepted = Accepted(most=2)
    for name in "abac":
        accepted.note(f"token {name}", 200)
    assert [f"token {name}" in accepted for name in "abc"] == [True, False, True]

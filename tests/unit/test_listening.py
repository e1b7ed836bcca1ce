"""Where a gateway listens: by its flags, and on sockets that were passed to it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from p2pcache.gateway.listen import ListenError
from p2pcache.listening import activated, open_all
from p2pcache.settings import ManagerSettings, Secret, Settings, SettingsError
from p2pcache.values import GatewayHost, Listen
from tests.support import certificates

TOKEN = Secret("c0ntrol")


@pytest.fixture
def passed(tmp_path: Path) -> Iterator[Callable[[str], int]]:
    """Open a socket as a service manager does; its descriptor."""
    with ExitStack() as life:

        def make(kind: str) -> int:
            if kind == "unix":
                made = life.enter_context(socket.socket(socket.AF_UNIX))
                made.bind(str(tmp_path / "activated"))
                made.listen()
            elif kind == "datagram":
                made = life.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                made.bind(("127.0.0.1", 0))
            elif kind == "silent":
                made = life.enter_context(socket.socket(socket.AF_INET))
                made.bind(("127.0.0.1", 0))
            else:
                made = life.enter_context(socket.create_server((kind, 0)))
            return made.fileno()

        yield make


def ports(settings: Settings) -> tuple[list[int], int]:
    """The ports of what is opened in plain, and of what speaks TLS (0: nothing)."""
    opened = open_all(settings)
    try:
        plain = [each.getsockname()[1] for each in opened.plain if each.family == socket.AF_INET]
        return plain, opened.tls[0].getsockname()[1] if opened.tls else 0
    finally:
        for each in [*opened.plain, *([opened.tls[0]] if opened.tls else [])]:
            each.close()


def test_sockets_that_were_passed_take_the_place_of_those_that_flags_name(
    tmp_path: Path, passed: Callable[[str], int]
) -> None:
    here, there, unix = passed("127.0.0.1"), passed("0.0.0.0"), passed("unix")
    chain, key = certificates.write(tmp_path, "hub")
    beside = GatewayHost("0.0.0.0", 8443)
    flags = Settings(
        directory=tmp_path,
        listen=Listen("127.0.0.1", 8080),
        gateway_host=beside,
        control_token=TOKEN,
        tls_cert=chain,
        tls_key=key,
    )
    settings = activated(flags, (unix, there, here))
    assert (settings.listen.fd, settings.socket_fd) == (here, unix)
    numbers = [socket.socket(fileno=each) for each in (here, there)]
    assert ports(settings) == ([numbers[0].getsockname()[1]], numbers[1].getsockname()[1])
    for each in numbers:
        each.detach()
    opened = open_all(settings)
    assert (opened.path, opened.own_path) == (tmp_path / "activated", False)
    for listener in (*opened.plain, *([opened.tls[0]] if opened.tls else [])):
        listener.close()
    assert activated(flags, ()) == flags


@pytest.mark.parametrize(
    ("kinds", "says"),
    [
        (["127.0.0.1", "127.0.0.1"], "are both for --listen: pass one of each kind"),
        (["0.0.0.0"], "a socket that other machines reach was passed, and no --gateway-host HOST:PORT"),
        (["datagram"], "is not a listening stream socket"),
        (["silent"], "is not a listening stream socket"),
    ],
)
def test_what_was_passed_and_cannot_be_used_is_one_sentence(
    passed: Callable[[str], int], kinds: list[str], says: str
) -> None:
    with pytest.raises(ListenError, match=says):
        activated(Settings(), tuple(map(passed, kinds)))
    with pytest.raises(ListenError, match="is not an inherited socket"):
        activated(Settings(), (987,))


def test_only_the_process_that_is_meant_takes_the_managers_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getpid", lambda: 42)
    for pid, expected in (("42", (3, 4)), ("41", ()), ("", ())):
        environ = {"LISTEN_PID": pid, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b", "NOTIFY_SOCKET": "/n", "HOME": "/"}
        taken = ManagerSettings.take(environ)
        assert (taken.descriptors, taken.notify) == (expected, "/n")
        assert environ == {"HOME": "/"}
    assert ManagerSettings.take({"LISTEN_PID": "42", "LISTEN_FDS": "many"}).descriptors == ()


@pytest.mark.parametrize(
    ("beside", "tls", "level"),
    [
        (GatewayHost("0.0.0.0"), False, "WARNING"),
        (GatewayHost("0.0.0.0", 0), False, "WARNING"),
        (GatewayHost("127.0.0.1", 0), False, None),
        (GatewayHost("0.0.0.0", 0), True, "INFO"),
        (None, False, None),
    ],
)
def test_an_address_beyond_the_loopback_is_named_with_what_protects_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, beside: GatewayHost | None, tls: bool, level: str | None
) -> None:
    caplog.set_level("INFO")
    chain, key = certificates.write(tmp_path, "hub") if tls else (None, None)
    opened = open_all(
        Settings(directory=tmp_path, gateway_host=beside, control_token=TOKEN, tls_cert=chain, tls_key=key)
    )
    opened.log_exposure()
    assert [record.levelname for record in caplog.records] == ([level] if level else [])
    if level == "WARNING":
        assert "in plain HTTP, their control token included: give it --gateway-host HOST:PORT" in caplog.text
    for each in [*opened.plain, *([opened.tls[0]] if opened.tls else [])]:
        each.close()


def test_an_address_that_is_taken_is_named_by_its_own_flag_and_nothing_stays_open(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"^--gateway-host 127.0.0.1:{port}: Address already in use"):
            open_all(Settings(directory=tmp_path, gateway_host=GatewayHost("127.0.0.1", port), control_token=TOKEN))


def test_a_certificate_that_is_not_there_is_a_setting_that_cannot_be_used(tmp_path: Path) -> None:
    gone = tmp_path / "gone.pem"
    with pytest.raises(SettingsError, match=r"--tls-cert .*gone.pem: No such file"):
        open_all(Settings(gateway_host=GatewayHost("127.0.0.1", 0), tls_cert=gone, tls_key=gone))

"""What takes root, with a sudo in PATH that is none."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from p2pcache.interception import hosts_file
from p2pcache.interception.hosts_file import Led
from p2pcache.runner import as_root

OWNER = "p2pcache-1-0badcafe"
LINE = Led("api.github.com", "127.0.0.9", OWNER, ("192.0.2.1",))
PERMITS = 'shift; exec "$@"'
REFUSES = "echo 'sudo: a password is required' >&2; exit 1"

Sudo = Callable[[str], None]


@pytest.fixture
def sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sudo:
    """Makes this process an ordinary user's, with a sudo that does what it is made to do."""

    def make(script: str) -> None:
        (tmp_path / "bin").mkdir()
        path = tmp_path / "bin" / "sudo"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda *_: False)
    return make


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "hosts"
    path.write_text("127.0.0.1 localhost\n")
    return path


@pytest.mark.parametrize(("script", "allowed"), [(PERMITS, True), (REFUSES, False)], ids=["permits", "refuses"])
def test_sudo_is_asked(sudo: Sudo, script: str, allowed: bool) -> None:
    sudo(script)
    assert as_root.allowed() == allowed


def test_without_sudo_nothing_is_allowed(sudo: Sudo, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert not as_root.allowed()
    with pytest.raises(OSError, match="no sudo"):
        as_root.lead([LINE], file)


def test_root_needs_none(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "/nowhere")
    assert as_root.allowed()
    as_root.lead([LINE], file)
    assert as_root.withdrawing(OWNER, file)[0].startswith("/"), "no sudo at the end either"
    as_root.withdraw(OWNER, file)
    assert file.read_text() == "127.0.0.1 localhost\n"


def test_lines_come_and_go_by_sudo(sudo: Sudo, file: Path) -> None:
    sudo(PERMITS)
    as_root.lead([LINE], file)
    assert hosts_file.led(file) == [LINE]
    as_root.withdraw("p2pcache-2-0badcafe", file)
    assert hosts_file.led(file) == [LINE]
    as_root.withdraw(OWNER, file)
    assert hosts_file.led(file) == []
    assert as_root.withdrawing(OWNER, file)[:2] == list(as_root.SUDO)


def test_what_sudo_says_is_the_reason_in_one_line(sudo: Sudo, file: Path) -> None:
    sudo("printf 'sudo: \\033[31mno\\nmore\\n' >&2; exit 1")
    with pytest.raises(OSError, match=r"sudo: \[31mnomore") as caught:
        as_root.lead([LINE], file)
    assert caught.value.errno == errno.EPERM


def test_a_sudo_that_hangs_is_not_waited_for(sudo: Sudo, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sudo("exec sleep 60")
    monkeypatch.setattr(as_root, "SECONDS", 0.2)
    with pytest.raises(OSError, match="does not answer"):
        as_root.lead([LINE], file)
    assert not as_root.allowed()


def refuse(*_: object) -> socket.socket:
    raise PermissionError(errno.EACCES, "Permission denied")


def test_a_port_that_all_may_have_takes_no_sudo(sudo: Sudo) -> None:
    sudo(REFUSES)
    as_root.listen("127.0.0.1", 0).close()


def test_a_socket_comes_from_sudo(sudo: Sudo, monkeypatch: pytest.MonkeyPatch) -> None:
    sudo(PERMITS)
    monkeypatch.setattr(hosts_file, "listening", refuse)
    with as_root.listen("127.0.0.1", 0) as listener:
        socket.create_connection(listener.getsockname(), 20).close()
        with pytest.raises(OSError, match="in use") as caught:
            as_root.listen(*listener.getsockname())
        assert caught.value.errno == errno.EADDRINUSE


def test_a_sudo_that_brings_no_socket_is_an_error(sudo: Sudo, monkeypatch: pytest.MonkeyPatch) -> None:
    sudo("exit 0")
    monkeypatch.setattr(hosts_file, "listening", refuse)
    with pytest.raises(OSError):
        as_root.listen("127.0.0.1", 0)

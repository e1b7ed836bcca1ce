"""The name by which a node knows for which kind of program a connection was made."""

import socket
from pathlib import Path

import pytest

from p2pcache.interception.peer_name import named, program_of


def accepted(path: Path, name: str) -> socket.socket:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(path))
        listener.listen()
        if name:
            client.bind(name)
        client.connect(str(path))
        return listener.accept()[0]


@pytest.mark.parametrize(
    ("name", "program"),
    [
        (named("node", "1f-2"), "node"),
        ("", ""),
        ("\0another", ""),
        (named("x\n::warning::", "1"), ""),
        (named("node", "1/2"), ""),
    ],
)
def test_a_program_is_known_by_our_names_alone(tmp_path: Path, name: str, program: str) -> None:
    with accepted(tmp_path / "s", name) as connection:
        assert program_of(connection) == program


def test_a_name_in_the_file_system_is_none_of_ours(tmp_path: Path) -> None:
    with accepted(tmp_path / "s", str(tmp_path / "client")) as connection:
        assert program_of(connection) == ""


def test_other_sockets_have_no_such_name() -> None:
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unconnected:
        assert program_of(tcp) == program_of(unconnected) == program_of(None) == ""

"""What connects, seen from the other end: real children that do."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pcache.interception.processes import Processes, UnknownPeerError, is_go
from p2pcache.interception.programs import Process, Program

CONNECTS = "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); sys.stdin.read()"
BY_SHELL = "exec 3<>/dev/tcp/127.0.0.1/$0; read -r"
NOBODY = 65534


@pytest.fixture
def landmark(tmp_path: Path) -> Path:
    path = tmp_path / "own.pem"
    path.touch()
    return path


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        yield listener


@contextlib.contextmanager
def connecting(
    listener: socket.socket, *command: str, environ: dict[str, str] | None = None, user: int | None = None
) -> Iterator[socket.socket]:
    """Give the accepted connection of a child, whose last argument is the port; the child ends with it."""
    port = str(listener.getsockname()[1])
    words = [*command[:-1], command[-1].replace("PORT", port)]
    child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environ, user=user)
    try:
        accepted, _ = listener.accept()
        with accepted:
            yield accepted
    finally:
        child.kill()
        child.communicate()


def seen(processes: Processes, accepted: socket.socket) -> Process:
    return processes.of(accepted.getpeername(), accepted.getsockname())


def test_a_child_that_connects_is_seen(listener: socket.socket, landmark: Path) -> None:
    processes = Processes(os.geteuid(), landmark)
    environ = {"NODE_EXTRA_CA_CERTS": "/x", "ODD": "a=b", "PATH": os.environ["PATH"]}
    for _ in range(2):
        with connecting(listener, sys.executable, "-c", CONNECTS, "PORT", environ=environ) as accepted:
            found = seen(processes, accepted)
            assert seen(processes, accepted) == found, "the second look finds it among the recent"
        assert (found.program, found.go, dict(found.environ)) == (Program.PYTHON, False, environ)
        assert found.arguments[1:3] == ("-c", CONNECTS)
        assert not found.loaded, "none of its libraries counts"


def test_libcurl_in_a_python_program_is_seen(listener: socket.socket, landmark: Path, tmp_path: Path) -> None:
    library = tmp_path / "libcurl.so.4"
    library.write_bytes(bytes(4096))
    opened = f"import mmap; file = open({str(library)!r}, 'rb'); "
    mapped = f"{opened} held = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n"
    with connecting(listener, sys.executable, "-c", mapped + CONNECTS, "PORT") as accepted:
        assert library.name in seen(Processes(os.geteuid(), landmark), accepted).loaded


@pytest.mark.needs("bash")
def test_of_a_variable_that_is_there_twice_the_first_counts(listener: socket.socket, landmark: Path) -> None:
    script = (
        "import ctypes, sys; a = (ctypes.c_char_p * 6)(b'bash', b'-c', *(each.encode() for each in sys.argv[1:3]));"
        "e = (ctypes.c_char_p * 3)(b'X=first', b'X=second'); ctypes.CDLL(None).execve(sys.argv[3].encode(), a, e)"
    )
    bash = shutil.which("bash") or ""
    port = str(listener.getsockname()[1])
    with connecting(listener, sys.executable, "-c", script, BY_SHELL, port, bash) as accepted:
        found = seen(Processes(os.geteuid(), landmark), accepted)
    assert (found.name, found.program, found.environ["X"]) == ("bash", None, "first")


@pytest.mark.needs("curl")
def test_the_files_that_curl_reads_are_seen(listener: socket.socket, landmark: Path, tmp_path: Path) -> None:
    (tmp_path / ".curlrc").write_text("silent")
    (tmp_path / "xdg").mkdir()
    (tmp_path / "xdg" / "curlrc").write_text("cacert = mine.pem")
    os.mkfifo(tmp_path / "xdg" / ".curlrc")
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "xdg"), "CURL_HOME": "/dev/null"}
    with connecting(listener, "curl", "-q", "telnet://127.0.0.1:PORT", environ=environ) as accepted:
        found = seen(Processes(os.geteuid(), landmark), accepted)
    assert found.program is Program.CURL
    assert set(found.own_files) == {"silent", "cacert = mine.pem"}


@pytest.mark.needs("curl")
def test_a_folder_is_where_it_is_for_the_process(listener: socket.socket, landmark: Path, tmp_path: Path) -> None:
    (tmp_path / ".curlrc").write_text("cacert = mine.pem")
    command = ["sh", "-c", f"cd {tmp_path} && exec curl -q telnet://127.0.0.1:PORT"]
    with connecting(listener, *command, environ={"CURL_HOME": ".", "PATH": os.environ["PATH"]}) as accepted:
        assert seen(Processes(os.geteuid(), landmark), accepted).own_files[0] == "cacert = mine.pem"


@pytest.mark.needs("bash")
def test_a_program_with_rights_of_its_own_heeds_no_variable(
    listener: socket.socket, landmark: Path, tmp_path: Path
) -> None:
    program = tmp_path / "curl"
    shutil.copy(shutil.which("bash") or "", program)
    program.chmod(0o2755)
    port = str(listener.getsockname()[1])
    with (
        connecting(listener, str(program), "-c", BY_SHELL, port) as accepted,
        pytest.raises(UnknownPeerError, match="rights of its own"),
    ):
        seen(Processes(os.geteuid(), landmark), accepted)


@pytest.mark.needs("root", "bash")
def test_another_users_process_is_not_looked_at(listener: socket.socket, landmark: Path) -> None:
    port = str(listener.getsockname()[1])
    with (
        connecting(listener, "bash", "-c", BY_SHELL, port, user=NOBODY) as accepted,
        pytest.raises(UnknownPeerError, match="another user"),
    ):
        seen(Processes(os.geteuid(), landmark), accepted)


@pytest.mark.needs("netns", "unshare")
def test_a_process_in_a_container_is_not_taken_for_one_beside_us(listener: socket.socket, tmp_path: Path) -> None:
    landmark = tmp_path / "tls" / "own.pem"
    landmark.parent.mkdir()
    landmark.touch()
    command = (
        f"mount -t tmpfs none {landmark.parent} && exec {sys.executable} -c '{CONNECTS.replace(chr(39), chr(34))}' $0"
    )
    port = str(listener.getsockname()[1])
    with (
        connecting(listener, "unshare", "--mount", "sh", "-c", command, port) as accepted,
        pytest.raises(UnknownPeerError, match="a container"),
    ):
        seen(Processes(os.geteuid(), landmark), accepted)


def test_what_is_gone_or_was_never_there_is_unknown(listener: socket.socket, landmark: Path) -> None:
    processes = Processes(os.geteuid(), landmark)
    with connecting(listener, sys.executable, "-c", CONNECTS, "PORT") as accepted:
        peer, own = accepted.getpeername(), accepted.getsockname()
        seen(processes, accepted)
        with pytest.raises(UnknownPeerError, match="no socket"):
            processes.of((peer[0], 1), own)
    with pytest.raises(UnknownPeerError):
        processes.of(peer, own)


def test_one_without_a_landmark_sees_nobody(listener: socket.socket, landmark: Path) -> None:
    processes = Processes(os.geteuid(), landmark)
    landmark.unlink()
    with (
        connecting(listener, sys.executable, "-c", CONNECTS, "PORT") as accepted,
        pytest.raises(UnknownPeerError, match="gone"),
    ):
        seen(processes, accepted)


class TestWhatGoMakes:
    @pytest.mark.needs("go")
    def test_it_is_known_by_its_section(self) -> None:
        assert is_go(Path(shutil.which("go") or "").resolve())

    def test_other_executables_are_not_its(self) -> None:
        assert not is_go(Path(sys.executable))

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"#!/bin/sh\n.go.buildinfo\0",
            b"\x7fELF\x02",
            b"\x7fELF\x01" + bytes(100),
            b"\x7fELF\x02" + b"\xff" * 59,
            b"\x7fELF\x02" + bytes(35) + (64).to_bytes(8, "little") + bytes(10) + b"\xff" * 6 + bytes(100),
        ],
    )
    def test_broken_ones_are_not_either(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "program").write_bytes(content)
        assert not is_go(tmp_path / "program")

    def test_nor_is_one_that_is_gone(self, tmp_path: Path) -> None:
        assert not is_go(tmp_path / "program")

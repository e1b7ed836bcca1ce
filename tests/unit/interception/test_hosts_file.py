"""Lines that come and go in a file that others write and read as well."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from p2pcache.interception import hosts_file
from p2pcache.interception.hosts_file import Led

MINE, OTHER = "p2pcache-1a-0badcafe", "p2pcache-2b-0badf00d"
API = Led("api.github.com", "127.0.0.9", MINE, ("140.82.121.6", "2606:50c0::153"))
UPLOADS = Led("uploads.github.com", "127.0.0.10", MINE, ())
OTHERS = Led("api.octo.ghe.com", "127.0.0.11", OTHER, ("192.0.2.1",))
USUAL = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "hosts"
    path.write_text(USUAL)
    return path


@pytest.mark.parametrize("before", [USUAL, USUAL.rstrip(), "", "# nothing\n", "127.0.0.1 ünder-ä\n"])
def test_lines_are_added_found_and_taken_out(file: Path, before: str) -> None:
    file.write_text(before)
    hosts_file.lead([API, UPLOADS], file)
    assert hosts_file.led(file) == [API, UPLOADS]
    assert file.read_text().startswith(before)
    assert {"api.github.com", "uploads.github.com"} <= hosts_file.names(file)
    hosts_file.withdraw(MINE, file)
    assert file.read_text() == (before if before.endswith("\n") or not before else before + "\n")


def test_of_several_owners_each_takes_out_its_own(file: Path) -> None:
    for lines in ([API], [OTHERS], [UPLOADS]):
        hosts_file.lead(lines, file)
    hosts_file.withdraw(MINE, file)
    assert hosts_file.led(file) == [OTHERS]
    hosts_file.withdraw(MINE, file)
    hosts_file.withdraw("", file)
    assert hosts_file.led(file) == []
    assert hosts_file.names(file) == {"localhost", "ip6-localhost"}


def test_what_others_added_between_and_after_stays(file: Path) -> None:
    hosts_file.lead([API], file)
    with file.open("a") as more:
        more.write("192.0.2.7 between\n")
    hosts_file.lead([UPLOADS, UPLOADS], file)
    with file.open("a") as more:
        more.write("192.0.2.8 after # p2pcache")
    hosts_file.withdraw(MINE, file)
    lines = [line for line in file.read_text().splitlines() if line.strip("# ")]
    assert lines == [*USUAL.splitlines(), "192.0.2.7 between", "192.0.2.8 after # p2pcache"]
    assert hosts_file.names(file) == {"localhost", "ip6-localhost", "between", "after"}


STRANGERS = [
    "127.0.0.1 myhost # p2pcache runs here",
    "127.0.0.9 api.github.com # p2pcache",
    f"192.0.2.1 api.github.com # p2pcache {MINE} ",
    f"# 127.0.0.9 api.github.com # p2pcache {MINE} ",
    f"127.0.0.9 api.github.com uploads.github.com # p2pcache {MINE} ",
    f"127.0.0.9 api.github.com # p2pcache {MINE} 192.0.2.1 and more",
    f"127.0.0.9 api.github.com # p2pcache-{MINE} ",
    "\x00\xff",
    "127.0.0.9",
    "#",
]


@pytest.mark.parametrize("line", STRANGERS)
def test_a_strangers_line_is_not_ours(file: Path, line: str) -> None:
    file.write_bytes(line.encode("latin-1") + b"\n")
    hosts_file.lead([API], file)
    assert hosts_file.led(file) == [API]
    hosts_file.withdraw("", file)
    assert file.read_bytes() == line.encode("latin-1") + b"\n"


def test_it_is_written_in_place_and_keeps_its_mode(file: Path) -> None:
    file.chmod(0o640)
    before = file.stat()
    hosts_file.lead([API], file)
    hosts_file.lead([OTHERS], file)
    hosts_file.withdraw(MINE, file)
    after = file.stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


def test_a_reader_sees_no_half_line(file: Path) -> None:
    lines = [
        Led(f"host-{number}.example", "127.0.0.9", owner, ("192.0.2.1",)) for number, owner in enumerate([MINE, OTHER])
    ]
    allowed = {("127.0.0.1", "localhost"), ("::1", "localhost"), *(("127.0.0.9", line.name) for line in lines)}
    seen: set[tuple[str, str]] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            descriptor = os.open(file, os.O_RDONLY)
            content = os.read(descriptor, 1 << 20).decode()  # in one: between two reads the file may be another
            os.close(descriptor)
            fields = (line.partition("#")[0].split() for line in content.splitlines())
            seen.update((each[0], each[1]) for each in fields if each[1:])

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(200):
        for line in lines:
            hosts_file.lead([line], file)
        for owner in (MINE, OTHER):
            hosts_file.withdraw(owner, file)
    done.set()
    reader.join()
    assert seen <= allowed


@pytest.mark.parametrize("content", [b"\n" * (1 << 21), b"x" * 100])
def test_a_large_file_is_read_whole_and_one_too_large_left_alone(
    file: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(content)
    if len(content) == 100:
        monkeypatch.setattr(hosts_file, "MOST_BYTES", 99)
        with pytest.raises(OSError, match="too large"):
            hosts_file.lead([API], file)
    else:
        hosts_file.lead([API], file)
        hosts_file.withdraw(MINE, file)
    assert file.read_bytes() == content


def test_on_a_full_disk_no_half_line_stays(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:10]))
    with pytest.raises(OSError, match="space"):
        hosts_file.lead([API], file)
    assert file.read_text() == USUAL


def test_where_there_is_no_file_there_are_no_lines(tmp_path: Path) -> None:
    assert hosts_file.led(tmp_path / "gone") == []
    assert hosts_file.names(tmp_path / "gone") == set()
    hosts_file.withdraw("", tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        hosts_file.lead([API], tmp_path / "gone")


def test_no_two_owners_are_the_same() -> None:
    owners = [hosts_file.new_owner() for _ in range(3)]
    assert len(set(owners)) == 3


def script(*arguments: str, **more: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", hosts_file.__file__, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **more)  # type: ignore[call-overload,no-any-return]


class TestTheScript:
    def test_it_adds_and_takes_out_lines_of_ours_alone(self, file: Path) -> None:
        evil = "192.0.2.66 github.com # p2pcache p2pcache-1-1"
        assert script("lead", str(file), str(API), evil, f"{OTHERS}\n{UPLOADS}", "").returncode == 0
        assert hosts_file.led(file) == [API, OTHERS, UPLOADS]
        assert "192.0.2.66" not in file.read_text()
        assert script("withdraw", str(file), MINE).returncode == 0
        assert hosts_file.led(file) == [OTHERS]
        assert script("withdraw", str(file), "").returncode == 0
        assert file.read_text().replace("#", "").split() == USUAL.split()

    def test_it_hands_over_a_socket_that_listens(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            assert script("listen", "127.0.0.1", "0", stdin=theirs.fileno()).returncode == 0
            _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
            with socket.socket(fileno=descriptors[0]) as listener:
                socket.create_connection(listener.getsockname(), 10).close()

    def test_what_the_system_refuses_is_its_status_and_one_line(self, tmp_path: Path) -> None:
        done = script("lead", str(tmp_path / "gone"), str(API))
        assert (done.returncode, done.stderr) == (errno.ENOENT, "No such file or directory\n")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            done = script("listen", "127.0.0.1", str(taken.getsockname()[1]))
        assert (done.returncode, done.stderr) == (errno.EADDRINUSE, "Address already in use\n")

    @pytest.mark.parametrize(
        "arguments", [[], ["help"], ["lead"], ["withdraw"], ["withdraw", "a"], ["listen", "127.0.0.1", "x"]], ids=str
    )
    def test_other_words_do_nothing(self, arguments: list[str]) -> None:
        assert hosts_file.main(arguments) == hosts_file.USAGE_ERROR

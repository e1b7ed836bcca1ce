import os
import socket
from pathlib import Path

import pytest

from p2pcache.gateway import listen


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_any_free_port(host: str) -> None:
    with listen.tcp(host, 0) as listener, socket.create_connection(listener.getsockname()[:2], timeout=5):
        assert listener.getsockname()[1] > 0


@pytest.mark.parametrize("host", ["192.0.2.1", "a" * 300], ids=["foreign", "no name"])
def test_an_address_that_is_not_here(host: str) -> None:
    with pytest.raises(listen.ListenError, match="name an address of this machine") as caught:
        listen.tcp(host, 0)
    assert str(caught.value).startswith(f"--listen {host}:0: ")
    assert "None" not in str(caught.value)


def test_a_port_that_is_taken() -> None:
    with listen.tcp("127.0.0.1", 0) as taken, pytest.raises(listen.ListenError, match="name another port"):
        listen.tcp("127.0.0.1", taken.getsockname()[1])


def test_a_socket_is_for_every_user(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "s"
    with listen.unix(path):
        assert path.stat().st_mode & 0o777 == 0o666


@pytest.fixture
def everybodys(tmp_path: Path) -> Path:
    """A folder like /tmp."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


@pytest.mark.parametrize("mode", [None, 0o755, 0o777])
def test_among_everybodys_files_the_folder_is_closed_to_others(everybodys: Path, mode: int | None) -> None:
    folder = everybodys / "p2pcache-1"
    if mode is not None:
        folder.mkdir()
        folder.chmod(mode)
    with listen.unix(folder / "s"):
        assert folder.lstat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("squatted", ["link", "another user's"])
def test_a_folder_that_somebody_else_was_quick_to_make_is_refused(
    everybodys: Path, monkeypatch: pytest.MonkeyPatch, squatted: str
) -> None:
    folder = everybodys / "p2pcache-1"
    if squatted == "link":
        (everybodys / "theirs").mkdir()
        folder.symlink_to(everybodys / "theirs")
    else:
        folder.mkdir()
        own = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    with pytest.raises(listen.ListenError, match="is not a folder of this user"):
        listen.unix(folder / "s")
    assert not (folder / "s").exists()


def test_a_dead_nodes_socket_is_replaced(tmp_path: Path) -> None:
    listen.unix(tmp_path / "s").close()
    with listen.unix(tmp_path / "s"), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))


def test_a_living_nodes_socket_is_not(tmp_path: Path) -> None:
    with listen.unix(tmp_path / "s"), pytest.raises(listen.ListenError, match="another node answers"):
        listen.unix(tmp_path / "s")


@pytest.mark.parametrize("make", ["write", "link"])
def test_what_is_no_socket_is_left_alone(tmp_path: Path, make: str) -> None:
    path = tmp_path / "s"
    path.write_text("mine") if make == "write" else path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(listen.ListenError, match="no socket is there"):
        listen.unix(path)
    assert path.is_symlink() or path.read_text() == "mine"


def test_a_path_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(listen.ListenError, match="shorter path"):
        listen.unix(tmp_path / ("a" * 120))
    (tmp_path / "file").touch()
    with pytest.raises(listen.ListenError, match="may write"):
        listen.unix(tmp_path / "file" / "s")


def test_an_inherited_listener_is_shared() -> None:
    with listen.tcp("127.0.0.1", 0) as first:
        with listen.inherit(first.fileno()) as second:
            assert second.getsockname() == first.getsockname()
        socket.create_connection(first.getsockname(), timeout=5).close()


def test_what_was_not_inherited(tmp_path: Path) -> None:
    with pytest.raises(listen.ListenError, match="not an inherited socket"):
        listen.inherit(10_000)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(listen.ListenError):
        listen.inherit(descriptor)
    os.close(descriptor)


def test_nobody_listens_at_a_path_that_is_too_long(tmp_path: Path) -> None:
    assert not listen.listens(tmp_path / ("x" * 120))

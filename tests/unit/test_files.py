import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from p2pcache import files


@pytest.mark.parametrize("write", [files.replace, files.create])
def test_a_file_is_written_with_its_folder_and_nothing_beside_it(write: Callable[..., None], tmp_path: Path) -> None:
    path = tmp_path / "below" / "file"
    write(path, b"content", 0o600)
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(("write", "left"), [(files.replace, b"new"), (files.create, b"old")])
def test_a_file_that_is_there_is_replaced_or_stays(write: Callable[..., None], left: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    write(path, b"new")
    assert path.read_bytes() == left
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize("write", [files.replace, files.create])
def test_what_cannot_be_written_leaves_nothing(write: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "inside").touch()
    if write is files.replace:
        with pytest.raises(OSError, match="directory"):
            write(tmp_path / "file", b"")
    else:
        write(tmp_path / "file", b"")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize("depth", [0, 20])
def test_a_socket_fits_into_its_folder_however_long_that_of_the_system_is(
    depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="p2p-") as base:
        system = Path(base, *["below"] * depth)
        system.mkdir(parents=True, exist_ok=True)
        monkeypatch.setattr(tempfile, "tempdir", str(system))
        with files.socket_folder("p2pcache-a-long-prefix-") as folder:
            assert len(str(folder / "runner-1" / "s")) <= 107
            assert folder.stat().st_mode & 0o777 == 0o700
            assert (folder.parent == system) is (depth == 0)
        assert not folder.exists()

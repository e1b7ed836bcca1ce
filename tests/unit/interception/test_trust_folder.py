"""One folder with all that others have by hash, and what comes to them later."""

from pathlib import Path

import pytest

from p2pcache.interception import trust_folder
from p2pcache.interception.trust_folder import Followed, link


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    folder = tmp_path / "ours"
    folder.mkdir()
    (folder / "00000001.0").write_text("ours")
    return folder


def source(folder: Path, **entries: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in entries.items():
        (folder / name.replace("_", ".").removeprefix("x")).write_text(text)
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_entries_of_one_hash_stand_side_by_side(tmp_path: Path, ours: Path) -> None:
    a = source(tmp_path / "a", x00000001_0="a1", x00000002_0="a2", xREADME_md="no entry")
    b = source(tmp_path / "b", x00000002_0="b2", x00000002_1="b22")
    for _ in range(2):  # a second time it changes nothing
        assert link(ours, [a, tmp_path / "nowhere", b]) == 4
        assert contents(ours) == {
            "00000001.0": "ours", "00000001.1": "a1", "00000002.0": "a2", "00000002.1": "b2", "00000002.2": "b22",
        }  # fmt: skip


def test_what_comes_and_goes_later_is_followed(tmp_path: Path, ours: Path) -> None:
    a = source(tmp_path / "a", x00000002_0="a2")
    link(ours, [a])
    followed = Followed(ours, [a, tmp_path / "nowhere"])
    (a / "00000002.0").unlink()
    source(a, x00000003_0="a3")
    followed.refresh()
    followed.refresh()
    assert contents(ours) == {"00000001.0": "ours", "00000003.0": "a3"}


def test_it_is_bounded(tmp_path: Path, ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust_folder, "MOST_ENTRIES", 2)
    a = source(tmp_path / "a", **{f"x0000000{n}_0": "a" for n in range(2, 8)})
    assert link(ours, [a]) == 2
    assert len(contents(ours)) == 3

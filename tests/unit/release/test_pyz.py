"""The one-file p2pcache: what goes in, how it unpacks itself. tests/e2e/test_install.py builds and runs a real one."""

from __future__ import annotations

import platform
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from release import pyz

HERE = f"{platform.system()}-{platform.machine()}"
TAG = f"cp{sys.version_info.major}{sys.version_info.minor}"
PYTHON = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
SAYS = """
import sys, native, stable
print(native.FOR, sys.argv[1:], sys.prefix)
"""


def wheel(folder: Path, name: str, files: dict[str, str]) -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Build one from wheels made here, for `target`."""

    def make(target: str = HERE) -> Path:
        here = wheel(
            tmp_path, "p2pcache-1-py3-none-any.whl", {"p2pcache/__main__.py": SAYS, "p2pcache/__init__.py": ""}
        )
        monkeypatch.setattr(pyz, "pure_wheels", lambda folder: [here])
        stable = wheel(tmp_path, "stable-1-cp38-abi3-any.whl", {"stable.py": ""})

        def native(folder: Path, lock: Path, target: str, version: str) -> list[Path]:
            own = {"native.data/platlib/native.py": f"FOR = {version!r}"}
            return [stable, wheel(tmp_path, f"native-1-cp{version}.whl", own)]

        monkeypatch.setattr(pyz, "native_wheels", native)
        out = tmp_path / "out" / "p2pcache"
        pyz.build(out, target)
        return out

    return make


def run(archive: Path, home: Path, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [PYTHON, archive, *arguments], env={"HOME": str(home), "PATH": "/usr/bin:/bin"}, cwd=cwd,
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip


def test_it_unpacks_once_what_is_for_this_python_and_runs(archive: Callable[..., Path], tmp_path: Path) -> None:
    made = archive()
    (tmp_path / "job").mkdir()
    (tmp_path / "job/native.py").write_text("raise SystemExit('the wrong one')")
    for _ in range(2):
        done = run(made, tmp_path / "home", "a", "b c", cwd=tmp_path / "job")
        (folder,) = (tmp_path / "home/.cache/p2pcache/pyz").iterdir()
        assert done.stdout == f"3.{sys.version_info.minor} ['a', 'b c'] {folder}\n", done.stderr
    assert folder.name.endswith(TAG)
    (folder / "bin/python").unlink()
    assert run(made, tmp_path / "home").stdout, "a base interpreter that went away"


def test_one_for_another_platform_says_which_to_take(archive: Callable[..., Path], tmp_path: Path) -> None:
    done = run(archive("Linux-riscv64"), tmp_path / "home")
    assert done.returncode == 1
    assert f"is for Linux-riscv64 and this machine is {HERE}: take p2pcache-{HERE}.pyz" in done.stderr


def test_a_cache_that_cannot_be_written_is_told(archive: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.cache").touch()
    done = run(archive(), tmp_path / "home")
    assert done.returncode == 1
    assert "let XDG_CACHE_HOME name a folder" in done.stderr


def test_equal_inputs_make_equal_files_and_nothing_is_in_them_twice(archive: Callable[..., Path]) -> None:
    made = archive()
    first = made.read_bytes()
    names = zipfile.ZipFile(made).namelist()
    assert [name for name in names if "stable" in name or "native" in name] == [
        "any/stable.py", "cp311/native.py", "cp312/native.py", "cp313/native.py", "cp314/native.py"
    ]  # fmt: skip
    assert archive().read_bytes() == first
    assert first.startswith(b"#!/usr/bin/env python3\n")


def test_scripts_tests_and_what_is_there_already_are_left_out(tmp_path: Path) -> None:
    one = wheel(
        tmp_path, "one", {"one.py": "1", "one.data/scripts/one": "", "one/tests/test_it.py": "", "both.py": "1"}
    )
    two = wheel(tmp_path, "two", {"both.py": "2"})
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        pyz.pack(archive, [one, two], "any/")
    assert zipfile.ZipFile(tmp_path / "out.zip").namelist() == ["any/one.py", "any/both.py"]


def test_the_lock_is_divided_by_what_runs_everywhere() -> None:
    lock = "Foo-bar==1 \\\n    --hash=sha256:0\nbaz==2 ; python_version < '4' \\\n    --hash=sha256:1\n"
    assert pyz.without(lock.lower(), [Path("foo_bar-1-py3-none-any.whl")]).startswith("baz==2")
    assert pyz.without(lock, []) == lock


def test_a_platform_without_wheels_is_refused() -> None:
    with pytest.raises(SystemExit, match="no file can be made for Plan9-mips"):
        pyz.main(["out", "Plan9-mips"])


def test_an_old_python_can_read_its_beginning() -> None:
    """It looks for another one, or says what is needed."""
    text = (Path(pyz.__file__).parent / "start.py").read_text()
    assert "print(" not in text
    assert ' f"' not in text
    assert "__future__" not in text

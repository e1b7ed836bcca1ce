"""Check 2: a part that does not load, or takes the process down, is named with what mends it."""

import sys

import pytest

from p2pcache.doctor import native_parts
from p2pcache.doctor.finding import CheckVerdict, Patient
from p2pcache.doctor.native_parts import NativePart, examine, loaded

FINE = NativePart("json", "", "all")


def test_what_loads_passes_with_its_times(monkeypatch: pytest.MonkeyPatch) -> None:
    light = native_parts.PARTS[:5]  # a container loads all of them, in tests/e2e
    monkeypatch.setattr(native_parts, "PARTS", light)
    (finding,) = examine(Patient())
    assert finding.verdict is CheckVerdict.PASS
    assert all(part.module in finding.detail[0] for part in light)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("broken")
    (folder / "no_shared_object.py").write_text("raise ImportError('libgmp.so.10: cannot open shared object file')")
    (folder / "illegal.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    (folder / "leaves.py").write_text("import os; os._exit(3)")
    (folder / "hangs.py").write_text("import signal; signal.pause()")
    monkeypatch.syspath_prepend(str(folder))


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(
    ("part", "found", "advice"),
    [
        (
            NativePart("no_shared_object", "gmpy", "x"),
            "cannot open shared object file",
            "--force-reinstall gmpy",
        ),
        (NativePart("illegal", "uvloop", "x"), "ended the process with SIGILL", "--force-reinstall uvloop"),
        (
            NativePart("leaves", "uvloop", "x"),
            "ended the process with status 3",
            "--force-reinstall uvloop",
        ),
        (NativePart("no_such_part", "uvloop", "x"), "ModuleNotFoundError", "install what check 1 names"),
        (
            NativePart("_no_sqlite3", "", "the disk store"),
            "(the disk store) does not load",
            "use a Python",
        ),
        (NativePart("p2pcache.nothing", "", "x"), "does not load", "install p2pcache again"),
    ],
)
def test_what_does_not_load_is_named(part: NativePart, found: str, advice: str) -> None:
    finding = loaded((FINE, part, FINE))
    assert finding.verdict is CheckVerdict.FAIL
    assert finding.found.startswith(part.module)
    assert found in finding.found
    assert advice in finding.advice


@pytest.mark.usefixtures("broken")
def test_what_hangs_is_named_when_the_time_is_over() -> None:
    finding = loaded((NativePart("hangs", "uvloop", "x"), FINE), 0.5)
    assert finding.verdict is CheckVerdict.FAIL
    assert finding.found == "hangs (x) was not loaded within 0.5 s"


def test_nothing_of_it_is_loaded_here() -> None:
    loaded((NativePart("this", "", "x"),))
    assert "this" not in sys.modules

"""What a wheel gets of py-libp2p. tests/e2e/test_distributions.py builds and installs a real one."""

from __future__ import annotations

import importlib
import subprocess
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import pytest

ENTRY = "libp2p==0.8.1 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
LOCK = f"aioquic==1 \\\n    --hash=sha256:aa\n{ENTRY}libp2p-more==1 \\\n"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, beside a hatchling that has the class it derives from."""
    interface = "hatchling.builders.hooks.plugin.interface"
    for depth in range(1, 6):
        name = ".".join(interface.split(".")[:depth])
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    vars(sys.modules[interface])["BuildHookInterface"] = type("BuildHookInterface", (), {})
    monkeypatch.delitem(sys.modules, "release.hatch_build", raising=False)
    return importlib.import_module("release.hatch_build")


def wheel(folder: Path) -> Path:
    path = folder / "libp2p-0.8.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("libp2p/__init__.py", "libp2p/crypto/keys.py", "libp2p/crypto/pb/crypto.proto", "docs/conf.py",
                     "libp2p-0.8.1.dist-info/METADATA", "libp2p-0.8.1.dist-info/licenses/LICENSE-MIT",
                     "libp2p-0.8.1.dist-info/entry_points.txt"):  # fmt: skip
            archive.writestr(name, name)
    return path


def build(hook: Any, root: Path, version: str) -> tuple[Any, dict[str, dict[str, str]]]:
    made = hook.Bundle()
    made.root = str(root)
    data: dict[str, dict[str, str]] = {"force_include": {}}
    made.initialize(version, data)
    return made, data


def test_modules_and_licences_go_in_and_nothing_else(
    hook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "requirements.lock").write_text(LOCK)
    asked = []

    def pip(command: list[str], *, check: bool) -> None:
        lines = Path(command[command.index("-r") + 1])
        asked.append((lines.read_text(), "--require-hashes" in command, check))
        wheel(lines.parent)

    monkeypatch.setattr(subprocess, "run", pip)
    made, data = build(hook, tmp_path, "standard")
    assert asked == [(ENTRY, True, True)]
    ((folder, place),) = data["force_include"].items()
    assert place == "p2pcache/swarm/bundled"
    files = {str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()}
    assert files == {
        "libp2p/__init__.py", "libp2p/crypto/keys.py",
        "libp2p-0.8.1.dist-info/METADATA", "libp2p-0.8.1.dist-info/licenses/LICENSE-MIT",
    }  # fmt: skip
    made.finalize("standard", data, "")
    assert not Path(folder).exists()


@pytest.mark.parametrize("version", ["editable", "standard"])
def test_a_checkout_and_a_source_distribution_fetch_nothing(
    hook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.delattr(subprocess, "run")
    if version == "standard":
        (tmp_path / hook.PLACE).mkdir(parents=True)
    made, data = build(hook, tmp_path, version)
    made.finalize(version, data, "")
    assert data == {"force_include": {}}


def test_a_lock_without_it_is_an_error(hook: Any) -> None:
    with pytest.raises(ValueError, match="the lock does not name libp2p"):
        hook.entry("libp2p-more==1 \\\n", "libp2p")


def test_the_lock_of_the_tree_names_one_version(hook: Any) -> None:
    lock = Path(__file__).parents[3] / "requirements.lock"
    assert hook.entry(lock.read_text("utf-8"), "libp2p").startswith("libp2p==0.8.1 ")

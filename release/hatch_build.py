"""hatchling's hook: put the modules of py-libp2p into wheel and source distribution, by the lock with its hash.

A requirement on libp2p would make pip build fastecdsa and coincurve, which need a compiler and libgmp and which nothing
here loads, and a package cannot override what its requirement requires. So pyproject.toml names what is used of
libp2p's own requirements, and `p2pcache.swarm.lean` finds libp2p here. A checkout and the Action's environment have it
from the lock instead; HATCH_BUILD_NO_HOOKS=true builds a wheel for those.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLACE = "p2pcache/swarm/bundled"
KEPT = re.compile(r"libp2p/.*\.py|libp2p-[^/]+\.dist-info/(METADATA|licenses/.*)")


def entry(lock: str, package: str) -> str:
    """Return a package's lines of a lock.

    Raises:
        ValueError: the lock does not name it.
    """
    found = re.search(rf"^{package}==.*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    if not found:
        raise ValueError(f"the lock does not name {package}")
    return found[0]


def fetch(lines: str, scratch: Path) -> Path:
    """Return the wheel that a lock's lines name, fetched by pip and checked against its hash."""
    wanted = scratch / "libp2p.lock"
    wanted.write_text(lines, "utf-8")
    subprocess.run(  # noqa: S603 - pip, with arguments of this file only
        [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--require-hashes",
         "--only-binary=:all:", "-d", str(scratch), "-r", str(wanted)], check=True,
    )  # fmt: skip
    (wheel,) = scratch.glob("libp2p-*.whl")
    return wheel


def unpack(wheel: Path, folder: Path) -> None:
    """Unpack the modules and the licences; the wheel has top-level packages named docs and examples as well."""
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder, [name for name in packed.namelist() if KEPT.fullmatch(name)])


class Bundle(BuildHookInterface):  # type: ignore[misc, type-arg, unused-ignore]  # it has no types where it is missing
    """Adds `PLACE` to what is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch libp2p before a build, except where the tree is a source distribution, which has it."""
        root = Path(self.root)
        if version == "editable" or (root / PLACE).is_dir():
            return
        self._scratch = tempfile.TemporaryDirectory(prefix="p2pcache-build-")
        scratch = Path(self._scratch.name)
        bundled = scratch / "bundled"
        lock = (root / "requirements.lock").read_text("utf-8")
        unpack(fetch(entry(lock, "libp2p"), scratch), bundled)
        build_data["force_include"][str(bundled)] = PLACE

    def finalize(self, _version: str, _build_data: dict[str, Any], _artifact: str) -> None:
        """Remove what was fetched."""
        if hasattr(self, "_scratch"):
            self._scratch.cleanup()

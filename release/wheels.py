"""Say what of the locks has no wheel for a platform and a Python, so that a runner would need a compiler.

Usage: ``python release/wheels.py UV``, with the path of a uv; exit status 1 where something is missing.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Set
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.lock", "requirements-s3.lock", "requirements-mcp.lock")
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28", "aarch64-apple-darwin", "x86_64-unknown-linux-musl")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PURE = {"python-baseconv", "varint"}
"""They come as sources, and build without a compiler."""


def without(lock: str, left_out: Set[str]) -> str:
    """Return a lock less the entries of some packages."""
    entries = re.findall(r"^[^\s#].*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    return "".join(entry for entry in entries if entry.partition("==")[0] not in left_out)


def missing(uv: str, lock: Path, platform: str, python: str) -> str:
    """Return what uv says is missing, or an empty text. Nothing is installed, and only metadata is fetched."""
    done = subprocess.run(  # noqa: S603 - uv, with arguments of this file only
        [uv, "pip", "install", "-q", "--dry-run", "--no-config", "--no-deps", "--require-hashes", "--only-binary=:all:",
         "--python", sys.executable, "--python-version", python, "--python-platform", platform,
         "--target", str(lock.parent / "nothing"), "-r", str(lock)],
        capture_output=True, text=True, timeout=300, check=False, cwd=lock.parent,
    )  # fmt: skip
    return done.stderr.strip() or f"uv ended with {done.returncode}" if done.returncode else ""


def main(arguments: list[str]) -> int:
    """Try every platform with every Python; return the exit status."""
    (uv,) = arguments
    found = 0
    with tempfile.TemporaryDirectory() as scratch:
        lock = Path(scratch, "all.lock")
        lock.write_text("".join(without((ROOT / name).read_text("utf-8"), PURE) for name in LOCKS), "utf-8")
        for platform in PLATFORMS:
            for python in PYTHONS:
                lacks = missing(uv, lock, platform, python)
                print(f"{platform}, Python {python}: {lacks or 'complete'}")
                found += bool(lacks)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

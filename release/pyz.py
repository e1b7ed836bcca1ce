"""Build p2pcache as one file for any Python 3.11 to 3.14 of a platform, from the lock with its hashes.

Usage: ``python release/pyz.py [OUT [PLATFORM]]``, with a Python that has pip. Existing tools do not fit: pex and shiv
put the packages on the path of one process, or need a description of each platform; a node starts other nodes with
``sys.executable -m p2pcache``, which needs an environment, and the standard library makes those.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
# glibc 2.28 is that of RHEL 8 and Debian 10.
GLIBC = ("_2_28", "_2_27", "_2_26", "_2_24", "_2_17", "2014", "_2_12", "2010", "_2_5", "1")
PLATFORMS = {
    "Linux-x86_64": [f"manylinux{glibc}_x86_64" for glibc in GLIBC],
    "Linux-aarch64": [f"manylinux{glibc}_aarch64" for glibc in GLIBC],
    "Darwin-arm64": ["macosx_14_0_arm64"],
}
OLDEST_DATE = (1980, 1, 1, 0, 0, 0)


def pip(*arguments: str) -> None:
    """Run pip, its messages on this process's stderr. The lock has libp2p: this project's wheel is built without it."""
    command = [sys.executable, "-I", "-m", "pip", "--disable-pip-version-check", *arguments]
    variables = {**os.environ, "HATCH_BUILD_NO_HOOKS": "true"}
    subprocess.run(command, cwd=ROOT, check=True, env=variables)  # noqa: S603 - commands of this file only


def pure_wheels(folder: Path) -> list[Path]:
    """Return the platform-independent wheels, this project's own included; pure Python sources are built."""
    pip("wheel", "-q", "--require-hashes", "--no-deps", "-w", str(folder), "-r", str(LOCK))
    pip("wheel", "-q", "--no-deps", "-w", str(folder), ".")
    return sorted(folder.glob("*-none-any.whl"))


def native_wheels(folder: Path, lock: Path, target: str, version: str) -> list[Path]:
    """Return the wheels of a platform and a Python for what `lock` names."""
    tags = [f"--platform={tag}" for tag in PLATFORMS[target]]
    abis = [f"--abi={abi}" for abi in (f"cp{version.replace('.', '')}", "abi3", "none")]
    pip("download", "-q", "--require-hashes", "--no-deps", "--only-binary=:all:", "-d", str(folder), "-r", str(lock),
        "--implementation=cp", f"--python-version={version}", *abis, *tags)  # fmt: skip
    return sorted(folder.iterdir())


def without(lock: str, wheels: list[Path]) -> str:
    """Return the lock's entries that `wheels` does not cover."""
    names = {re.sub(r"[-_.]+", "-", wheel.name.split("-")[0]).lower() for wheel in wheels}
    entries = re.findall(r"^[^\s#].*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    return "".join(entry for entry in entries if entry.partition("==")[0] not in names)


def pack(archive: zipfile.ZipFile, wheels: list[Path], part: str) -> None:
    """Unpack wheels into a part of the archive as pip would into site-packages, without scripts and tests."""
    seen: set[str] = set()
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as packed:
            for name in packed.namelist():
                path = re.sub(r"^[^/]+\.data/(purelib|platlib)/", "", name)
                if path.endswith("/") or ".data/" in path or "/tests/" in path or path in seen:
                    continue
                seen.add(path)
                write(archive, part + path, packed.read(name))


def write(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Add a file with a fixed date, so that equal inputs make equal archives."""
    archive.writestr(zipfile.ZipInfo(name, OLDEST_DATE), data, zipfile.ZIP_DEFLATED)


def build(out: Path, target: str) -> None:
    """Build `out` for the platform `target`."""
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        pure = pure_wheels(base / "here")
        lock = base / "native.lock"
        lock.write_text(without(LOCK.read_text("utf-8"), pure), "utf-8")
        native = {version: native_wheels(base / version, lock, target, version) for version in VERSIONS}
        # Those for the stable ABI are the same file for every Python.
        names = set.intersection(*({wheel.name for wheel in wheels} for wheels in native.values()))
        body = base / "body.zip"
        with zipfile.ZipFile(body, "w") as archive:
            write(archive, "__main__.py", (ROOT / "release/start.py").read_bytes())
            write(archive, "unpack.py", (ROOT / "release/unpack.py").read_bytes())
            pack(archive, [*pure, *(wheel for wheel in native[VERSIONS[0]] if wheel.name in names)], "any/")
            for version, wheels in native.items():
                part = f"cp{version.replace('.', '')}/"
                pack(archive, [wheel for wheel in wheels if wheel.name not in names], part)
        digest = hashlib.sha256(body.read_bytes()).hexdigest()[:16]
        with zipfile.ZipFile(body, "a") as archive:
            write(archive, "built-for", f"{target} {digest}".encode())
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(b"#!/usr/bin/env python3\n" + body.read_bytes())
        out.chmod(0o755)


def main(arguments: list[str]) -> None:
    """Build for the platform that `arguments` name, by default this machine's."""
    target = arguments[1] if len(arguments) > 1 else f"{platform.system()}-{platform.machine()}"
    if target not in PLATFORMS:
        sys.exit(f"no file can be made for {target}: some packages have wheels for {', '.join(PLATFORMS)} only")
    out = Path(arguments[0]) if arguments else ROOT / "dist" / f"p2pcache-{target}.pyz"
    build(out, target)
    print(f"{out}: {out.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])

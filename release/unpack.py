"""Part of p2pcache.pyz: its packages as a virtual environment in the user's cache, made once for each Python."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import uuid
import venv
import zipfile
from pathlib import Path


def unpacked(archive: str) -> str:
    """Return the interpreter of the environment, unpacked on the first run with this Python."""
    with zipfile.ZipFile(archive) as packed:
        built_for, digest = packed.read("built-for").decode().split()
        here = f"{platform.system()}-{platform.machine()}"
        if here != built_for:
            sys.exit(f"{archive} is for {built_for} and this machine is {here}: take p2pcache-{here}.pyz")
        tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
        try:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
            folder = base / "p2pcache/pyz" / f"{digest}-{tag}"
            python = folder / "bin/python"
            if not os.access(python, os.X_OK):
                _unpack(packed, folder, ("any/", f"{tag}/"))
        except (OSError, RuntimeError) as error:  # no room, no right, no home
            sys.exit(f"p2pcache cannot be unpacked: {error}: let XDG_CACHE_HOME name a folder with 150 MB")
    return str(python)


def _unpack(packed: zipfile.ZipFile, folder: Path, parts: tuple[str, ...]) -> None:
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        venv.create(aside, symlinks=True)
        (packages,) = aside.glob("lib/python3.*/site-packages")
        for info in packed.infolist():
            part = next((part for part in parts if info.filename.startswith(part)), None)
            if part is not None:
                info.filename = info.filename.removeprefix(part)
                packed.extract(info, packages)
        if not os.access(folder / "bin/python", os.X_OK):
            shutil.rmtree(folder, ignore_errors=True)  # its base interpreter is gone
        try:
            aside.rename(folder)
        except OSError:
            if not os.access(folder / "bin/python", os.X_OK):
                raise
            # another process has unpacked the same in the meantime
    finally:
        shutil.rmtree(aside, ignore_errors=True)

"""Check 10, the backend disk: the directory can be written, and has room for what the store may take."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from p2pcache.cache.recovery import FILE
from p2pcache.doctor.finding import CheckFinding, Patient, failed, passed, warned


def examine(patient: Patient) -> list[CheckFinding]:
    """Examine the directory of the settings, which a node would make; it is not made here."""
    settings = patient.settings
    directory, bound = settings.directory, int(settings.options["disk_bytes"])
    there = nearest(directory)
    advice = "name a directory that this user may write, with --dir or CACHE_DIR"
    if not there.is_dir():
        return [failed(f"disk: {there} is no directory, so {directory} cannot be used", advice)]
    try:
        with tempfile.TemporaryFile(dir=there, prefix="p2pcache-") as file:
            file.write(b"doctor")
            file.flush()
    except OSError as error:
        return [failed(f"disk: {there} cannot be written ({error.strerror})", advice)]
    taken = _taken(directory)
    free = shutil.disk_usage(there).free
    found = f"disk: {directory}: {_mb(taken)} stored, bound {_mb(bound)}, {_mb(free)} free"
    if taken + free < bound:
        return [warned(f"{found}: less than the bound", "free some room, or lower CACHE_DISK_BYTES")]
    return [passed(found)]


def nearest(directory: Path) -> Path:
    """Return the directory, or the nearest of those above that is there."""
    return next(path for path in (directory, *directory.parents) if path.exists() or path == path.parent)


def _taken(directory: Path) -> int:
    """Return the bytes of the store's file and of those that SQLite has beside it."""
    sizes = []
    for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
        try:
            sizes.append((directory / name).stat().st_size)
        except OSError:
            continue
    return sum(sizes)


def _mb(size: int) -> str:
    return f"{size / 1_000_000:,.0f} MB"

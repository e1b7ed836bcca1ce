"""The folder that ``SSL_CERT_DIR`` names: our certificate, and links to all that the job's own folders have.

A list of folders would be the simpler way, but rustls-native-certs 0.8.1, which is in many programs, takes it for one
path and trusts nothing then. So there is one folder, which follows the others (`refresh`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

MOST_ENTRIES = 4096
_HASHED = re.compile(r"([0-9a-f]{8})\.[0-9]{1,3}")


def link(folder: Path, sources: Iterable[Path]) -> int:
    """Link what `sources` have by hash (openssl-rehash(1)) and `folder` has not; return how much of that is linked.

    Links to what is gone are removed.

    Raises:
        OSError: `folder` cannot be written.
    """
    for path in folder.iterdir():
        if path.is_symlink() and not path.exists():
            path.unlink()
    linked = 0
    for entry in _entries(sources):
        if linked >= MOST_ENTRIES:
            break
        _link(folder, entry)
        linked += 1
    return linked


def _entries(sources: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for source in sources:
        try:
            found += sorted(entry for entry in source.iterdir() if _HASHED.fullmatch(entry.name) and entry.is_file())
        except OSError:
            continue
    return found


def _link(folder: Path, entry: Path) -> None:
    number = 0
    while True:
        here = folder / f"{entry.name[:8]}.{number}"
        if here.is_symlink() and here.readlink() == entry:
            return
        if not here.is_symlink() and not here.exists():
            here.symlink_to(entry)
            return
        number += 1


class Followed:
    """A folder of links that follows others.

    Args:
        folder: of the links.
        sources: what they lead to.
    """

    def __init__(self, folder: Path, sources: Sequence[Path]) -> None:
        self._folder = folder
        self._sources = sources
        self._seen = self._changed()

    def refresh(self) -> None:
        """Link what has come since, where a source has changed: ``update-ca-certificates`` may run in a later step."""
        changed = self._changed()
        if changed != self._seen:
            link(self._folder, self._sources)
            self._seen = changed

    def _changed(self) -> list[int]:
        return [_modified(source) for source in self._sources]


def _modified(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0

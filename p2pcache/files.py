"""Files that a reader sees whole, or as they were before. Standard library alone."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

PRIVATE = 0o600
"""Mode of a file that its owner alone may read."""
LONGEST_BASE = 50
"""Bytes of the path of a folder that leave room for folders of ours and a socket in it."""


def replace(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file in place of the one that is there; `mode` is reduced by the umask.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    with _draft(path, content, mode) as draft:
        draft.replace(path)


def create(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Write a file that is safe on disk once it can be seen; one that is there already stays.

    Raises:
        OSError: it cannot be written.
    """
    # A link fails where a rename would replace: of two processes that start together one makes the file.
    with _draft(path, content, mode, sync=True) as draft, contextlib.suppress(FileExistsError):
        path.hardlink_to(draft)


@contextlib.contextmanager
def socket_folder(prefix: str) -> Iterator[Path]:
    """Give a new folder for temporary files in which a unix socket may be; it is removed afterwards.

    The path of a socket has 107 bytes at most (unix(7)): where the usual folder's is too long for one, it is in /tmp.
    """
    base = "/tmp" if len(os.fsencode(tempfile.gettempdir())) > LONGEST_BASE else None  # noqa: S108 - a folder in it
    with tempfile.TemporaryDirectory(prefix=prefix, dir=base) as folder:
        yield Path(folder)


@contextlib.contextmanager
def _draft(path: Path, content: bytes, mode: int, *, sync: bool = False) -> Iterator[Path]:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)

"""Downloads at the signed URLs of archives (``codeload.github.com``)."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zipfile

from p2pcache.testing.routing import NOT_FOUND, Answer, Problem
from p2pcache.testing.world import World

HOST = "codeload.github.com"
_PATH = re.compile(r"/([^/]+/[^/]+)/legacy\.(tar\.gz|zip)/([0-9a-f]{40})")


def download(world: World, path: str, signed: bool) -> Answer:
    """Return the archive of a commit to any caller with the signature.

    Raises:
        Problem: 404 for a wrong path or a missing signature.
    """
    found = _PATH.fullmatch(path)
    of = world.named(found[1]) if found else None
    at = of.commit(found[3]) if found and of else None
    if found is None or at is None or not signed:
        raise Problem(*NOT_FOUND)
    if found[2] == "zip":
        return Answer(_zip(at.files), headers={"content-type": "application/zip"}, tag=None)
    return Answer(_tar(at.files), headers={"content-type": "application/x-gzip"}, tag=None)


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, data in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0)


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(path), data)
    return buffer.getvalue()

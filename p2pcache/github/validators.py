"""Which validators an operation's answers have, and how far each can be believed."""

from __future__ import annotations

import re

from p2pcache.github.etag import TagKind

ROOT = "/repos/{owner}/{repo}/contents"
FILES = frozenset({ROOT, f"{ROOT}/{{path}}", "/repos/{owner}/{repo}/readme", "/repos/{owner}/{repo}/readme/{dir}"})
"""Name a file or directory by path and commit. Their tags are git object ids."""

# Activity feeds; the events of issues are ordinary lists.
_FEED = re.compile(r"(?!.*/issues/).*/(?:received_)?events(?:/public|/orgs/\{org\})?")
_RELEASES = "/repos/{owner}/{repo}/releases"


def kind(template: str, form: str) -> TagKind:
    """What the tag of an operation's answer in a form (`media.form`) is made of.

    Files: a file's blob, a directory's root tree of the ref; ``sha``: the commit itself. Searches have no tag, and
    those of activity feeds follow no rule that is known. Evidence: ``docs/etag.md``.
    """
    if template in FILES:
        return TagKind.BLOB if form == "raw" else TagKind.OPAQUE
    if form == "sha" or template.startswith("/search/") or _FEED.fullmatch(template):
        return TagKind.OPAQUE
    return TagKind.HASH


def dated(template: str, *, listing: bool) -> bool:
    """Whether ``Last-Modified`` alone says that nothing changed: of one resource that is named, and is no release.

    GitHub answers 304 to ``If-Modified-Since`` though assets were added to a release (milo/github-api#24); lists
    change by what leaves them.
    """
    return template.endswith("}") and not listing and template not in FILES and not template.startswith(_RELEASES)

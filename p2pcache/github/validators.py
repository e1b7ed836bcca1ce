"""The validators of an operation's answers, and how reliable they are."""

from __future__ import annotations

import re

from p2pcache.github.etag import TagKind

ROOT = "/repos/{owner}/{repo}/contents"
FILES = frozenset({ROOT, f"{ROOT}/{{path}}", "/repos/{owner}/{repo}/readme", "/repos/{owner}/{repo}/readme/{dir}"})
"""Operations on a file or directory by path and commit, whose tags are git object ids."""

# Activity feeds; an issue's events are an ordinary list.
_FEED = re.compile(r"(?!.*/issues/).*/(?:received_)?events(?:/public|/orgs/\{org\})?")
_RELEASES = "/repos/{owner}/{repo}/releases"


def kind(template: str, form: str) -> TagKind:
    """Return the rule behind the tag of an operation's answer in a form (`media.form`).

    A file's tag is its blob, a directory's the root tree of the ref, that of ``sha`` the commit. Searches have no tag,
    and the tags of activity feeds follow no known rule. Evidence: ``docs/etag.md``.
    """
    if template in FILES:
        return TagKind.BLOB if form == "raw" else TagKind.OPAQUE
    if form == "sha" or template.startswith("/search/") or _FEED.fullmatch(template):
        return TagKind.OPAQUE
    return TagKind.HASH


def dated(template: str, *, listing: bool) -> bool:
    """Return whether ``Last-Modified`` alone proves that nothing changed: for single resources except releases.

    GitHub answers 304 to ``If-Modified-Since`` although assets were added to a release (milo/github-api#24); removals
    do not change the date of a list.
    """
    return template.endswith("}") and not listing and template not in FILES and not template.startswith(_RELEASES)

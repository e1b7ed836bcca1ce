"""Match a path to an operation and its lifetime class. The rows are in `table`."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from p2pcache.github.request import Lifetime
from p2pcache.github.table import TABLE

MAX_SEGMENTS = 64
"""Paths deeper than this are unknown; files are rarely nested as deeply."""

_FULL_SHA = re.compile(r"[0-9a-fA-F]{40}(?:[0-9a-fA-F]{24})?")
_ALIASES = {"repositories": ("repos", "-", "-"), "organizations": ("orgs", "-"), "user": ("users", "-")}


@dataclass(frozen=True, slots=True)
class Route:
    """One operation.

    Attributes:
        template: its path in GitHub's notation (``/repos/{owner}/{repo}/issues``), without values.
        lifetime: the lifetime class.
        listing: whether the answer is a JSON array.
        per_token: whether each token needs a proof of its own, even within a scope.
    """

    template: str
    lifetime: Lifetime
    listing: bool = False
    per_token: bool = False


@dataclass(frozen=True, slots=True)
class _Row:
    template: str
    kind: Lifetime | Literal["pinned"]
    listing: bool
    per_token: bool


@dataclass(slots=True)
class _Node:
    row: _Row | None = None
    literal: dict[str, _Node] = field(default_factory=dict)
    one: _Node | None = None
    many: _Node | None = None


def full_sha(text: str) -> bool:
    """Return whether `text` is a full object name; GitHub refuses branches and tags of that form.

    Source: docs.github.com, "Dealing with special characters in branch and tag names", naming restrictions.
    """
    return _FULL_SHA.fullmatch(text) is not None


def segments(path: str) -> tuple[str, ...]:
    """Split a path at slashes, ignoring one trailing slash (``/contents/``, as PyGithub sends)."""
    return tuple(path.removeprefix("/").removesuffix("/").split("/"))


def match(path: str) -> Route | None:
    """Return the operation of GET `path` (no query), or None if GitHub documents none.

    An alias has the route of its target: ``/repositories/ID/...``, ``/organizations/ID/...``, ``/user/ID/...``.
    """
    parts = segments(path)
    if not path.startswith("/") or len(parts) > MAX_SEGMENTS:
        return None
    row = _find(_trie(), parts, 0)
    if row is None and len(parts) > 1 and parts[1].isdecimal() and parts[0] in _ALIASES:
        parts = (*_ALIASES[parts[0]], *parts[2:])
        row = _find(_trie(), parts, 0)
    if row is None:
        return None
    return Route(row.template, _lifetime(row, parts), row.listing, row.per_token)


def rows() -> Iterator[tuple[str, str, bool]]:
    """Yield the rows of the table as (path pattern, class word with its mark, listing)."""
    prefix = ""
    for line in TABLE.strip().splitlines():
        if line.startswith("/"):
            prefix = line.rstrip("/")
            continue
        word, *patterns = line.split()
        for pattern in patterns:
            bare = pattern.removesuffix("[]")
            yield (prefix or "/") if bare == "." else f"{prefix}/{bare}", word, bare != pattern


@functools.cache
def _trie() -> _Node:
    root = _Node()
    for path, marked, listing in rows():
        node, word = root, marked.removesuffix("!")
        for part in segments(path):
            if part.endswith("+}"):
                node.many = node = node.many or _Node()
            elif part.startswith("{"):
                node.one = node = node.one or _Node()
            else:
                node = node.literal.setdefault(part, _Node())
        kind: Lifetime | Literal["pinned"] = "pinned" if word == "pinned" else Lifetime(word)
        node.row = _Row(path.replace("+}", "}"), kind, listing, per_token=word != marked)
    return root


def _find(node: _Node, parts: Sequence[str], at: int) -> _Row | None:
    """Match literals first, then one segment, then as few segments as possible."""
    if at == len(parts):
        return node.row
    literal = node.literal.get(parts[at])
    if literal and (row := _find(literal, parts, at + 1)):
        return row
    if node.one and parts[at] and (row := _find(node.one, parts, at + 1)):
        return row
    if node.many is None:
        return None
    tails = (_find(node.many, parts, end) for end in range(at + 1, len(parts) + 1))
    return next(filter(None, tails), None)


def _lifetime(row: _Row, parts: Sequence[str]) -> Lifetime:
    if row.kind != "pinned":
        return row.kind
    # A branch may be named feature/<SHA>: only a single last segment is an object's name.
    alone = len(parts) == len(segments(row.template))
    return Lifetime.IMMUTABLE if alone and all(map(full_sha, parts[-1].split("..."))) else Lifetime.LIVE

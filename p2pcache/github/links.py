"""``Link`` headers: parsing, when a 304 leaves them unproved, and rewriting of URLs to the gateway's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import parse_qs

import msgspec

_OBJECT_SIZES = (250, 300)
"""Commits of a comparison, files of a commit on one page (docs.github.com, "Compare two commits", "Get a commit")."""
DEFAULT_PER_PAGE = 30
MAX_PER_PAGE = 100

# RFC 8288 section 3: <target> and its parameters, whose quoted values may contain commas and semicolons.
_PARAMETER = r';\s*([^\s=;,"<>]+)\s*(?:=\s*(?:"([^"]*)"|([^\s;,"<>]*)))?\s*'
_LINK = re.compile(rf"<([^<>]*)>\s*((?:{_PARAMETER})*)")
_PARAMETERS = re.compile(_PARAMETER)

_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_PAGES = frozenset({"first", "prev", "next", "last"})
# Resources that GitHub names by number in the URLs of further pages: repositories, organizations, users.
_NAMED = re.compile(r"/(?:repos/[^/]+/[^/]+|(?:orgs|users)/[^/]+)(?=/|\Z)")
_NUMBERED = re.compile(r"/(?:repositories|organizations|user)/\d+(?=/|\Z)")
_BASE = re.compile(r"https?://[^/]+(?:/api/v3(?=/))?")

# Patterns that precede the closing quote of a key whose values are URLs of GitHub's API.
_KEYS = ("_url", *(rf'[{{,\s]"{key}' for key in ("url", "href", "self", "git")))
# The ``*_url`` keys whose values come from users: statuses, check runs, deployments, apps.
_TYPED = ("target", "details", "log", "environment", "external", "website", "homepage")


def parse(link: str) -> dict[str, str]:
    """Return the URL of each relation in a ``Link`` header, the first of repeated ones. Never raises."""
    found: dict[str, str] = {}
    for target, relations in _targets(link):
        for relation in relations:
            found.setdefault(relation, target)
    return found


def within(link: str, bases: tuple[str, ...]) -> bool:
    """Return whether all pages in a ``Link`` header are below `bases`, URLs without a final slash.

    Other relations are for people: GitHub's ``deprecation`` points to its documentation.
    """
    inside = tuple(f"{base}/" for base in bases)
    return all(target.startswith(inside) for target, relations in _targets(link) if relations & _PAGES)


def follows(target: str, link: str) -> bool:
    """Return whether a ``Link`` is the expected one for a page's URL, since a 304 does not prove it.

    Pages by number only: the next is one more, the previous one less, and the URL is otherwise the same except that
    GitHub replaces names by ids. Cursors cannot be predicted. `target` is the page's path and query.
    """
    path, _, query = target.partition("?")
    asked = parse_qs(query, keep_blank_values=True)
    page = _number(asked.pop("page", ["1"]))
    pages = {relation: url for relation, url in parse(link).items() if relation in _PAGES}
    numbers: dict[str, int] = {}
    for relation, url in pages.items():
        there, _, rest = url.partition("?")
        given = parse_qs(rest, keep_blank_values=True)
        numbers[relation] = _number(given.pop("page", ["1"]))
        there = _BASE.sub("", there, count=1)
        by_number = _NUMBERED.match(there) and _NUMBERED.sub("", there, count=1) == _NAMED.sub("", path, count=1)
        if given != asked or not (there == path or by_number):
            return False
    expected = {"next": page + 1, "prev": page - 1, "first": 1}
    right = all(number == expected.get(relation, number) for relation, number in numbers.items())
    return right and numbers.get("last", page + 1) > page


def last_full_page(target: str, link: str | None, body: bytes) -> bool:
    """Return whether a page is the last one and full, so that a next page may appear while the body stays the same.

    A 304 has no ``Link`` and the ETag does not cover it, so such a page must be fetched unconditionally
    (app-sre/github-mirror, ``_is_last_full_page``). `target` is the request's path and query.
    """
    if link is not None and "next" in parse(link):
        return False
    sizes = _full_sizes(target)
    return _count(body) in sizes or any(count in (*sizes, *_OBJECT_SIZES) for count in _parts(body))


def next_page(target: str) -> str:
    """Return path and query of the page after that of `target`; empty where pages have no numbers."""
    path, _, query = target.partition("?")
    fields = [field for field in query.split("&") if field]
    names = [field.partition("=")[0] for field in fields]
    pages = [at for at, name in enumerate(names) if name == "page"]
    if len(pages) > 1 or not {"after", "before", "cursor"}.isdisjoint(names):
        return ""
    if not pages:
        return f"{path}?{'&'.join([*fields, 'page=2'])}"
    number = fields[pages[0]].partition("=")[2]
    if not _NUMBER.fullmatch(number):
        return ""
    fields[pages[0]] = f"page={int(number) + 1}"
    return f"{path}?{'&'.join(fields)}"


def rewrite(value: str, old_base: str, new_base: str) -> str:
    """Return a ``Link`` or ``Location`` with URLs below `old_base` moved to `new_base` (no final slashes)."""
    return _header_pattern(old_base).sub(lambda match: match[1] + new_base, value)


def rewrite_body(body: bytes, bases: tuple[str, ...], new_base: str) -> bytes:
    """Return JSON with GitHub's API URLs moved from any of `bases` to `new_base`; every other byte stays.

    Rewritten are string values at the keys ``url``, ``*_url`` and ``href``, and ``self`` and ``git`` (the ``_links`` of
    contents), except ``*_url`` keys that users set, such as ``target_url``. Quotes inside a JSON string are escaped,
    so text that looks like JSON does not match. GitHub escapes no slashes; escaped URLs stay as they are.
    """
    return _body_pattern(bases).sub(new_base.encode(), body) if bases else body


def _targets(link: str) -> Iterator[tuple[str, frozenset[str]]]:
    for match in _LINK.finditer(link):
        parameters = _PARAMETERS.findall(match[2])
        named = [quoted or bare for name, quoted, bare in parameters if name.lower() == "rel"]
        yield match[1], frozenset(" ".join(named).lower().split())


class _Paginated(msgspec.Struct):
    files: list[msgspec.Raw] = []
    commits: list[msgspec.Raw] = []


@lru_cache(maxsize=16)
def _header_pattern(base: str) -> re.Pattern[str]:
    return re.compile(rf"(^|<){re.escape(base)}(?=[/?#>]|$)")


@lru_cache(maxsize=16)
def _body_pattern(bases: tuple[str, ...]) -> re.Pattern[bytes]:
    """Match a base at the beginning of the value of one of the keys, in compact JSON or with one space after colons.

    The key is a look-behind: a pattern that starts with a literal is searched much faster.
    """
    return re.compile("|".join(_value(re.escape(base)) for base in bases).encode())


def _value(base: str) -> str:
    ends = [f'":{space}"{base}' for space in ("", " ")]
    ours = "|".join(f"(?<={key}{end})" for key in _KEYS for end in ends)
    typed = "".join(f'(?<!"{key}_url{end})' for key in _TYPED for end in ends)
    return rf'{base}(?=[/"?#{{])(?:{ours}){typed}'


def _number(values: list[str]) -> int:
    return int(values[-1]) if values[-1].isdecimal() and len(values[-1]) < 10 else -1


def _full_sizes(target: str) -> tuple[int, ...]:
    """Return the possible sizes of a full page: the requested one, else both of GitHub's defaults."""
    asked = parse_qs(target.partition("?")[2]).get("per_page", [""])[-1]
    size = int(asked) if asked.isdecimal() and len(asked) < 10 else 0
    return (min(size, MAX_PER_PAGE),) if size else (DEFAULT_PER_PAGE, MAX_PER_PAGE)


def _count(body: bytes) -> int | None:
    """Count the items of a page: a JSON array, or the one array beside a ``total_count``; None for other bodies."""
    try:
        if body[:1] == b"[":
            return len(msgspec.json.decode(body, type=list[msgspec.Raw]))
        envelope = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        arrays = [raw for raw in envelope.values() if bytes(raw)[:1] == b"["]
        if "total_count" not in envelope or len(arrays) != 1:
            return None
        return len(msgspec.json.decode(arrays[0], type=list[msgspec.Raw]))
    except (msgspec.DecodeError, RecursionError):
        return None


def _parts(body: bytes) -> tuple[int, ...]:
    """Count the items paginated inside an object: the files of a commit, the commits of a comparison."""
    if body[:1] != b"{":
        return ()
    try:
        parts = msgspec.json.decode(body, type=_Paginated)
    except (msgspec.DecodeError, RecursionError):
        return ()
    return len(parts.files), len(parts.commits)

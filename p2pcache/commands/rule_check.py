"""``p2pcache rule-check``: the ETag rule checked against a real GitHub, as a table for an issue.

About 25 reads, most of them conditional. ``docs/etag.md`` explains each row.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import click

from p2pcache import __version__
from p2pcache.cache.upstream import UpstreamError
from p2pcache.commands.console import fail, note, settings_or_exit
from p2pcache.doctor.conditional_reads import JSON, ReadReply, agrees, ask, computed_tags, read_request
from p2pcache.gateway.http_upstream import HttpUpstream
from p2pcache.gateway.routing import Upstreams
from p2pcache.github import etag
from p2pcache.github.classify import classify
from p2pcache.github.etag import TagKind
from p2pcache.github.request import Read, Request
from p2pcache.settings import ClientSettings
from p2pcache.values import Secret

NOT_A_LABEL = "no-issue-has-this-label-p2pcache"
HOLDS, FAILS, UNKNOWN, NO_RULE = "holds", "FAILS", "not tried", "no rule"
_NAME = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")
_REFUSED = {
    401: "the token is not accepted",
    404: "there is no such repository, or the token may not see it",
}


class RepositoryError(RuntimeError):
    """The repository cannot be read; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of answer: its name, and the target below the repository."""

    name: str
    tail: str
    accept: str = JSON
    cold: bool = False
    """Send the tag of the empty list with the first request."""


SHAPES = (
    Shape("a repository", ""),
    Shape("a list", "/branches?per_page=100"),
    Shape("an empty list, at first sight", f"/issues?labels={NOT_A_LABEL}", cold=True),
    Shape("a diff", "/commits/HEAD", "application/vnd.github.diff"),
    Shape("a file as JSON", "/readme"),
    Shape("a raw file", "/readme", "application/vnd.github.raw+json"),
    Shape("a directory", "/contents/"),
    Shape("an activity feed", "/events"),
)


@dataclass(frozen=True, slots=True)
class CheckRow:
    """A row of the table; `second` is the status for the second token."""

    name: str
    expected: str
    verdict: str
    conditional: str = ""
    second: str = ""


class _GitHub:
    """Requests for one repository, with either token."""

    def __init__(self, upstream: HttpUpstream, repository: str, tokens: tuple[Secret | None, ...]) -> None:
        self._upstream = upstream
        self._repository = repository
        self._tokens = tokens

    def request(self, tail: str, accept: str, which: int) -> Request:
        return read_request(f"/repos/{self._repository}{tail}", self._tokens[which], accept)

    async def ask(self, request: Request, *tags: str) -> ReadReply:
        """Send a request, with `tags` as ``If-None-Match``, and return the answer."""
        return await ask(self._upstream, request, *tags)


def _untried(reply: ReadReply) -> str:
    """Return the verdict for an answer that shows nothing, else ""."""
    if reply.status != 200:
        return f"{UNKNOWN}: {reply.status}"
    return "" if reply.tag else f"{UNKNOWN}: {reply.status} without a tag"


def rule_check(repository: str, upstream: str) -> int:
    """Print the table; return 0 if every check holds, 1 if one fails, 2 if none is possible."""
    upstream = settings_or_exit({"upstream": upstream}).upstream
    if not _NAME.fullmatch(repository) or not isinstance(classify(Request("GET", f"/repos/{repository}", {})), Read):
        fail(f"read {repository[:120]!r}: expected OWNER/REPO", 2)
    settings = ClientSettings.from_env()
    if settings.token is None:
        note("no GITHUB_TOKEN: as an anonymous caller, whose 304s GitHub may charge")
    try:
        rows = asyncio.run(_rows(repository, upstream, (settings.token, settings.second_token)))
    except RepositoryError as error:
        fail(str(error), 2)
    except UpstreamError as error:
        fail(str(error))
    for line in _table(rows, upstream):
        click.echo(line)
    return int(any(row.verdict == FAILS for row in rows))


async def _rows(repository: str, upstream: str, tokens: tuple[Secret | None, Secret | None]) -> list[CheckRow]:
    async with HttpUpstream(Upstreams(upstream), __version__, lambda *_: None) as http:
        github = _GitHub(http, repository, tokens)
        status = (await github.ask(github.request("", JSON, 0))).status
        if status != 200:
            why = f": {_REFUSED[status]}" if status in _REFUSED else ", so nothing can be tried"
            raise RepositoryError(f"GitHub answered {status} for /repos/{repository}{why}")
        second = tokens[1] is not None
        rows = [await _shape(github, shape, second=second) for shape in SHAPES]
        rows += [await _list_of_tags(github), await _empty_accept(github)]
        # An anonymous caller's 304 is not free.
        return [*rows, await _free_304(github)] if tokens[0] else rows


async def _shape(github: _GitHub, shape: Shape, *, second: bool) -> CheckRow:
    request = github.request(shape.tail, shape.accept, 0)
    read = classify(request)
    assert isinstance(read, Read), f"{request.target} is a read"  # noqa: S101 - SHAPES are this file's own
    expected = {TagKind.HASH: "SHA-256", TagKind.BLOB: "git blob id", TagKind.OPAQUE: "git object id"}[read.tag]
    if shape.cold:
        tags = computed_tags(request, etag.EMPTY_LIST)
        status = (await github.ask(request, *tags)).status
        return CheckRow(shape.name, expected, _verdict_of(status), str(status))
    reply = await github.ask(request)
    if shape.tail == "/events":
        return CheckRow(shape.name, NO_RULE, NO_RULE, await _status_of_own_tag(github, request, reply))
    if untried := _untried(reply):
        return CheckRow(shape.name, expected, untried)
    verdict = HOLDS if _follows_rule(read.tag, request, reply) else FAILS
    theirs = ""
    if second and read.tag is not TagKind.OPAQUE:
        other = github.request(shape.tail, shape.accept, 1)
        proof = (
            [etag.blob_tag(reply.body)] if read.tag is TagKind.BLOB else computed_tags(other, reply.body, reply.headers)
        )
        theirs = str((await github.ask(other, *proof)).status)
    return CheckRow(shape.name, expected, verdict, await _status_of_own_tag(github, request, reply), theirs)


async def _status_of_own_tag(github: _GitHub, request: Request, reply: ReadReply) -> str:
    """Repeat a request with GitHub's own tag and return the status."""
    return str((await github.ask(request, reply.tag)).status) if reply.tag else "no tag"


def _verdict_of(status: int) -> str:
    """Return the verdict for a request whose expected status is 304."""
    return {304: HOLDS, 200: FAILS}.get(status, f"{UNKNOWN}: {status}")


def _follows_rule(kind: TagKind, request: Request, reply: ReadReply) -> bool:
    match kind:
        case TagKind.HASH:
            return agrees(computed_tags(request, reply.body, reply.headers), reply.tag)
        case TagKind.BLOB:
            return etag.weakly_equal(etag.blob_tag(reply.body), reply.tag)
        case TagKind.OPAQUE:
            return etag.is_object_id(reply.tag) and _sha(reply.body) in (None, reply.tag.strip('W/"'))


def _sha(body: bytes) -> str | None:
    """Return the ``sha`` of a file's JSON, "" for other bodies; None for a directory, which is a list."""
    try:
        shown = json.loads(body)
    except ValueError:
        return ""
    return str(shown.get("sha")) if isinstance(shown, dict) else None


async def _list_of_tags(github: _GitHub) -> CheckRow:
    request = github.request("", JSON, 0)
    reply = await github.ask(request)
    if untried := _untried(reply):
        return CheckRow("several tags in If-None-Match", "304", untried)
    status = (await github.ask(request, f'"{"0" * 64}"', reply.tag)).status
    return CheckRow("several tags in If-None-Match", "304", _verdict_of(status), str(status))


async def _empty_accept(github: _GitHub) -> CheckRow:
    request = github.request("", "", 0)
    reply = await github.ask(request)
    if untried := _untried(reply):
        return CheckRow("an empty Accept", "hashed or left out", untried)
    forms = ("hashed", "left out")
    tags = computed_tags(request, reply.body, reply.headers)
    form = next((form for form, tag in zip(forms, tags, strict=True) if etag.weakly_equal(tag, reply.tag)), "")
    return CheckRow("an empty Accept", "hashed or left out", HOLDS if form else FAILS, form)


async def _free_304(github: _GitHub) -> CheckRow:
    """Check that a 304 is free. Concurrent requests with the same token can only make it look charged."""
    request = github.request("/labels?per_page=1", JSON, 0)
    reply = await github.ask(request)
    if untried := _untried(reply):
        return CheckRow("a 304 is free", "quota unchanged", untried)
    again = await github.ask(request, reply.tag)
    before, after = (each.headers.get("x-ratelimit-remaining", "") for each in (reply, again))
    if not (before.isdecimal() and after.isdecimal()):
        return CheckRow("a 304 is free", "quota unchanged", f"{UNKNOWN}: no quota is told")
    verdict = FAILS if again.status == 304 and int(after) < int(before) else _verdict_of(again.status)
    return CheckRow("a 304 is free", "quota unchanged", verdict, f"{before} -> {after}")


def _table(rows: list[CheckRow], upstream: str) -> Iterator[str]:
    """Yield the table in Markdown, free of tags, tokens and names of the repository."""
    yield f"p2pcache {__version__} rule-check, {upstream}"
    yield ""
    yield "| answer | expected | verdict | conditional | second token |"
    yield "| --- | --- | --- | --- | --- |"
    for row in rows:
        yield f"| {row.name} | {row.expected} | {row.verdict} | {row.conditional} | {row.second} |"

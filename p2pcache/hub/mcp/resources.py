"""Resources: what of GitHub has a URI, and how it is read."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

import msgspec

from p2pcache.github.classify import classify
from p2pcache.github.request import Read, Request
from p2pcache.hub.mcp import picks
from p2pcache.hub.mcp.asking import AskError, ask, parsed
from p2pcache.hub.mcp.node_api import NodeApi
from p2pcache.hub.mcp.picks import Picks, picked
from p2pcache.hub.mcp.provenance import provenance
from p2pcache.hub.mcp.reading import file_text
from p2pcache.hub.mcp.tools import CALL_SECONDS
from p2pcache.hub.mcp.untrusted import visible

MAX_RESOURCE = 64 << 10
"""Bytes of a resource, which has no parts; the tool `files` reads longer ones."""
MAX_URI = 1024
JSON, PLAIN = "application/json", "text/plain"


class UnknownResourceError(ValueError):
    """A URI that names nothing here."""


@dataclass(frozen=True, slots=True)
class TemplateRow:
    """A kind of resource: its URI template (RFC 6570), what it shows, its fields or none for a file."""

    uri: str
    name: str
    description: str
    pattern: re.Pattern[str]
    fields: Picks | None = None

    @property
    def mime_type(self) -> str:
        """The media type of what is read."""
        return PLAIN if self.fields is None else JSON


@dataclass(frozen=True, slots=True)
class ReadResource:
    """A resource as it was read; `ttl_ms` is how long it stays the same."""

    text: str
    mime_type: str
    ttl_ms: int
    about: dict[str, object]


_NAMED = r"/repos/(?!\.{1,2}/)[\w.-]{1,100}/(?!\.{1,2}(?:/|\Z))[\w.-]{1,100}"
_SCHEME = "github:/"
_ROOT = "github://repos/{owner}/{repo}"

TEMPLATES = (
    TemplateRow(_ROOT, "repository", "A repository.", re.compile(_NAMED, re.ASCII), picks.REPOSITORY),
    TemplateRow(f"{_ROOT}/readme", "readme", "Its README.", re.compile(f"{_NAMED}/readme", re.ASCII)),
    TemplateRow(
        f"{_ROOT}/contents/{{+path}}",
        "file",
        "A text file on its default branch.",
        re.compile(rf"{_NAMED}/contents/[\w.,+@~=/%-]+", re.ASCII),
    ),
    TemplateRow(
        f"{_ROOT}/issues/{{number}}",
        "issue",
        "An issue.",
        re.compile(rf"{_NAMED}/issues/[0-9]{{1,12}}", re.ASCII),
        picks.ISSUE_WHOLE,
    ),
    TemplateRow(
        f"{_ROOT}/pulls/{{number}}",
        "pull_request",
        "A pull request.",
        re.compile(rf"{_NAMED}/pulls/[0-9]{{1,12}}", re.ASCII),
        picks.PULL_WHOLE,
    ),
    TemplateRow(
        f"{_ROOT}/actions/runs/{{run_id}}",
        "workflow_run",
        "A workflow run.",
        re.compile(rf"{_NAMED}/actions/runs/[0-9]{{1,15}}", re.ASCII),
        picks.RUN,
    ),
)


def located(uri: str) -> tuple[TemplateRow, str, Read]:
    """Return what kind of resource a URI names, its target in the API, and how the cache reads that.

    Raises:
        UnknownResourceError: it names none.
    """
    target = uri.removeprefix(_SCHEME)
    template = next((each for each in TEMPLATES if each.pattern.fullmatch(target)), None)
    if template is None or target == uri or len(uri) > MAX_URI:
        raise UnknownResourceError("no such resource: the templates list those there are")
    read = classify(Request("GET", target))
    if not isinstance(read, Read):  # dot segments, say
        raise UnknownResourceError("no such resource: its path is not a plain one")
    return template, target, read


async def shown(api: NodeApi, uri: str) -> ReadResource:
    """Read a resource.

    Raises:
        UnknownResourceError: the URI names none.
        ApiError, AskError: it cannot be read.
    """
    template, target, _ = located(uri)
    try:
        async with asyncio.timeout(CALL_SECONDS):
            found = await ask(api, target)
            value = await parsed(found.answer)
    except TimeoutError:
        raise AskError(f"no answer within {CALL_SECONDS:g} s: try again") from None
    if template.fields is None:
        text = visible(file_text(value))
    else:
        text = msgspec.json.encode(picked(value, template.fields)).decode()
    if len(text.encode()) > MAX_RESOURCE:
        raise AskError(f"more than {MAX_RESOURCE >> 10} KiB: the tools files and github_get give it in parts")
    about = provenance(found.answer.headers, found.path, authorised=api.authorised)
    return ReadResource(text, template.mime_type, about["fresh_for_s"] * 1000, {"untrusted": True, **about})

"""The tools: their names, what a client is shown of them, and how each is called."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from p2pcache.hub.mcp import cursors, managing, picks, reading
from p2pcache.hub.mcp.asking import AskError, Finding
from p2pcache.hub.mcp.cursors import CursorError
from p2pcache.hub.mcp.node_api import ApiError, NodeApi
from p2pcache.hub.mcp.picks import schema
from p2pcache.hub.mcp.reading import Arguments, Paged
from p2pcache.hub.mcp.results import result_of

CALL_SECONDS = 60.0
"""How long one call may take: a little more than the node gives GitHub."""
_NAMED_ONLY = ("title", "default", "additionalProperties")


class ToolError(Exception):
    """A call that failed; the message is one sentence for the model."""


@dataclass(frozen=True, slots=True)
class ToolRow:
    """One tool.

    Attributes:
        name, description: shown to clients.
        takes: its arguments.
        run: makes its request; the number is that of the page, 0 at first.
        gives: the JSON Schema of ``data`` in its result.
        changes: whether it changes anything.
    """

    name: str
    description: str
    takes: type[Arguments]
    run: Callable[[NodeApi, Any, int], Awaitable[Finding]]
    gives: dict[str, Any]
    changes: bool = False

    @property
    def input_schema(self) -> dict[str, Any]:
        """The JSON Schema of its arguments."""
        return _schema_of(self.takes)

    @property
    def output_schema(self) -> dict[str, Any]:
        """The JSON Schema of its result."""
        parts = {"next": {"type": "string"}} if issubclass(self.takes, Paged) else {}
        properties = {"data": self.gives, **parts, **_ABOUT}
        return {"type": "object", "properties": properties, "required": ["data", "source"]}


@functools.cache
def _schema_of(takes: type[Arguments]) -> dict[str, Any]:
    _, found = msgspec.json.schema_components((takes,))
    made = found[takes.__name__]
    properties = {name: _bare(each) for name, each in made["properties"].items()}
    required = {"required": made["required"]} if made.get("required") else {}
    return {"type": "object", "properties": properties, **required}


def _bare(made: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in made.items() if name not in _NAMED_ONLY}


def _rows(*wanted: picks.Picks) -> dict[str, Any]:
    return {"type": "array", "items": schema(tuple(dict.fromkeys(pick for each in wanted for pick in each)))}


_ABOUT: dict[str, Any] = {
    "untrusted": {"const": True},
    "source": {"type": "string"},
    "age_s": {"type": "integer"},
    "fresh_for_s": {"type": "integer"},
    "charged": {"type": "integer"},
    "quota": {"type": "object"},
}
_TEXT = schema(picks.picks("text characters:i type"))
_EITHER = {"type": ["object", "array"]}

TOOLS = (
    ToolRow(
        "github_get", "GET any path of the REST API; the body in parts.", reading.GetPath, reading.github_get, _TEXT
    ),
    ToolRow("github_graphql", "Run a GraphQL query.", reading.Query, reading.github_graphql, _TEXT),
    ToolRow("search", "Search GitHub.", reading.Search, reading.search, _rows(picks.FOUND_REPOSITORY)),
    ToolRow("repository", "Describe a repository.", reading.OfRepository, reading.repository, schema(picks.REPOSITORY)),
    ToolRow("files", "List a folder, or read a file in parts.", reading.Files, reading.files, _EITHER),
    ToolRow("issues", "List issues; or one; or its comments.", reading.Issues, reading.issues, _EITHER),
    ToolRow(
        "pull_requests", "List pull requests; or a part of one.", reading.PullRequests, reading.pull_requests, _EITHER
    ),
    ToolRow(
        "runs",
        "List workflow runs; or one's jobs, with the steps that failed.",
        reading.Runs,
        reading.runs,
        _rows(picks.RUN),
    ),
    ToolRow(
        "cache_status",
        "What the cache did; why it answers a path as it does; its peers.",
        managing.Status,
        managing.cache_status,
        _EITHER,
    ),
    ToolRow(
        "cache_purge",
        "Make this cache and its peers forget a path, or all.",
        managing.Forget,
        managing.cache_purge,
        schema(picks.picks("status")),
        changes=True,
    ),
)


@functools.cache
def named(name: str) -> ToolRow | None:
    """Return the tool of that name."""
    return next((tool for tool in TOOLS if tool.name == name), None)


async def call(api: NodeApi, tool: ToolRow, arguments: dict[str, Any] | None) -> dict[str, Any]:
    """Call a tool; return its result, which has at most `results.MAX_RESULT` bytes.

    Raises:
        ToolError: it cannot be answered.
    """
    try:
        given = msgspec.convert(arguments or {}, tool.takes)
        bound = cursors.bound_to(tool.name, {**msgspec.to_builtins(given), "cursor": ""})
        first, second = cursors.decode(given.place, bound, 2) if given.place else (0, 0)
        async with asyncio.timeout(CALL_SECONDS):
            found = await tool.run(api, given, first)
            return await result_of(found, bound, (first, second), authorised=api.authorised)
    except msgspec.ValidationError as error:
        raise ToolError(f"arguments: {error}") from None
    except (AskError, ApiError, CursorError) as error:
        raise ToolError(str(error)) from None
    except RecursionError:
        raise ToolError("that is nested too deeply") from None
    except TimeoutError:
        raise ToolError(f"no answer within {CALL_SECONDS:g} s: try again") from None

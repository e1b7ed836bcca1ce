"""From what was found to the result of a tool: within its bound, with a cursor for the rest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import msgspec

from p2pcache.hub.mcp import cursors
from p2pcache.hub.mcp.asking import IN_A_THREAD, Finding, One, Rows, Text
from p2pcache.hub.mcp.picks import shortened
from p2pcache.hub.mcp.provenance import provenance
from p2pcache.hub.mcp.untrusted import visible

MAX_RESULT = 20_000
"""Bytes of a result as it goes over the wire, as a value and as text."""
ENVELOPE = 1000
"""Bytes of these for what JSON-RPC and the protocol add."""
_LONGEST = 12_000
"""Characters of a text that are tried first; more never fit."""
_MOST_ROWS = 200
_CUT = 200


def size(result: dict[str, Any]) -> int:
    """Return the bytes that a result takes, as a value and once more as text (modelcontextprotocol.io, "Tools").

    The SDK escapes what is not ASCII, where it speaks the newer protocol.
    """
    return len(json.dumps(result)) + len(json.dumps(msgspec.json.encode(result).decode())) + ENVELOPE


async def result_of(found: Finding, bound: bytes, at: tuple[int, int], *, authorised: bool) -> dict[str, Any]:
    """Return a tool's result.

    Args:
        found: what the API gave.
        bound: the call's digest, for the cursor.
        at: the numbers of the cursor that this call came with.
        authorised: whether GitHub was asked with a credential.

    Raises:
        cursors.CursorError: what the cursor continues is no longer the same.
    """
    about = {"untrusted": True, **provenance(found.answer.headers, found.path, authorised=authorised)}
    match found:
        case Rows():
            return _rows(found, bound, at[1], about)
        case Text():
            if len(found.text) > IN_A_THREAD:
                return await asyncio.to_thread(_text, found, bound, at, about)
            return _text(found, bound, at, about)
        case One(data=data):
            result = {"data": data, **about}
            return result if size(result) <= MAX_RESULT else {"data": _cut(data), **about}
        case _:
            return {"data": {}, **about}


def _rows(found: Rows, bound: bytes, start: int, about: dict[str, Any]) -> dict[str, Any]:
    rest = found.rows[start : start + _MOST_ROWS]

    def result(count: int) -> dict[str, Any]:
        end = start + count
        if end < len(found.rows):
            more = {"next": cursors.encode(bound, found.page, end)}
        else:
            more = {} if found.last else {"next": cursors.encode(bound, found.page + 1, 0)}
        return {"data": rest[:count], **found.also, **more, **about}

    count = _most(len(rest), lambda count: size(result(count)) <= MAX_RESULT)
    if count == 0 and rest:  # a row of characters that take the most room
        rest[0] = _cut(rest[0])
        count = 1
    return result(count)


def _text(found: Text, bound: bytes, at: tuple[int, int], about: dict[str, Any]) -> dict[str, Any]:
    offset, content = at
    own = cursors.of_content(found.text.encode("utf-8", "surrogatepass"))
    if (offset and content != own) or offset > len(found.text):
        raise cursors.CursorError("this has changed since the part before: leave the cursor out to begin again")

    def result(count: int) -> dict[str, Any]:
        end = offset + count
        more = {"next": cursors.encode(bound, end, own)} if end < len(found.text) else {}
        data = {"text": visible(found.text[offset:end]), "characters": len(found.text), **found.also}
        return {"data": data, **more, **about}

    left = min(len(found.text) - offset, _LONGEST)
    return result(max(_most(left, lambda count: size(result(count)) <= MAX_RESULT), min(left, 1)))


def _most(count: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number up to `count` that fits; 0 always does."""
    if fits(count):
        return count
    low, high = 0, count
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _cut(row: dict[str, Any]) -> dict[str, Any]:
    return {name: shortened(value, _CUT) if isinstance(value, str) else value for name, value in row.items()}

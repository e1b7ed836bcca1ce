"""The MCP server: tools and resources over one cache, on stdio and at ``/-/mcp`` of a hub (docs/mcp.md).

`sdk` and `sdk_stdio` alone import the SDK, which is an extra: it costs half a second and 35 MB, so they are imported
when the first client comes.
"""

from __future__ import annotations

import importlib.util

MISSING = "the MCP server needs packages that are not installed here: pip install 'p2pcache[mcp]'"


def installed() -> bool:
    """Return whether the packages of the extra ``mcp`` are installed."""
    return importlib.util.find_spec("mcp") is not None

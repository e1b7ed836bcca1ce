"""The gateway's fixtures and helpers, shared with `tests/security`."""

from tests.support.gateway import (
    LIMIT,
    TOKEN,
    Raw,
    Reply,
    Upstream,
    ask,
    client,
    connect,
    elsewhere,
    get,
    github,
    node,
    running,
    upstream,
)

__all__ = [
    "LIMIT",
    "TOKEN",
    "Raw",
    "Reply",
    "Upstream",
    "ask",
    "client",
    "connect",
    "elsewhere",
    "get",
    "github",
    "node",
    "running",
    "upstream",
]

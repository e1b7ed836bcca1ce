"""The name of an interceptor's end of a connection to the node, by which that counts what it saves for which programs.

An address of Linux's abstract namespace (unix(7)). Any process of this user may take such a name: it decides nothing.
"""

from __future__ import annotations

import re
import socket

_NAMED = re.compile(rb"\0p2pcache-intercept/([a-z]{1,16})/[0-9a-f-]{1,64}")


def named(program: str, number: str) -> str:
    """Return the name for the `number`th connection, in hexadecimal digits and hyphens, of a program of a kind."""
    return f"\0p2pcache-intercept/{program}/{number}"


def program_of(connection: socket.socket | None) -> str:
    """Return the kind of program for which an accepted connection was made, empty for all others."""
    if connection is None or connection.family != socket.AF_UNIX:
        return ""
    try:
        found = _NAMED.fullmatch(connection.getpeername() or b"")
    except (OSError, TypeError):  # gone, or a name in the file system
        return ""
    return found[1].decode() if found else ""

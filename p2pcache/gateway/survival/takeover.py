"""What becomes of the connections of a node that died: taken up, or ended with a sentence, or just ended."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterable

from p2pcache.gateway.head import last_answer
from p2pcache.gateway.survival.journal import Adopted, ConnectionState, Journal

MAX_REPLAYS = 3
"""How often a request is taken up: one that kills every node it reaches must not use up the supervisor's patience."""
_UNREAD = 1 << 20

UNKNOWN_FATE = last_answer(
    502,
    "the cache was restarted while this request was under way; GitHub may have carried it out: look before you "
    "repeat it.",
    "fwd=bypass",
    "detail=restarted",
)
GIVEN_UP = last_answer(
    502, "the cache died each time it was asked this; its log says more.", "fwd=bypass", "detail=deadly"
)


async def take_over(
    journal: Journal, connections: Iterable[Adopted], serve: Callable[[Adopted], Awaitable[bool]]
) -> None:
    """Answer what the connections wait for, or end them clearly."""
    for adopted in connections:
        answer = final_answer(adopted)
        if answer is None and await serve(adopted):
            continue
        _end(adopted.connection, answer or b"")
        if adopted.slot is not None:
            journal.let_go(adopted.slot)


def final_answer(adopted: Adopted) -> bytes | None:
    """Return what a connection gets before it is closed; None when it is taken up."""
    match adopted.state:
        case ConnectionState.IDLE:
            return None
        case ConnectionState.ASKED if adopted.unsafe or not adopted.whole:
            return UNKNOWN_FATE
        case ConnectionState.ASKED if adopted.replays >= MAX_REPLAYS:
            return GIVEN_UP
        case ConnectionState.ASKED:
            return None
        case _:
            return b""


def _end(connection: socket.socket, answer: bytes) -> None:
    with contextlib.suppress(OSError):
        if answer:
            connection.send(answer)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(_UNREAD)  # unread bytes would make the kernel take the answer back (RFC 9112 section 9.6)
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()

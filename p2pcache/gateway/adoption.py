"""What becomes of the connections of a node that died: taken up, or ended with a sentence, or just ended."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable, Sequence

from p2pcache.gateway.head import last_answer
from p2pcache.gateway.keeper import MOST_REPLAYS, Adopted, ConnectionState, Keeper

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


async def adopt(keeper: Keeper, connections: Sequence[Adopted], take_up: Callable[[Adopted], Awaitable[bool]]) -> None:
    """Answer what the connections wait for, or end them clearly."""
    for adopted in connections:
        words = last_words(adopted)
        if words is None and await take_up(adopted):
            continue
        _end(adopted.connection, words or b"")
        if adopted.slot is not None:
            keeper.let_go(adopted.slot)


def last_words(adopted: Adopted) -> bytes | None:
    """What a connection is told before it is closed; None when it is taken up."""
    match adopted.state:
        case ConnectionState.IDLE:
            return None
        case ConnectionState.ASKED if adopted.unsafe or not adopted.whole:
            return UNKNOWN_FATE
        case ConnectionState.ASKED if adopted.replays >= MOST_REPLAYS:
            return GIVEN_UP
        case ConnectionState.ASKED:
            return None
        case _:
            return b""


def _end(connection: socket.socket, words: bytes) -> None:
    with contextlib.suppress(OSError):
        if words:
            connection.send(words)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(_UNREAD)  # what is left unread would make the kernel take the words back (RFC 9112, 9.6)
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()

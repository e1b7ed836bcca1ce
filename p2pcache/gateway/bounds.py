"""What a client may take of the gateway's time and connections."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClientBounds:
    """Bounds for all clients.

    Attributes:
        connections: at a time.
        head_seconds: how long a request's head may take to arrive.
        body_seconds: how long a client may pause in the middle of a request's body.
        write_seconds: how long a client may leave an answer unread.
        linger_seconds: how long a refused client may go on sending: closing before would destroy the refusal
            (RFC 9112 section 9.6).
        gathered_bytes: of GraphQL requests that are held at a time to be looked into.
    """

    connections: int = 4096
    head_seconds: float = 20.0
    body_seconds: float = 30.0
    write_seconds: float = 60.0
    linger_seconds: float = 2.0
    gathered_bytes: int = 64 << 20


DEFAULT_BOUNDS = ClientBounds()

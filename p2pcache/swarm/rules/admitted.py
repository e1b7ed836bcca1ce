"""What a hub makes of a job that it admitted by its OIDC token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from p2pcache.cache.sealing import JobKeys, Keyring


@dataclass(frozen=True, slots=True)
class Admitted:
    """A job's place at a hub.

    Attributes:
        room: what it shares a room with, by name: jobs of other rooms and it never hear of each other.
        label: the repository's id, and what the job may not, for an operator.
        keys: what it is granted.
        keyring: made of them, for the hub's own API server.
        shared: the scope of the repository's own jobs, by its names in the room (`wanted.all_scopes`): what is of
            another scope (some token's, which may read more than these jobs) is sealed anew for no other room.
        reads: the room of the repository's trusted jobs, for a job that is not trusted: what is announced there is
            sealed anew for this room; nothing goes the other way.
    """

    room: str
    label: str
    keys: tuple[JobKeys, ...] = field(repr=False)
    keyring: Keyring = field(repr=False)
    shared: frozenset[bytes]
    reads: Admitted | None = None

    @property
    def membership_keys(self) -> tuple[bytes, ...]:
        """The keys that prove membership in the room."""
        return self.keyring.membership_keys


Gatekeeper = Callable[[str, str, str], Awaitable[Admitted]]
"""Of an OIDC token, the hub's peer id and that of the peer that sent it; raises `reasons.Ended`."""
TokenSource = Callable[[str, str], Awaitable[str]]
"""Returns an OIDC token for a hub from this peer, by their ids; raises `TokenUnavailableError`."""


class TokenUnavailableError(Exception):
    """A job cannot have an OIDC token; the message is one sentence."""

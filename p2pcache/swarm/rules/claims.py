"""A node's own claims on leases, and what it remembers of those that ended. Pure."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from p2pcache.bounded import Bounded


class ClaimState(enum.Enum):
    """Of a claim; those after DOUBTED are its end, as far as its arbiter is concerned.

    DOUBTED: its arbiter answered that another asks, has nothing to show for it, and another arbiter is asked as well.
    """

    ASKED = enum.auto()
    WAITING = enum.auto()
    DOUBTED = enum.auto()
    HOLDING = enum.auto()
    FREED = enum.auto()
    LOST = enum.auto()


@dataclass(slots=True)
class OwnClaim:
    """A claim of this node's.

    Attributes:
        arbiter: the peer that decides it.
        resource, scope: what is wanted, for which scope.
        exclude: peers whose blocks are of no use to it.
        caller: what `LeaseClient.forsake` finds it by.
        changed: called whenever `become` changed the state.
        shown: another member than the arbiter has signed that it asks.
        heir: the claim that was made when this one was doubted.
    """

    arbiter: str
    resource: bytes
    scope: bytes
    exclude: tuple[str, ...]
    caller: object
    changed: Callable[[], None]
    state: ClaimState = ClaimState.ASKED
    shown: bool = False
    heir: OwnClaim | None = None

    @property
    def waits(self) -> bool:
        """Whether the arbiter has still to decide."""
        return self.state in (ClaimState.ASKED, ClaimState.WAITING)

    def become(self, state: ClaimState) -> None:
        """Change the state."""
        self.state = state
        self.changed()


class FreedClaims:
    """The holders that callers of this node were freed by, so that these can name what was of no use to them.

    Args:
        bound: resources and scopes remembered.
    """

    def __init__(self, bound: int) -> None:
        self._holders: Bounded[tuple[bytes, bytes], str] = Bounded(bound)

    def note(self, resource: bytes, scope: bytes, holder: str) -> None:
        """Remember which holder released a pointer; "": none did."""
        self._holders[resource, scope] = holder

    def take(self, resource: bytes, scope: bytes) -> str | None:
        """Return what was noted last, once."""
        return self._holders.pop((resource, scope), None)

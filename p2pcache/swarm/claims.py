"""A node's own claims on leases, and what it remembers of those that ended. Trio side."""

from __future__ import annotations

import enum
from collections import OrderedDict
from dataclasses import dataclass, field

import trio


class ClaimState(enum.Enum):
    """Of a claim; those after DOUBTED are its end, as far as its arbiter is concerned.

    DOUBTED: its arbiter says that somebody asks, has nothing to show for it, and another is asked as well.
    """

    ASKED = enum.auto()
    WAITING = enum.auto()
    DOUBTED = enum.auto()
    HOLDING = enum.auto()
    FREED = enum.auto()
    LOST = enum.auto()


@dataclass(slots=True)
class Mine:
    """A claim of this node's; `turn` is set whenever `state` changes.

    `exclude` are the peers whose leavings are of no use to it, `caller` is who made it. `shown`: somebody else than the
    arbiter has signed that it asks. `heir`: the claim that was made when this one was doubted.
    """

    arbiter: str
    resource: bytes
    scope: bytes
    exclude: tuple[str, ...]
    caller: object
    state: ClaimState = ClaimState.ASKED
    shown: bool = False
    heir: Mine | None = None
    turn: trio.Event = field(default_factory=trio.Event)

    @property
    def waits(self) -> bool:
        """Whether the arbiter's word is still to come."""
        return self.state in (ClaimState.ASKED, ClaimState.WAITING)

    def become(self, state: ClaimState) -> None:
        """Change, and wake whoever waits for that."""
        self.state = state
        self.turn.set()
        self.turn = trio.Event()


class Freed:
    """Who left something to callers of this node that were freed, so that they can say what was of no use to them.

    Args:
        bound: resources and scopes remembered.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._holders: OrderedDict[tuple[bytes, bytes], str] = OrderedDict()

    def note(self, resource: bytes, scope: bytes, holder: str) -> None:
        """`holder` left something, or "": nobody did."""
        self._holders[resource, scope] = holder
        self._holders.move_to_end((resource, scope))
        if len(self._holders) > self._bound:
            self._holders.popitem(last=False)

    def take(self, resource: bytes, scope: bytes) -> str | None:
        """What was noted last, once."""
        return self._holders.pop((resource, scope), None)

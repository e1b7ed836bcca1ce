"""Why a session ends: a number on the wire, a sentence of this side's own in the log."""

from __future__ import annotations

import enum


class Reason(enum.IntEnum):
    """Travels in `frames.Bye`. Numbers are never reused."""

    LEAVING = 0
    SECRET = 1
    VERSION = 2
    GARBAGE = 3
    CLOCK = 4
    FULL = 5
    DUPLICATE = 6
    FLOOD = 7
    DEAF = 8
    SILENT = 9
    ITSELF = 10
    BLOCKS = 11
    BROKEN = 12
    TOKEN = 13
    UNLISTED = 14
    OLD_HUB = 15

    @classmethod
    def of(cls, number: int) -> Reason:
        """Return the reason a peer gave; one that only a newer version knows counts as leaving."""
        return cls(number) if number in cls._value2member_map_ else cls.LEAVING


QUIET = frozenset({Reason.LEAVING, Reason.DUPLICATE, Reason.ITSELF})
"""Ends that are no fault: neither logged nor listed."""

_SECRET = "the swarm secrets differ: CACHE_SECRET has to be the same on both sides"  # noqa: S105  # a sentence, no secret
_CLOCK = "the clocks differ by more than five minutes: set both by NTP"

OURS = {
    Reason.LEAVING: "this node is stopping",
    Reason.SECRET: _SECRET,
    Reason.VERSION: "it speaks a newer protocol: update p2pcache on this node",
    Reason.GARBAGE: "it sent what is not the p2pcache protocol",
    Reason.CLOCK: _CLOCK,
    Reason.FULL: "this node has as many members as it takes",
    Reason.DUPLICATE: "there is another connection to it",
    Reason.FLOOD: "it said more than a member may",
    Reason.DEAF: "it does not read what it is sent",
    Reason.SILENT: "it does not answer",
    Reason.ITSELF: "the address is this node's own",
    Reason.BLOCKS: "it sent blocks that are not what their names say",
    Reason.BROKEN: "the connection broke",
    Reason.TOKEN: "its OIDC token is not accepted: jobs are admitted so by a hub with CACHE_OIDC_REPOSITORIES alone",
    Reason.UNLISTED: "its repository is not on the list of this hub",
    Reason.OLD_HUB: "it is of a version that does not admit by OIDC: update p2pcache there, or set CACHE_SECRET",
}
"""Why this node ended a session."""

THEIRS = OURS | {
    Reason.LEAVING: "it left",
    Reason.VERSION: "it speaks an older protocol: update p2pcache there",
    Reason.GARBAGE: "it did not understand this node",
    Reason.FULL: "it has as many members as it takes",
    Reason.FLOOD: "it found that this node says too much",
    Reason.DEAF: "it found that this node does not read",
    Reason.SILENT: "it found that this node does not answer",
    Reason.BLOCKS: "it found blocks of this node that are not what their names say",
    Reason.TOKEN: "it does not accept this job's OIDC token: its log has the reason",
    Reason.UNLISTED: (
        "this repository is not on its list: its operator adds the id to CACHE_OIDC_REPOSITORIES "
        "(gh api repos/OWNER/NAME --jq .id)"
    ),
}
"""Why the peer ended it, by its own account."""


class Ended(Exception):  # noqa: N818  # not an error: how every session ends
    """A session is over, or never began. `detail` says why more exactly; it holds no bytes that a peer chose."""

    def __init__(self, reason: Reason, *, ours: bool = True, detail: str = "") -> None:
        super().__init__(detail or (OURS if ours else THEIRS)[reason])
        self.reason = reason
        self.ours = ours
        self.met = False
        """Whether there was a session: both sides had proved themselves."""


def fault(error: BaseException) -> str:
    """Return the kind of an unexpected error, for a log that must not hold what a peer sent: the first of a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__

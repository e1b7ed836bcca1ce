"""Invalidations on their way: done here, sent to all, acknowledged before the writer's answer returns. Trio side."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Collection
from dataclasses import replace
from functools import partial

import trio

from p2pcache.clock import unix_time
from p2pcache.swarm.protocol.frames import Ack, Drop
from p2pcache.swarm.rules.directory import Directory
from p2pcache.swarm.rules.identity import Identity, signed
from p2pcache.swarm.rules.invalidation import Invalidation, InvalidationLog
from p2pcache.swarm.rules.reasons import Ended, Reason
from p2pcache.swarm.services.lease_arbiter import LeaseArbiter
from p2pcache.swarm.services.local_node import LocalNode
from p2pcache.swarm.services.members import Members
from p2pcache.swarm.services.session import Session

_TOPICS = 256
_MARGIN = 1.0
"""Seconds that two clocks may differ unnoticed, and a write may have taken: what was proved then is dropped too."""


class Invalidations:
    """Read-your-writes across the fleet.

    Args:
        members: the peers that are sent invalidations.
        directory: forgets what is dropped.
        node: the node's own tiers, which forget what peers drop.
        leases: must not offer what was released before a drop.
        me: signs what is dropped here.
    """

    def __init__(
        self, members: Members, directory: Directory, node: LocalNode, leases: LeaseArbiter, me: Identity
    ) -> None:
        self._members = members
        self._me = me
        self._limits = members.limits
        self._directory = directory
        self._node = node
        self._leases = leases
        self._log = InvalidationLog(self._limits.drops_bytes, self._limits.drops_age)
        self._serials = itertools.count(time.time_ns())  # goes on counting after a restart

    async def drop(self, topics: Collection[bytes], scope: bytes | None) -> None:
        """Invalidate at every connected peer; return when all have forgotten, or `drop_timeout` has passed."""
        listed = sorted(topics)
        now = unix_time()
        async with trio.open_nursery() as nursery:
            for start in range(0, len(listed), _TOPICS):
                batch = tuple(listed[start : start + _TOPICS])
                made = Invalidation(self._me.peer, next(self._serials), now, batch, scope, b"")
                made = replace(made, signature=self._me.sign(made.statement))
                self._log.add(made, self._me.peer)
                self._forget(made)
                nursery.start_soon(self._spread, made, None, self._limits.drop_timeout)

    async def on_join(self, session: Session) -> None:
        """Send what the peer may have missed, if it was cut off."""
        now = unix_time()
        for missed in list(self._log.recent(now)):
            await session.send_slowly(_frame(missed, session.token(), now))

    def on_drop(self, session: Session, frame: Drop) -> None:
        """Do what a peer invalidates, or passes on from another.

        Raises:
            Ended: the author has not signed it.
        """
        at = unix_time() - frame.age
        made = Invalidation(frame.origin, frame.serial, at, frame.topics, frame.scope, frame.signature)
        if not signed(made.origin, made.statement, made.signature):
            raise Ended(Reason.GARBAGE)
        session.start(partial(self._carry_out, session, frame, made))

    async def _carry_out(self, session: Session, frame: Drop, made: Invalidation) -> None:
        # Any member can make up another that none has met, and sign for it: that is at its own expense.
        known = made.origin in self._members or made.origin in self._members.relayed
        if self._log.add(made, made.origin if known else session.peer):
            self._forget(made)
            until = made.at + _MARGIN if frame.age > _MARGIN else math.inf  # what happens now is dated by no clock
            # It is known from now on, and done once: the end of this session, which may be replaced by another to the
            # same peer, must not be the end of it. Both parts have deadlines of their own.
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._node.dropped, made.topics, made.scope, until)
                    if self._members.hub:  # members that have no link to the origin
                        nursery.start_soon(self._spread, made, session, 0.8 * self._limits.drop_timeout)
        session.send(Ack(frame.id))

    def _forget(self, made: Invalidation) -> None:
        self._directory.drop(made.topics, made.scope, min(made.at + _MARGIN, unix_time()))
        self._leases.forget()

    async def _spread(self, made: Invalidation, exclude: Session | None, patience: float) -> None:
        asked = []
        for session in self._members:
            if session is not exclude:
                token = session.token()
                asked.append((session, token, session.acknowledged(token)))
                session.send(_frame(made, token, unix_time()))
        with trio.move_on_after(patience) as scope:
            for _, _, done in asked:
                await done.wait()
        if scope.cancelled_caught:
            self._members.counters["drop_unacknowledged"] += 1
        for session, token, _ in asked:
            session.forget(token)


def _frame(made: Invalidation, token: int, now: float) -> Drop:
    age = min(max(0.0, now - made.at), 86_400.0)
    return Drop(token, made.origin, made.serial, age, made.topics, made.scope, made.signature)

"""Pins with the day for a name, so that what was not stored again for a week is known, and goes."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable

from p2pcache.clock import unix_time
from p2pcache.stores.breaker import Breaker
from p2pcache.stores.driver import StoreError
from p2pcache.stores.ipfs.kubo import Kubo

_log = logging.getLogger(__name__)

PREFIX = "p2pcache/"
KEPT_DAYS = 7
MOST_LISTED = 4 << 20
"""Bytes of a list of pins: about 40,000."""
MOST_UNPINNED = 512
"""Pins that one node removes, so that a daemon is never busy with it for long."""
REMOTE_DAYS = 3
"""Days past `KEPT_DAYS` of which the pins at a pinning service are removed: one request each."""


class Pins:
    """The pins of this cache in a daemon, and in a pinning service.

    Args:
        kubo: the daemon.
        service: what the daemon calls the pinning service; "" without one.
        clock: Unix seconds.
    """

    def __init__(self, kubo: Kubo, service: str, clock: Callable[[], float] = unix_time) -> None:
        self._kubo = kubo
        self._service = service
        self._clock = clock
        self._breaker = Breaker()

    async def add(self, root: str) -> None:
        """Keep a block, and those that it links to, from today on.

        Raises:
            StoreError: the daemon does not keep them. What a pinning service does not keep is only logged.
        """
        name = self._name(0)
        await self._kubo.pin(root, name)
        if not self._service or not self._breaker.allows():
            return
        try:
            await self._kubo.pin_remotely(root, name, self._service)
        except StoreError as error:
            if self._breaker.failed(str(error)):
                sentence = "ipfs: the pinning service %s: %s; the daemon alone keeps blocks for now"
                _log.warning(sentence, self._service, error)
        else:
            self._breaker.succeeded()

    async def expire(self) -> None:
        """Remove old pins, as far as the bounds allow; a failure is for the next node to make good."""
        try:
            listed = await self._kubo.pins(PREFIX, MOST_LISTED)
            oldest = self._name(KEPT_DAYS)
            old = [cid for cid, name in listed if name.startswith(PREFIX) and name < oldest][:MOST_UNPINNED]
            for cid in old:
                await self._kubo.unpin(cid)
            if self._service:
                for days in range(KEPT_DAYS + 1, KEPT_DAYS + 1 + REMOTE_DAYS):
                    await self._kubo.unpin_remotely(self._name(days), self._service)
        except StoreError as error:
            _log.debug("ipfs: old pins stay: %s", error)

    def _name(self, days: int) -> str:
        """Return the name of the pins of some days ago (UTC)."""
        day = datetime.datetime.fromtimestamp(self._clock(), datetime.UTC).date() - datetime.timedelta(days=days)
        return f"{PREFIX}{day.isoformat()}"

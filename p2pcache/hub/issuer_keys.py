"""The keys of an OIDC issuer: fetched when they are first needed, kept for an hour, and while the issuer is down."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from p2pcache.gateway import small_answers
from p2pcache.github.oidc import IssuerError, Keys, configuration_url, key_set, keys_url

KEPT = 3_600.0
"""Seconds for which keys are used without asking for newer ones."""
PAUSE = 30.0
"""Seconds between two attempts, whatever strangers send."""
SECONDS = 3.0
"""For both documents together: less than a stranger has for the whole handshake."""

Fetch = Callable[[str], Awaitable[bytes]]
"""Returns the body at a URL; raises `small_answers.SmallAnswerError`."""


async def fetched(url: str) -> bytes:
    """Return a document of the issuer."""
    return await small_answers.get(url, {}, SECONDS)


class IssuerKeys:
    """The keys of one issuer.

    Args:
        issuer: its URL, without a slash at the end.
        clock: seconds that only pass.
        fetch: gets a document.

    Attributes:
        trouble: why the last attempt to get newer keys failed, a sentence; "" if it did not.
    """

    def __init__(self, issuer: str, clock: Callable[[], float], fetch: Fetch = fetched) -> None:
        self._issuer = issuer
        self._clock = clock
        self._fetch = fetch
        self._keys: Keys = {}
        self._since = -math.inf
        self._tried = -math.inf
        self._fetching: asyncio.Task[None] | None = None
        self.trouble = ""

    async def current(self) -> Keys:
        """Return the keys; newer ones are asked for where these are an hour old. None if there never were any."""
        if self._clock() - self._since >= KEPT:
            await self._refresh(wait=not self._keys)
        return self._keys

    async def renewed(self) -> Keys:
        """Return keys that may include one which `current` lacks: at most one attempt in `PAUSE` seconds."""
        await self._refresh()
        return self._keys

    async def close(self) -> None:
        """End an attempt that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    async def _refresh(self, *, wait: bool = True) -> None:
        """Make an attempt, if none is under way; a caller that is cancelled, or does not `wait`, does not end it."""
        if self._fetching is None or self._fetching.done():
            if self._clock() - self._tried < PAUSE:
                return
            self._tried = self._clock()
            self._fetching = asyncio.create_task(self._attempt(), name="issuer keys")
        if wait:
            await asyncio.wait([self._fetching])

    async def _attempt(self) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                where = keys_url(self._issuer, await self._fetch(configuration_url(self._issuer)))
                self._keys = key_set(await self._fetch(where))
        except TimeoutError:
            self.trouble = self._no_keys(f"no answer within {SECONDS:g} s")
        except (small_answers.SmallAnswerError, IssuerError) as error:
            self.trouble = self._no_keys(str(error))
        else:
            self.trouble = ""
            self._since = self._clock()

    def _no_keys(self, reason: str) -> str:
        return f"the OIDC issuer {self._issuer} gives no keys: {reason}"

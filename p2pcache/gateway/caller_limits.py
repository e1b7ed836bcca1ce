"""The limits of each caller, by its scope, and whether GitHub may be asked for it now."""

from __future__ import annotations

from collections.abc import Mapping

from p2pcache.cache.answer import RateLimited
from p2pcache.cache.buckets import Buckets
from p2pcache.cache.wanted import ScopePolicy
from p2pcache.gateway.exchange import Exchange
from p2pcache.gateway.head import cache_status
from p2pcache.gateway.http_upstream import UpstreamResponse
from p2pcache.github import scopes

ASK_RULE = "p2pcache-explain"
RULE = b"p2pcache-rule"


class CallerLimits:
    """Learns each caller's limits from GitHub's answers, and refuses in GitHub's place while one is reached.

    Args:
        identity: how callers are told apart.
        buckets: what is known of their limits.
    """

    def __init__(self, identity: ScopePolicy, buckets: Buckets) -> None:
        self._identity = identity
        self._buckets = buckets

    def observe(self, headers: Mapping[str, str], answer: UpstreamResponse, body: bytes = b"") -> None:
        """Learn from an answer that is only passed through; `headers` are the request's.

        `body` is what was read of a refusal: some secondary limits are named nowhere else.
        """
        scope = self._scope(headers)
        self._buckets.observe(scope, answer.headers)
        self._buckets.refused(scope, answer.status, answer.headers, body)

    def refusal(self, headers: Mapping[str, str]) -> RateLimited | None:
        """Return the answer to a request while GitHub asked its caller to wait, else None."""
        return self._buckets.wait_refusal(self._scope(headers))

    @staticmethod
    async def refuse(exchange: Exchange, refusal: RateLimited) -> None:
        """Answer in GitHub's place that a limit is reached."""
        lines = [(name.encode(), value.encode()) for name, value in refusal.headers]
        explained = [(RULE, refusal.rule.encode())] if ASK_RULE in exchange.headers else []
        await exchange.reply(refusal.status, refusal.body, [*lines, cache_status("detail=quota"), *explained])

    def _scope(self, headers: Mapping[str, str]) -> str:
        return scopes.scope_of(headers, self._identity.job_token, self._identity.repository)

"""A node's cache without gateway and swarm: the real engine and memory, no sockets, a manual clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from p2pcache.cache.answer import Answer, Forwarded
from p2pcache.cache.buckets import Buckets
from p2pcache.cache.engine import Engine, Policy
from p2pcache.cache.entry import Pointer
from p2pcache.cache.library import Library, TierLimits
from p2pcache.cache.memory import Memory
from p2pcache.cache.sealing import Keyring
from p2pcache.cache.tiers import Leases, Tier
from p2pcache.cache.upstream import Upstream
from p2pcache.cache.wanted import ScopePolicy, Wanted, want
from p2pcache.github import writes
from p2pcache.github.classify import classify
from p2pcache.github.lifetimes import DEFAULT_SECONDS
from p2pcache.github.request import Lifetime, Read, Request
from p2pcache.testing.peers import MemoryPeer

ALONE = ScopePolicy(None, None, per_credential=False)


class Clock:
    """A manual clock in Unix seconds."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Advance the time."""
        self.now += seconds


class MemoryNode:
    """One node.

    Args:
        upstream: the API, e.g. `direct.Direct`.
        clock: Unix seconds.
        keyring: the swarm's; a private one by default.
        peer: its place in a `peers.MemorySwarm`, asked after `tiers`.
        tiers: further tiers.
        leases: replaces the peer's.
        identity: the policy for scopes.
        lifetimes: seconds for each class.
        verified: whether entries of other tiers are proved before they are served.
        limits: of its tiers.

    Attributes:
        identity: the policy for scopes; a runner changes it from job to job.
        errors: counted failures of tiers.
        rule_failures: the shapes for which the node gave up the ETag rule.
    """

    def __init__(
        self,
        upstream: Upstream,
        clock: Callable[[], float],
        *,
        keyring: Keyring | None = None,
        peer: MemoryPeer | None = None,
        tiers: Sequence[Tier] = (),
        leases: Leases[Pointer] | None = None,
        identity: ScopePolicy = ALONE,
        lifetimes: Mapping[Lifetime, float] = DEFAULT_SECONDS,
        memory_bytes: int = 64 << 20,
        verified: bool = False,
        limits: TierLimits = TierLimits(),  # noqa: B008 - immutable
    ) -> None:
        self.keyring = keyring or Keyring.ephemeral()
        self.errors: Counter[str] = Counter()
        self.rule_failures: list[str] = []
        self.identity = identity
        every = (*tiers, peer.tier) if peer else tuple(tiers)
        self.library = Library(
            Memory(memory_bytes),
            every,
            self.keyring,
            verified=verified,
            clock=clock,
            limits=limits,
            failed=lambda what: self.errors.update([what]),
        )
        if peer:
            peer.dropped = self.library.drop_soon
        self.buckets = Buckets(clock)
        policy = Policy(lifetimes, lambda: peer.name if peer else "", clock, clock, self._rule_failed)
        self.engine = Engine(self.library, upstream, self.buckets, policy, leases or (peer.leases if peer else None))

    def _rule_failed(self, shape: str) -> None:
        self.rule_failures.append(shape)

    def wanted(self, target: str, token: str | None = None, *, body: bytes = b"", **headers: str) -> Wanted:
        """Return a client's request; header names have underscores, and a `body` makes it a GraphQL query.

        Raises:
            ValueError: it is not a cacheable read.
        """
        fields = {"accept": "application/vnd.github+json"}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            fields["authorization"] = f"Bearer {token}"
        request = Request("POST" if body else "GET", target, fields, body)
        read = classify(request)
        if not isinstance(read, Read):
            raise ValueError(f"{target} is no cacheable read: {read}")  # noqa: TRY004 - the target is wrong
        return want(self.keyring, self.identity, read, request)

    async def get(self, target: str, token: str | None = None, *, body: bytes = b"", **headers: str) -> Answer:
        """Request through the engine; a streamed response is closed, as the gateway does after forwarding it."""
        answer = await self.engine.read(self.wanted(target, token, body=body, **headers))
        if isinstance(answer, Forwarded) and answer.body is None:
            await answer.response.close()
        return answer

    async def wrote(self, method: str, path: str) -> None:
        """Apply the drops of a write through this node."""
        await self.engine.wrote(writes.drops(method, path))

    async def close(self) -> None:
        """Wait for pending stores."""
        await self.library.close()

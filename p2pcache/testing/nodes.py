"""The cache of a node without its faces: real engine, real memory, no sockets and a clock of one's own."""

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
    """Unix seconds that only pass when told to."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class MemoryNode:
    """One node.

    Args:
        upstream: where it asks, e.g. `direct.Direct`.
        clock: Unix seconds.
        keyring: the swarm's; of this node alone when there is none.
        peer: its place in a `peers.MemorySwarm`, asked after `tiers`.
        tiers: more tiers.
        leases: instead of the peer's.
        identity: whose job it runs in.
        lifetimes: seconds for each class.
        verified: what other tiers have is proved before it is served.
        limits: of its tiers.

    Attributes:
        identity: whose job it runs in; a runner takes one job after the other.
        errors: what went wrong in tiers, counted.
        rule_failures: the shapes for which the node gave the ETag rule up.
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
        """What a client asks for; header names with underscores. A `body` makes it a GraphQL query.

        Raises:
            ValueError: that is no cacheable read.
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
        """Ask the engine; what it does not keep is closed, as the gateway does after passing it on."""
        answer = await self.engine.read(self.wanted(target, token, body=body, **headers))
        if isinstance(answer, Forwarded) and answer.body is None:
            await answer.response.close()
        return answer

    async def wrote(self, method: str, path: str) -> None:
        """A write went through this node."""
        await self.engine.wrote(writes.drops(method, path))

    async def close(self) -> None:
        """Wait for what is being stored."""
        await self.library.close()

"""A stand-in GitHub asked without a socket, and nodes in front of it that share one clock."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from p2pcache.cache.answer import Answer, Cached
from p2pcache.cache.disk import Disk
from p2pcache.cache.sealing import Keyring
from p2pcache.cache.upstream import UpstreamError
from p2pcache.github.request import Request
from p2pcache.testing import MemorySwarm, StandIn, Verdict
from p2pcache.testing.conformance import make
from p2pcache.testing.direct import Direct
from p2pcache.testing.nodes import Clock, MemoryNode

APP, VAULT = "octo/app", "octo/vault"


class Gate:
    """Holds requests on their way: GitHub has judged them (or not yet), and their answers wait to be let go."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.opened = asyncio.Event()

    async def before(self, request: Request, answer: Callable[[], Verdict]) -> Verdict:
        self.arrived.set()
        await self.opened.wait()
        return answer()

    async def after(self, request: Request, answer: Callable[[], Verdict]) -> Verdict:
        verdict = answer()
        self.arrived.set()
        await self.opened.wait()
        return verdict


@dataclass
class Lab:
    github: StandIn
    upstream: Direct
    clock: Clock
    keyring: Keyring = field(default_factory=Keyring.ephemeral)
    nodes: list[MemoryNode] = field(default_factory=list)
    swarm: MemorySwarm = field(default_factory=MemorySwarm)
    options: dict[str, Any] = field(default_factory=dict)
    """What its nodes are made with besides."""

    def node(self, **options: Any) -> MemoryNode:
        made = MemoryNode(self.upstream, self.clock, **{"keyring": self.keyring, **self.options, **options})
        self.nodes.append(made)
        return made

    def pair(self) -> tuple[MemoryNode, MemoryNode]:
        return self.node(peer=self.swarm.join()), self.node(peer=self.swarm.join())

    @property
    def calls(self) -> list[int]:
        """The statuses of what GitHub was asked since `forget`."""
        return [call.status for call in self.github.calls]

    def forget(self) -> None:
        self.github.reset_calls()

    def expire(self) -> None:
        """Past any lifetime but the immutable, and past what may be served stale."""
        self.clock.sleep(700)

    def gate(self, *, judged: bool) -> Gate:
        gate = Gate()
        self.upstream.around = gate.after if judged else gate.before
        return gate

    def answers(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"{}") -> None:
        """From now on, whatever is asked."""

        async def around(request: Request, answer: Callable[[], Verdict]) -> Verdict:
            return Verdict(status, headers or {}, body)

        self.upstream.around = around

    def changed(self, change: Callable[[Verdict], Verdict]) -> None:
        """GitHub's answers arrive changed from now on."""

        async def around(request: Request, answer: Callable[[], Verdict]) -> Verdict:
            return change(answer())

        self.upstream.around = around

    def down(self) -> None:
        async def around(request: Request, answer: Callable[[], Verdict]) -> Verdict:
            raise UpstreamError("GitHub cannot be reached")

        self.upstream.around = around

    def up(self) -> None:
        self.upstream.around = Direct(self.github).around


def kept(answer: Answer) -> Cached:
    assert isinstance(answer, Cached), answer
    return answer


async def fill(tier: Disk, count: int, size: int, prefix: str = "") -> None:
    for i in range(count):
        kept = make(f"/{prefix}{i}", body=random.Random(f"{prefix}{i}").randbytes(size))
        await tier.store(kept.pointer, kept.sealed)

"""A member in a process of its own, told what to do by lines of JSON; for the tests and the benchmarks."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from p2pcache.cache.entry import Pointer
from p2pcache.cache.tiers import Freed
from p2pcache.swarm import Limits, Swarm, SwarmConfig, SwarmError
from p2pcache.swarm.rules import scoring

CID = b"\x01\x55\x12\x20"
SCOPE, TOPIC = b"s" * 16, b"t" * 16
PATIENT = {"peer_deadline": 5.0, "lease_silence": 8.0, "lease": 30.0, "ping_interval": 20.0}
"""Where calls are counted: on a machine that others keep busy, a peer that is only slow must not add one."""


class Node:
    """Store, events and swarm of one node; `want` is what the cache does."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.blocks: dict[bytes, bytes] = {}
        self.held: list[Pointer] = []
        self.warnings: list[str] = []
        self.drops: list[float] = []
        self.quotas: list[list[str]] = []
        self.heard: dict[bytes, float] = {}
        self.swarm = Swarm(
            SwarmConfig(
                spec.get("listen", "/ip4/127.0.0.1/tcp/0"),
                tuple(spec.get("bootstrap", ())),
                (),
                Path(spec["directory"]) / "id",
                (spec.get("key", "k" * 32).encode(),),
                hub=spec.get("hub", False),
                mdns=spec.get("mdns", False),
                limits=Limits(**spec.get("limits", {})),
            ),
            self,
            self,
        )
        self._add = self.swarm._directory.add
        self.swarm._directory.add = self._note  # type: ignore[method-assign]  # measures without polling

    def _note(self, pointer: Pointer, peer: str, **how: Any) -> bool:
        self.heard.setdefault(pointer.name, time.time())
        return self._add(pointer, peer, **how)

    async def sealed(self, cid: bytes) -> bytes | None:
        return self.blocks.get(cid)

    async def keep(self, pointer: Pointer, sealed: bytes) -> None:
        self.blocks[pointer.cid] = sealed
        self.held.append(pointer)

    def pointers(self) -> list[Pointer]:
        return self.held

    def dropped(self, topics: Any, scope: bytes | None, until: float) -> None:
        self.drops.append(time.time())

    def quota(self, scope: bytes, state: bytes) -> None:
        self.quotas.append([scope.hex(), state.hex()])

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    async def hold(self, name: bytes, sealed: bytes) -> Pointer:
        now = time.time()
        cid = CID + hashlib.sha256(sealed).digest()
        pointer = Pointer(name, SCOPE, cid, '"e"', None, None, "normal", now, now + 60, 80, len(sealed), "", (TOPIC,))
        await self.keep(pointer, sealed)
        await self.swarm.tier.store(pointer, sealed)
        return pointer

    async def peers_have(self, name: bytes) -> bytes | None:
        for pointer in await self.swarm.tier.find(name):
            if sealed := await self.swarm.tier.block(pointer):
                return sealed
        return None

    async def want(self, name: bytes, port: int) -> str:
        """Where the answer came from: peer, upstream or held."""
        if any(pointer.name == name for pointer in self.held):
            return "held"
        if await self.peers_have(name):
            return "peer"
        lease = await self.swarm.leases.acquire(name, SCOPE)
        pointer = None
        try:
            if await self.peers_have(name):
                return "peer"
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(name)
            body = await reader.read(1 << 20)
            writer.close()
            pointer = await self.hold(name, body)
            return "upstream"
        finally:
            if not isinstance(lease, Freed):
                await lease.release(pointer)


def rss() -> int:
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


class Member:
    """The commands."""

    def __init__(self, spec: dict[str, Any]) -> None:
        if spec.pop("patient", False):
            scoring._PATIENCE = 1e6  # quick answers so far do not shorten the deadline
            spec["limits"] = PATIENT
        self.spec = spec
        self.node: Node

    async def start(self, **spec: Any) -> Any:
        self.node = Node(self.spec | spec)
        await self.node.swarm.start()
        return [self.node.swarm.peer_id, *self.node.swarm.multiaddrs]

    async def connected(self, n: int = 1, timeout: float = 10.0) -> bool:  # noqa: ASYNC109  # an order of the test, answered in time
        return await self.node.swarm.connected(n, timeout)

    async def hold(self, size: int, name: str = "") -> list[str]:
        key = bytes.fromhex(name) if name else os.urandom(32)
        pointer = await self.node.hold(key, os.urandom(size))
        return [key.hex(), pointer.cid[4:].hex(), repr(time.time())]

    async def sees(self, name: str, timeout: float = 10.0) -> float:  # noqa: ASYNC109  # an order of the test, answered in time
        """When this node heard of `name`."""
        async with asyncio.timeout(timeout):
            while bytes.fromhex(name) not in self.node.heard:  # noqa: ASYNC110  # another thread or process: nothing to wait on
                await asyncio.sleep(0.005)
        return self.node.heard[bytes.fromhex(name)]

    async def fetch(self, name: str, times: int = 1) -> list[Any]:
        """Digest and seconds of each fetch, None when it failed."""
        results = []
        for _ in range(times):
            began = time.perf_counter()
            sealed = await self.node.peers_have(bytes.fromhex(name))
            took = time.perf_counter() - began
            results.append([sealed and hashlib.sha256(sealed).hexdigest(), took])
        return results

    async def want(self, names: list[str], port: int) -> dict[str, int]:
        got = await asyncio.gather(*(self.node.want(bytes.fromhex(name), port) for name in names))
        return {source: got.count(source) for source in set(got)}

    async def lead(self, name: str) -> bool:
        """Take the lease of `name` and do nothing with it."""
        return await self.node.swarm.leases.acquire(bytes.fromhex(name), SCOPE) != Freed()

    async def hang(self, seconds: float) -> None:
        """What a loop does in which something blocks; the swarm's thread goes on."""
        time.sleep(seconds)  # noqa: ASYNC251  # that is the fault

    async def drop(self) -> float:
        began = time.perf_counter()
        await self.node.swarm.tier.drop([TOPIC])
        return time.perf_counter() - began

    async def quota(self, state: str) -> None:
        self.node.swarm.publish_quota(SCOPE, state.encode())

    async def report(self) -> dict[str, Any]:
        node = self.node
        return {
            "peers": [
                {"peer": r.peer_id, "state": r.state, "via": r.via, "reason": r.reason, "blocks_in": r.blocks_in}
                for r in node.swarm.peers()
            ],
            "counters": dict(node.swarm.counters()),
            "warnings": node.warnings,
            "drops": len(node.drops),
            "quotas": node.quotas,
            "held": len(node.held),
            "rss": rss(),
        }

    async def stop(self) -> None:
        await self.node.swarm.stop()


async def main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 22)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    member = Member(json.loads(sys.argv[1]))
    import p2pcache.swarm.host  # noqa: F401  # loaded before the clock of any test runs

    print(json.dumps({"ready": True}), flush=True)
    while line := await reader.readline():
        order = json.loads(line)
        try:
            answer = {"answer": await getattr(member, order.pop("do"))(**order)}
        except (SwarmError, TimeoutError) as error:
            answer = {"error": str(error) or type(error).__name__}
        print(json.dumps(answer), flush=True)


def breed(asked: socket.socket) -> None:
    """Fork a member for each specification, until the test hangs up: libp2p is imported once, not by each."""
    import p2pcache.swarm.host  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps them
    while True:
        spec, descriptors, *_ = socket.recv_fds(asked, 1 << 16, 1)
        if not spec:
            break
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            asked.close()
            for standard in (0, 1):
                os.dup2(descriptors[0], standard)
            sys.argv[1:] = [spec.decode()]
            asyncio.run(main())
            break
        os.close(descriptors[0])
        asked.send(str(child).encode())


if __name__ == "__main__":
    if sys.argv[1] == "--breed":
        breed(socket.socket(fileno=int(sys.argv[2])))
    else:
        asyncio.run(main())

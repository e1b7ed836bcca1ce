"""A network in memory: hosts that listen at addresses and dial each other, without libp2p and sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import trio
import trio.testing

from p2pcache.addresses import Address
from p2pcache.swarm.rules.config import SwarmError
from p2pcache.swarm.services.link import LinkError


class MemoryLink:
    def __init__(self, stream: trio.StapledStream, peer: str, address: str, *, dialled: bool) -> None:
        self.stream = stream
        self.peer = peer
        self.address = address
        self.dialled = dialled
        self.trusted = False
        self.deaf = False
        self.owner = ""

    async def read(self) -> bytes:
        try:
            return await self.stream.receive_some()
        except trio.ClosedResourceError:
            return b""

    async def write(self, data: bytes) -> None:
        if self.deaf:
            await trio.sleep_forever()
        try:
            await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise LinkError("closed") from error

    def trust(self) -> None:
        self.trusted = True


def link_pair(dialler: str, listener: str, address: str = "/ip4/10.0.0.1/tcp/9000") -> tuple[MemoryLink, MemoryLink]:
    one, other = trio.testing.memory_stream_pair()
    return MemoryLink(one, listener, address, dialled=True), MemoryLink(other, dialler, address, dialled=False)


class MemoryNet:
    def __init__(self) -> None:
        self.hosts: dict[Address, MemoryHost] = {}
        self.unreachable: set[str] = set()
        self.dials: list[str] = []
        self.links: list[MemoryLink] = []

    def cut(self, peer: str) -> None:
        """Break every link of a peer, as `kill -9` does."""
        for link in self.links:
            if link.peer == peer or link.owner == peer:
                link.stream.send_stream.close()  # type: ignore[attr-defined]
                link.stream.receive_stream.close()  # type: ignore[attr-defined]


class MemoryHost:
    def __init__(self, net: MemoryNet, peer: str, listen: Address) -> None:
        self.net = net
        self.peer = peer
        self.listen = listen
        self.incoming, self.accepted = trio.open_memory_channel[MemoryLink](100)

    async def bind(self, *, any_port: bool = False) -> Address:
        while any_port and self.listen in self.net.hosts:
            self.listen = replace(self.listen, port=self.listen.port + 1)
        if self.listen in self.net.hosts:
            raise SwarmError(f"the swarm cannot listen on {self.listen}")
        self.net.hosts[self.listen] = self
        return self.listen

    async def serve(self, handler: Callable[[MemoryLink], object]) -> None:
        async with trio.open_nursery() as nursery:
            async for link in self.accepted:
                nursery.start_soon(self._handle, handler, link)

    async def _handle(self, handler: Callable[[MemoryLink], object], link: MemoryLink) -> None:
        await handler(link)  # type: ignore[misc]
        await link.stream.aclose()

    @asynccontextmanager
    async def dial(self, address: Address) -> AsyncIterator[MemoryLink]:
        self.net.dials.append(str(address))
        host = self.net.hosts.get(address.bare())
        if host is None or host.peer in self.net.unreachable or (address.peer not in (None, host.peer)):
            raise LinkError("nothing listens there")
        mine, theirs = link_pair(self.peer, host.peer, str(address.bare()))
        theirs.address = str(replace(self.listen, port=40_000))
        mine.owner, theirs.owner = self.peer, host.peer
        self.net.links += [mine, theirs]
        await host.incoming.send(theirs)
        try:
            yield mine
        finally:
            await trio.aclose_forcefully(mine.stream)

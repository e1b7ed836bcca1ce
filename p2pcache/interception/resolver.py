"""The address of a name of GitHub's past the hosts file, in which a line of ours may lead that name to this machine.

The servers of resolv.conf are asked, but for systemd-resolved's, which answers from the hosts file too: the servers
behind it are asked instead (systemd-resolved(8), ``/run/systemd/resolve/resolv.conf``). Where none answers, the
addresses count that the name had before it was led.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from p2pcache.interception import hosts_file

RESOLV_CONF = Path("/etc/resolv.conf")
BEHIND_STUB = Path("/run/systemd/resolve/resolv.conf")
STUBS = frozenset({"127.0.0.53", "127.0.0.54"})
SECONDS = 3.0
REMEMBERED_SECONDS = 60.0
MOST_ADDRESSES = 8

Find = Callable[[str, tuple[str, ...]], Awaitable[list[str]]]


def name_servers(resolv_conf: Path = RESOLV_CONF, behind_stub: Path = BEHIND_STUB) -> list[str]:
    """Return the servers to ask, those behind systemd-resolved's own address in its place."""
    servers = _servers(resolv_conf)
    if STUBS.isdisjoint(servers):
        return servers
    return [server for server in _servers(behind_stub) if server not in STUBS]


class RealAddresses:
    """`real_addresses` of a name, remembered for a minute: connections come in bursts."""

    def __init__(self, name: str, seen: tuple[str, ...], find: Find | None = None) -> None:
        self._name = name
        self._seen = seen
        self._find = find or real_addresses
        self._found: list[str] = []
        self._until = 0.0
        self._asking = asyncio.Lock()

    async def __call__(self) -> list[str]:
        """Return them."""
        async with self._asking:
            if time.monotonic() >= self._until:
                self._found = await self._find(self._name, self._seen)
                self._until = time.monotonic() + (REMEMBERED_SECONDS if self._found else 0.0)
        return self._found


async def real_addresses(
    name: str, seen: tuple[str, ...], servers: list[str] | None = None, *, port: int = 53, seconds: float = SECONDS
) -> list[str]:
    """Return the addresses of `name` outside this machine: as DNS has them, else those `seen` before.

    Args:
        name: a host.
        seen: its addresses before it was led here.
        servers: the addresses of name servers, those of this machine by default.
        port: of theirs.
        seconds: until they count as silent.
    """
    asked = await asyncio.gather(*(_asked(name, kind, servers, port, seconds) for kind in ("A", "AAAA")))
    found = [address for answer in asked for address in answer if is_elsewhere(address)]
    return (found or [address for address in seen if is_elsewhere(address)])[:MOST_ADDRESSES]


async def _asked(name: str, kind: str, servers: list[str] | None, port: int, seconds: float) -> list[str]:
    import dns.asyncresolver
    import dns.exception

    resolver = dns.asyncresolver.Resolver(configure=False)
    try:
        resolver.nameservers = name_servers() if servers is None else servers
        resolver.port = port
        answer = await resolver.resolve(f"{name}.", kind, lifetime=seconds, search=False)
        return [record.address for record in answer]
    except (dns.exception.DNSException, OSError, ValueError):
        return []


def _servers(path: Path) -> list[str]:
    try:
        lines = path.read_text("ascii", "replace").splitlines()
    except OSError:
        return []
    fields = (line.split() for line in lines)
    return [each[1] for each in fields if len(each) > 1 and each[0] == "nameserver" and _address(each[1])]


def is_elsewhere(address: str) -> bool:
    """Return whether this is an address, and not of this machine's loopback."""
    found = _address(address)
    return found is not None and not (found.is_loopback or found.is_unspecified)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


class PastHostsFile(AbstractResolver):
    """Resolves for the node: the system's resolver, but for names that a line of ours leads to this machine."""

    def __init__(self, hosts: Path = hosts_file.HOSTS, find: Find | None = None) -> None:
        self._system = aiohttp.ThreadedResolver()
        self._hosts = hosts
        self._find = find or real_addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return where `host` is.

        Raises:
            OSError: it has no address.
        """
        line = next((line for line in hosts_file.led(self._hosts) if line.name == host.lower()), None)
        if line is None:
            return await self._system.resolve(host, port, family)
        found = [each for each in await self._find(host, line.seen) if family in (socket.AF_UNSPEC, _family(each))]
        if not found:
            raise OSError(None, f"{host} is led to this machine by p2pcache, and no name server says where it is")
        return [
            ResolveResult(
                hostname=host, host=each, port=port, family=_family(each), proto=0, flags=socket.AI_NUMERICHOST
            )
            for each in found
        ]

    async def close(self) -> None:
        """Let go of the system's resolver."""
        await self._system.close()


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET

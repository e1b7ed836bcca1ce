"""A name server on the loopback, in the test's own loop: UDP, and answers that the test chooses."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class NameServer(asyncio.DatagramProtocol):
    """Answers with `addresses` by name; with nothing where it is `silent`.

    Attributes:
        asked: (name, kind) of each question.
    """

    def __init__(self, addresses: Mapping[str, list[str]], *, silent: bool = False) -> None:
        self.addresses = dict(addresses)
        self.silent = silent
        self.asked: list[tuple[str, str]] = []
        self.port = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        (question,) = query.question
        kind = dns.rdatatype.to_text(question.rdtype)
        name = str(question.name).rstrip(".")
        self.asked.append((name, kind))
        if self.silent:
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if name not in self.addresses:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif found := [each for each in self.addresses[name] if (":" in each) == (kind == "AAAA")]:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *found))
        self._transport.sendto(answer.to_wire(), addr)


@contextlib.asynccontextmanager
async def name_server(addresses: Mapping[str, list[str]], *, silent: bool = False) -> AsyncIterator[NameServer]:
    """Give a server that runs."""
    server = NameServer(addresses, silent=silent)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: server, local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()

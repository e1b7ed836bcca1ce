"""Connections to other machines: to a name's real address, and through the proxy that a job has already."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import aiohappyeyeballs

from p2pcache.interception import connect_head, tunnel
from p2pcache.interception.connect_head import Target
from p2pcache.proxies import Proxies

CONNECT_SECONDS = 20.0
NEXT_ADDRESS_SECONDS = 0.25
"""RFC 8305 section 5: when the next address is tried beside one that does not answer."""


class DialError(OSError):
    """What is asked for cannot be connected to; the message says why, in one line."""


async def direct(addresses: Sequence[str], port: int) -> socket.socket:
    """Connect to the first of several addresses that answers.

    Raises:
        DialError: none does.
    """
    infos = [_info(address, port) for address in addresses]
    if not infos:
        raise DialError("no name server says where it is")
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            connected = await aiohappyeyeballs.start_connection(infos, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS)
    except TimeoutError:
        raise DialError("it does not answer") from None
    tunnel.keep_alive(connected)
    return connected


async def through_proxy(target: Target, proxies: Proxies) -> socket.socket:
    """Connect to a target as this process's environment has it: through its proxy for https, or directly.

    Raises:
        DialError: it cannot be reached, or the proxy refuses.
    """
    proxy = proxies.of(f"https://{target}")
    if proxy.url is None:
        return await direct(await _resolved(target.host, target.port), target.port)
    if proxy.url.scheme != "http":
        raise DialError("this job's own proxy is reached by https, which is not chained")
    host, port = proxy.url.host or "", proxy.url.port or 80
    connected = await direct(await _resolved(host, port), port)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await _ask(connected, connect_head.request(target, dict(proxy.headers)))
    except BaseException as error:
        connected.close()
        if isinstance(error, TimeoutError):
            raise DialError("this job's own proxy does not answer") from None
        raise
    return connected


async def _ask(connected: socket.socket, request: bytes) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connected, request)
    head = b""
    while not head.endswith(connect_head.END):  # byte by byte: what follows is the tunnel's
        piece = await loop.sock_recv(connected, 1)
        if not piece or len(head) >= connect_head.MOST:
            raise DialError("this job's own proxy broke off")
        head += piece
    if not connect_head.is_established(head):
        status = head.split(b"\r\n")[0].decode("latin-1")
        raise DialError(f"this job's own proxy refused: {''.join(c for c in status if c.isprintable())[:80]}")


async def _resolved(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise DialError(f"{host}: {error.strerror}") from None
    return [str(address[0]) for *_, address in found]


def _info(address: str, port: int) -> aiohappyeyeballs.AddrInfoType:
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)

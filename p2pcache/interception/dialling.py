"""Connections to other machines: to a name's real address, and through the proxy that a job has already."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import aiohappyeyeballs

from p2pcache.interception import connect_head, tunnel
from p2pcache.interception.connect_head import TunnelTarget
from p2pcache.proxies import Proxies

CONNECT_SECONDS = 20.0
NEXT_ADDRESS_SECONDS = 0.25
"""RFC 8305 section 5: when the next address is tried beside one that does not answer."""


class DialError(OSError):
    """What is asked for cannot be connected to; the message says why, in one line."""


async def direct(addresses: Sequence[str], port: int, seconds: float = CONNECT_SECONDS) -> socket.socket:
    """Connect to the first of several addresses that answers.

    Args:
        addresses: of one host.
        port: the same at each.
        seconds: until none of them counts as answering.

    Raises:
        DialError: none does.
    """
    infos = [_info(address, port) for address in addresses]
    if not infos:
        raise DialError("no name server says where it is")
    try:
        async with asyncio.timeout(seconds):
            connected = await aiohappyeyeballs.start_connection(infos, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS)
    except TimeoutError:
        raise DialError("it does not answer") from None
    except OSError as error:
        raise DialError(_printable(error.strerror or str(error))) from None
    try:
        tunnel.keep_alive(connected)
    except OSError as error:
        connected.close()
        raise DialError(error.strerror) from None
    return connected


async def through_proxy(target: TunnelTarget, proxies: Proxies, seconds: float = CONNECT_SECONDS) -> socket.socket:
    """Connect to a target as this process's environment has it: through its proxy for https, or directly.

    Args:
        target: what is asked for.
        proxies: of this process.
        seconds: for each step.

    Raises:
        DialError: it cannot be reached, or the proxy refuses.
    """
    proxy = proxies.of(f"https://{target}")
    if proxy.url is None:
        return await direct(await _resolved(target.host, target.port, seconds), target.port, seconds)
    if proxy.url.scheme != "http":
        raise DialError("this job's own proxy is reached by https, which is not chained")
    host, port = proxy.url.host or "", proxy.url.port or 80
    connected = await direct(await _resolved(host, port, seconds), port, seconds)
    try:
        async with asyncio.timeout(seconds):
            await _ask(connected, connect_head.request(target, dict(proxy.headers)))
    except BaseException as error:
        connected.close()
        if isinstance(error, TimeoutError):
            raise DialError("this job's own proxy does not answer") from None
        if isinstance(error, OSError) and not isinstance(error, DialError):
            raise DialError("this job's own proxy broke off") from None
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
        raise DialError(f"this job's own proxy refused: {_printable(status)}")


def _printable(text: str) -> str:
    return "".join(c for c in text if c.isprintable())[:80]


async def _resolved(host: str, port: int, seconds: float) -> list[str]:
    try:
        async with asyncio.timeout(seconds):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise DialError(f"no name server says where {host} is") from None
    except (OSError, UnicodeError) as error:  # a label that is too long is no host
        raise DialError(f"{host}: {getattr(error, 'strerror', None) or 'no such host'}") from None
    return [str(address[0]) for *_, address in found]


def _info(address: str, port: int) -> aiohappyeyeballs.AddrInfoType:
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)

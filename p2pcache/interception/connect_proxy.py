"""A proxy for one step's own clients (``HTTPS_PROXY``): tunnels for this user, and the same look for the API's names.

It is open to no other user: a proxy that this job has lends its password to whoever is let through to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping

from p2pcache.interception import connect_head, dialling
from p2pcache.interception.client_hello import NotTlsError
from p2pcache.interception.connect_head import TunnelTarget
from p2pcache.interception.interceptor import Dial, Interceptor, ends
from p2pcache.interception.peeking import PEEKED, peeked
from p2pcache.interception.socket_owner import owner
from p2pcache.proxies import Proxies

HEAD_SECONDS = 20.0
HTTPS = 443
_HERE = frozenset({"127.0.0.1", "localhost", "::1", "0.0.0.0"})  # noqa: S104 - compared, not bound


class ConnectProxy:
    """Serves CONNECT to one user.

    Args:
        interceptor: for connections to the API.
        dials: how the API's names are reached, by name.
        user: the only one who is served.
        seconds: for a client to say what it wants.
    """

    def __init__(
        self, interceptor: Interceptor, dials: Mapping[str, Dial], user: int, seconds: float = HEAD_SECONDS
    ) -> None:
        self._user = user
        self._seconds = seconds
        self._interceptor = interceptor
        self._dials = dials
        self._proxies = Proxies()

    async def serve(self, connection: socket.socket) -> None:
        """Serve one connection.

        Raises:
            OSError: the client broke off.
        """
        loop = asyncio.get_running_loop()
        try:
            head = await peeked(connection, _whole_head, self._seconds)
        except (NotTlsError, TimeoutError):
            await _refuse(connection, 400, "only CONNECT is served here")
            return
        await loop.sock_recv(connection, len(head))
        target = connect_head.parse(head)
        if target is None:
            await _refuse(connection, 405, "only CONNECT is served here: name this address in HTTPS_PROXY alone")
        elif not self._is_served(connection):
            await _refuse(connection, 403, "this proxy serves the user of its job alone")
        elif target.port == ends(connection)[1][1] and target.host in _HERE:
            await _refuse(connection, 403, "this proxy leads to itself nowhere")
        elif target.port == HTTPS and target.host in self._dials:
            await loop.sock_sendall(connection, connect_head.ESTABLISHED)
            await self._interceptor.serve(connection, target.host, self._dials[target.host])
        else:
            await self._tunnel(connection, target)

    def _is_served(self, connection: socket.socket) -> bool:
        try:
            return owner(*ends(connection)).user == self._user
        except (OSError, ValueError):
            return False

    async def _tunnel(self, connection: socket.socket, target: TunnelTarget) -> None:
        try:
            server = await dialling.through_proxy(target, self._proxies)
        except OSError as error:
            await _refuse(connection, 502, f"{target} cannot be reached ({error.strerror or error})")
            return
        try:
            await asyncio.get_running_loop().sock_sendall(connection, connect_head.ESTABLISHED)
        except BaseException:
            server.close()
            raise
        await self._interceptor.tunnel(connection, server)


def _whole_head(data: bytes) -> bytes | None:
    end = data.find(connect_head.END, 0, connect_head.MOST)
    if end < 0 and len(data) >= connect_head.MOST:
        raise NotTlsError("the head is too long")
    return None if end < 0 else data[: end + len(connect_head.END)]


async def _refuse(connection: socket.socket, status: int, reason: str) -> None:
    with contextlib.suppress(BlockingIOError):
        connection.recv(PEEKED)  # what stays unread would have the system break off, and the answer with it
    await asyncio.get_running_loop().sock_sendall(connection, connect_head.answer(status, reason))
    connection.close()

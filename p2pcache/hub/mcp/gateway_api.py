"""The hub's own gateway, asked in process: scopes, quota, ledger and lifetimes are those of any client."""

from __future__ import annotations

import asyncio
from typing import Any

from p2pcache.gateway.control import FORWARDED
from p2pcache.gateway.exchange import Application, Disconnected, Exchange, Message
from p2pcache.gateway.routing import CONTROL_PREFIX, Upstreams
from p2pcache.hub.mcp.node_api import FIELDS, MAX_ANSWER, ApiAnswer, ApiError, too_large, upstream_address

CONTROL_FIELD = "p2pcache-control-token"
"""Where an MCP client sends the control token: its ``Authorization`` is for GitHub."""


class GatewayApi:
    """The gateway for one caller.

    Args:
        gateway: the ASGI application.
        upstreams: its upstream.
        authorization: what GitHub is asked with; None: nothing.
        caller: the MCP request, of which the control endpoints see what they decide by.
    """

    def __init__(self, gateway: Application, upstreams: Upstreams, authorization: str | None, caller: Exchange) -> None:
        self._gateway = gateway
        self._host, self._prefix = upstream_address(upstreams)
        self._authorization = authorization
        self._caller = caller

    @property
    def authorised(self) -> bool:
        """Whether requests to GitHub carry a credential."""
        return self._authorization is not None

    async def github(self, target: str, body: bytes | None = None) -> ApiAnswer:
        """Ask GitHub's API; see `NodeApi`."""
        fields = {"host": self._host, **FIELDS}
        if self._authorization is not None:
            fields["authorization"] = self._authorization
        return await self._ask(self._prefix + target, fields, body, None, {})

    async def control(self, target: str, body: bytes | None = None) -> ApiAnswer:
        """Ask a control endpoint as the MCP client itself would; see `NodeApi`."""
        caller = self._caller
        fields = {name: caller.headers[name] for name in ("origin", *FORWARDED) if name in caller.headers}
        if token := caller.headers.get(CONTROL_FIELD):
            fields["authorization"] = f"Bearer {token}"
        if not target.startswith(CONTROL_PREFIX):
            raise ApiError("that is no control endpoint")
        extensions = {"own_user": caller.own_user}
        return await self._ask(target, {"host": caller.host, **fields}, body, caller.client, extensions)

    async def _ask(
        self,
        target: str,
        fields: dict[str, str],
        body: bytes | None,
        client: tuple[str, int] | None,
        extensions: dict[str, Any],
    ) -> ApiAnswer:
        path, _, query = target.partition("?")
        if body is not None:
            fields |= {"content-type": "application/json", "content-length": str(len(body))}
        scope = {
            "type": "http",
            "scheme": self._caller.scheme,
            "http_version": "1.1",
            "method": "GET" if body is None else "POST",
            "raw_path": path.encode("ascii"),
            "query_string": query.encode("ascii"),
            "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
            "client": client,
            "extensions": extensions,
        }
        gathered = _Gathered(body or b"")
        await self._gateway(scope, gathered.receive, gathered.send)
        return gathered.answer()


class _Gathered:
    """The other side of an ASGI call: gives the request's body, and gathers the answer."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._status = 0
        self._headers: dict[str, str] = {}
        self._gathered = bytearray()
        self._large = False

    async def receive(self) -> Message:
        if self._body is None:
            await asyncio.Event().wait()  # this client never goes away: its task is cancelled
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            for name, value in message["headers"]:
                key, text = name.decode("latin-1"), value.decode("utf-8", "replace")
                self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text
            return
        self._gathered += message.get("body", b"")
        if len(self._gathered) > MAX_ANSWER:
            self._large = True
            raise Disconnected

    def answer(self) -> ApiAnswer:
        if self._large:
            raise too_large()
        if not self._status:
            raise ApiError("the node did not answer")
        return ApiAnswer(self._status, self._headers, bytes(self._gathered))

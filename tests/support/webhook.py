"""A webhook as GitHub finds it, without a node around it: what it drops, counts and answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from p2pcache.gateway.exchange import BadRequest, Exchange
from p2pcache.hub.webhook import Webhook
from tests.support.deliveries import signed

SECRET = "It's a Secret to Everybody"
PUSH = json.dumps({"repository": {"full_name": "octo/app", "id": 7}}).encode()


def signature(body: bytes, secret: str = SECRET) -> str:
    return signed(body, secret)


class Hook:
    """A webhook, what it dropped and how it counted."""

    def __init__(self, *secrets: str, host: str = "api.github.com") -> None:
        self.dropped: list[tuple[str, ...]] = []
        self.counted: list[str] = []
        self.reads = 0
        self.ids = 0
        self.gate = asyncio.Event()
        self.came = asyncio.Event()
        self.called = asyncio.Event()
        self.gate.set()
        self.hook = Webhook([s.encode() for s in secrets or (SECRET,)], host, self.wrote, self.counted.append)

    async def wrote(self, topics: tuple[str, ...]) -> None:
        self.called.set()
        await self.gate.wait()
        self.dropped.append(topics)
        self.came.set()

    async def until(self, drops: int) -> None:
        """Wait for so many drops."""
        async with asyncio.timeout(10):
            while len(self.dropped) < drops:
                self.came.clear()
                await self.came.wait()

    async def deliver(
        self, body: bytes | list[bytes] = PUSH, event: str = "push", announced: int | None = -1, **fields: str | None
    ) -> tuple[int, dict[str, str]]:
        pieces = [body] if isinstance(body, bytes) else body
        whole = b"".join(pieces)
        self.ids += 1
        headers = {
            "host": "127.0.0.1:1",
            "content-type": "application/json",
            "x-github-event": event,
            "x-github-delivery": f"72d3162e-cc78-11e3-81ab-{self.ids:012}",
            "x-hub-signature-256": signature(whole),
            **{name.replace("_", "-"): value for name, value in fields.items()},
        }
        if announced is not None:
            headers["content-length"] = str(len(whole) if announced < 0 else announced)
        else:
            headers["transfer-encoding"] = "chunked"
        lines = [(name.encode(), value.encode()) for name, value in headers.items() if value is not None]
        sent: list[MutableMapping[str, Any]] = []
        left = [*pieces]

        async def receive() -> dict[str, Any]:
            self.reads += 1
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        scope = {
            "method": "POST",
            "raw_path": b"/-/webhook",
            "query_string": b"",
            "headers": lines,
            "client": ("192.0.2.1", 1),
            "http_version": "1.1",
        }
        await self.hook.answer(Exchange(scope, receive, send))
        return sent[0]["status"], json.loads(sent[1]["body"])

    async def refused(self, *args: Any, **fields: Any) -> tuple[int, str]:
        with pytest.raises(BadRequest) as refused:
            await self.deliver(*args, **fields)
        assert self.dropped == []
        return refused.value.status, str(refused.value)

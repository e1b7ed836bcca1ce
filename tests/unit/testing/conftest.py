from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from p2pcache.testing import StandIn


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Reply:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Client:
    """Sends exactly the headers it is given, and follows nothing."""

    github: StandIn
    session: aiohttp.ClientSession
    default: dict[str, str] = field(default_factory=dict)

    async def send(self, method: str, target: str, token: str | None = None, json: Any = None, **headers: str) -> Reply:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"token {token}"
        async with self.session.request(
            method,
            self.github.url + target,
            headers=sent,
            json=json,
            allow_redirects=False,
            skip_auto_headers=["User-Agent", "Accept", "Accept-Encoding"],
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, target: str, token: str | None = None, **headers: str) -> Reply:
        return await self.send("GET", target, token, **headers)

    async def graphql(self, token: str | None, query: str, **variables: Any) -> Reply:
        return await self.send("POST", "/graphql", token, json={"query": query, "variables": variables})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def github(clock: Clock) -> AsyncIterator[StandIn]:
    async with StandIn(clock=clock) as github:
        github.repository("octo/app", issues=45, pulls=0)
        github.repository("octo/vault", private=True)
        github.token("ghs_1", repos=["octo/app"])
        yield github


@pytest.fixture
async def client(github: StandIn) -> AsyncIterator[Client]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        yield Client(github, session)

"""Two halves of a swarm in network namespaces, and the cable between them pulled: both go on, and make it up after."""

import asyncio
import itertools
import json
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from tests.support.fleet import Answer, Fleet, Member, until
from tests.support.processes import GitHub
from tests.support.relay import Relay

pytestmark = [pytest.mark.xdist_group("fleet"), pytest.mark.needs("netns")]


NUMBERS = itertools.count()
GITHUB = "10.232.8.1"
"""The same address for both halves: what is kept of one upstream means nothing at another."""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Halves:
    """Two namespaces: each has a cable to GitHub, which is outside, and there is one between them."""

    def __init__(self) -> None:
        tag = f"{os.getpid() % 10_000}x{next(NUMBERS)}"
        self.names = [f"fleet{tag}a", f"fleet{tag}b"]
        self._outside = [f"f{tag}a", f"f{tag}b"]

    def make(self) -> None:
        for name in self.names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        one, other = self.names
        ip("link", "add", "between", "netns", one, "type", "veth", "peer", "name", "between", "netns", other)
        for number, (name, outside) in enumerate(zip(self.names, self._outside, strict=True), 1):
            ip("link", "add", outside, "type", "veth", "peer", "name", "github", "netns", name)
            ip("addr", "add", f"10.232.{number}.1/24", "dev", outside)
            ip("link", "set", outside, "up")
            ip("-n", name, "addr", "add", f"10.232.{number}.2/24", "dev", "github")
            ip("-n", name, "addr", "add", f"10.232.9.{number}/24", "dev", "between")
            for device in ("github", "between"):
                ip("-n", name, "link", "set", device, "up")
            ip("-n", name, "route", "add", GITHUB, "via", f"10.232.{number}.1")
        ip("addr", "add", f"{GITHUB}/32", "dev", self._outside[0])

    def cut(self) -> None:
        ip("-n", self.names[0], "link", "set", "between", "down")

    def heal(self) -> None:
        ip("-n", self.names[0], "link", "set", "between", "up")

    def remove(self) -> None:
        for what in (
            *(("link", "del", outside) for outside in self._outside),
            *(("netns", "del", n) for n in self.names),
        ):
            subprocess.run(["ip", *what], check=False, capture_output=True)


@pytest.fixture
def halves() -> Iterator[Halves]:
    halves = Halves()
    try:
        halves.make()
        yield halves
    finally:
        halves.remove()


@pytest.fixture
async def pair(
    halves: Halves, fleet: Fleet, github: GitHub, tokens: list[str]
) -> AsyncIterator[Callable[..., Awaitable[tuple[Member, Member]]]]:
    """Start a member in each half, connected; the function takes the lifetime of answers in seconds."""
    port = int(github.url.rpartition(":")[2])
    async with Relay(port, GITHUB) as outside:

        async def start(number: int, lifetime: int, *flags: str) -> Member:
            where = {"listen": f"/ip4/10.232.9.{number}/tcp/9000", "inside": halves.names[number - 1]}
            upstream = f"http://{GITHUB}:{outside.port}"
            name, token = halves.names[number - 1], tokens[number]
            member = fleet.start(name, *flags, token=token, upstream=upstream, CACHE_TTL=str(lifetime), **where)
            return await member.until_ready()

        async def both(lifetime: int) -> tuple[Member, Member]:
            one = await start(1, lifetime)
            other = await start(2, lifetime, "--bootstrap", "/ip4/10.232.9.1/tcp/9000")
            await other.until_connected(one)
            return one, other

        yield both


def title(answer: Answer) -> str:
    title: str = json.loads(answer.body)["title"]
    return title


@pytest.mark.timeout(120)
async def test_both_halves_go_on_and_a_write_is_learned_when_they_meet_again(
    pair: Callable[..., Awaitable[tuple[Member, Member]]], halves: Halves, github: GitHub
) -> None:
    one, other = await pair(600)
    target = "/repos/octo/app/issues/7"
    before = await one.get(target)

    async def shared() -> bool:
        return (await other.get(target)).body == before.body and (await other.stats())["hits"]["memory"] > 0

    async def apart() -> bool:
        return not await one.peers() and not await other.peers()

    async def learned() -> bool:
        return title(await other.get(target)) == "Apart"

    await until(shared, "the answer in both halves")
    halves.cut()
    assert (await one.send("PATCH", target, body={"title": "Apart"})).status == 200
    await until(apart, "the cut noticed")
    github.order("reset-calls")
    for member in (one, other):
        assert (await member.get("/repos/octo/app/labels")).status == 200
    assert len(github.calls("/repos/octo/app/labels")) == 2
    assert title(await other.get(target)) == title(before)  # within its lifetime: nobody could tell
    halves.heal()
    await other.until_connected(one)
    await until(learned, "the write learned after the halves met")


@pytest.mark.timeout(120)
async def test_apart_no_answer_is_served_beyond_its_lifetime(
    pair: Callable[..., Awaitable[tuple[Member, Member]]], halves: Halves
) -> None:
    one, other = await pair(1)
    target = "/repos/octo/app/issues/8"
    halves.cut()
    await other.get(target)
    loop = asyncio.get_running_loop()
    proved = loop.time()
    assert (await one.send("PATCH", target, body={"title": "Later"})).status == 200
    while (asked := loop.time()) and title(await other.get(target)) != "Later":
        assert asked < proved + 1

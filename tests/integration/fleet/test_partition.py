"""Two halves of a swarm in network namespaces, and the cable between them pulled: both go on, and make it up after."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from tests.support.fleet import Answer, Fleet, Member, until
from tests.support.namespaces import Namespace
from tests.support.processes import GitHub
from tests.support.relay import Relay

pytestmark = pytest.mark.needs("netns")


GITHUB = "10.232.8.1"
"""The same address for both halves: what is kept of one upstream means nothing at another."""


class Halves:
    """Two namespaces: each has a cable to GitHub, which is outside, and there is one between them."""

    def __init__(self, outside: Namespace, one: Namespace, other: Namespace) -> None:
        self.outside = outside
        self.paths = [str(one.path), str(other.path)]
        self._one = one
        one.cable("between", "10.232.9.1/24", other, "between", "10.232.9.2/24")
        outside.ip("addr", "add", f"{GITHUB}/32", "dev", "lo")
        for number, half in enumerate((one, other), 1):
            outside.cable(f"half{number}", f"10.232.{number}.1/24", half, "github", f"10.232.{number}.2/24")
            half.ip("route", "add", GITHUB, "via", f"10.232.{number}.1")

    def cut(self) -> None:
        self._one.ip("link", "set", "between", "down")

    def heal(self) -> None:
        self._one.ip("link", "set", "between", "up")


@pytest.fixture
def halves() -> Iterator[Halves]:
    with Namespace() as outside, Namespace() as one, Namespace() as other:
        yield Halves(outside, one, other)


@pytest.fixture
async def pair(
    halves: Halves, fleet: Fleet, github: GitHub, tokens: list[str]
) -> AsyncIterator[Callable[..., Awaitable[tuple[Member, Member]]]]:
    """Start a member in each half, connected; the function takes the lifetime of answers in seconds."""
    port = int(github.url.rpartition(":")[2])
    async with Relay(port, halves.outside.listen(GITHUB)) as outside:

        async def start(number: int, lifetime: int, *flags: str) -> Member:
            where = {"listen": f"/ip4/10.232.9.{number}/tcp/9000", "inside": halves.paths[number - 1]}
            upstream = f"http://{GITHUB}:{outside.port}"
            options = {"token": tokens[number], "upstream": upstream, "CACHE_TTL": str(lifetime)}
            member = fleet.start(f"half{number}", *flags, **options, **where)
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
    while (asked := loop.time()) and title(answer := await other.get(target)) != "Later":
        # A machine so busy that GitHub seems not to answer is served what is stale, which is then said.
        assert asked < proved + 1 or "ttl=-" in answer.headers["cache-status"]

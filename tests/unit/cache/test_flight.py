from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from p2pcache.cache.flight import Flights, Landed


class Upstream:
    """Work that ends when the test says so; counts how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.began = asyncio.Event()
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> str:
        self.begun += 1
        self.began.set()
        return await asyncio.shield(self.answer)


def started(flights: Flights[str], key: str, work: Callable[[], Awaitable[str]]) -> asyncio.Task[Landed[str]]:
    return asyncio.create_task(flights.run(key, work))


@pytest.fixture
def flights() -> Flights[str]:
    return Flights(patience=30)


async def test_one_works_and_all_have_the_value(flights: Flights[str]) -> None:
    upstream = Upstream()
    tasks = [started(flights, "key", upstream) for _ in range(20)]
    await upstream.began.wait()
    upstream.answer.set_result("body")
    landed = await asyncio.gather(*tasks)
    assert upstream.begun == 1
    assert {each.value for each in landed} == {"body"}
    assert [each.led for each in landed] == [True] + [False] * 19
    assert len(flights) == 0


async def test_a_value_may_be_none() -> None:
    flights: Flights[None] = Flights(patience=30)
    gate = asyncio.Event()

    async def work() -> None:
        await gate.wait()

    async def must_not_work() -> None:
        raise AssertionError

    leader = asyncio.create_task(flights.run("key", work))
    await asyncio.sleep(0)
    follower = asyncio.create_task(flights.run("key", must_not_work))
    await asyncio.sleep(0)
    gate.set()
    assert await leader == Landed(None, led=True)
    assert await follower == Landed(None, led=False)


async def test_keys_do_not_wait_for_one_another(flights: Flights[str]) -> None:
    slow, quick = Upstream(), Upstream()
    leader = started(flights, "slow", slow)
    quick.answer.set_result("quick")
    assert (await flights.run("quick", quick)).value == "quick"
    slow.answer.set_result("slow")
    assert (await leader).value == "slow"


async def test_the_next_call_works_again(flights: Flights[str]) -> None:
    upstream = Upstream()
    upstream.answer.set_result("body")
    await flights.run("key", upstream)
    assert (await flights.run("key", upstream)).led
    assert upstream.begun == 2


async def test_a_leader_fails_alone(flights: Flights[str]) -> None:
    failing, upstream = Upstream(), Upstream()
    leader = started(flights, "key", failing)
    await failing.began.wait()
    followers = [started(flights, "key", upstream) for _ in range(5)]
    await asyncio.sleep(0)
    failing.answer.set_exception(ConnectionError("refused"))
    with pytest.raises(ConnectionError):
        await leader
    await upstream.began.wait()
    upstream.answer.set_result("body")
    landed = await asyncio.gather(*followers)
    assert [each.value for each in landed] == ["body"] * 5
    assert sum(each.led for each in landed) == 1
    assert upstream.begun == 1


async def test_a_leader_is_cancelled_alone(flights: Flights[str]) -> None:
    hanging, upstream = Upstream(), Upstream()
    leader = started(flights, "key", hanging)
    await hanging.began.wait()
    followers = [started(flights, "key", upstream) for _ in range(3)]
    await asyncio.sleep(0)
    leader.cancel()
    await upstream.began.wait()
    upstream.answer.set_result("body")
    assert [each.value for each in await asyncio.gather(*followers)] == ["body"] * 3
    with pytest.raises(asyncio.CancelledError):
        await leader
    assert (upstream.begun, len(flights)) == (1, 0)


async def test_a_follower_is_cancelled_alone(flights: Flights[str]) -> None:
    upstream = Upstream()
    leader, follower, other = (started(flights, "key", upstream) for _ in range(3))
    await upstream.began.wait()
    follower.cancel()
    with pytest.raises(asyncio.CancelledError):
        await follower
    upstream.answer.set_result("body")
    assert (await leader).value == (await other).value == "body"


async def test_a_follower_out_of_patience_works_by_itself() -> None:
    flights: Flights[str] = Flights(patience=0.02)
    hanging, upstream = Upstream(), Upstream()
    leader = started(flights, "key", hanging)
    await hanging.began.wait()
    upstream.answer.set_result("own")
    assert await flights.run("key", upstream) == Landed("own", led=True)
    hanging.answer.set_result("late")
    assert (await leader).value == "late"
    assert len(flights) == 0


async def test_patience_covers_one_failing_leader_after_another() -> None:
    flights: Flights[str] = Flights(patience=0.05)
    works = [Upstream() for _ in range(3)]
    leaders = [started(flights, "key", works[0])]
    await works[0].began.wait()
    leaders.append(started(flights, "key", works[1]))
    own = Upstream()
    own.answer.set_result("own")
    patient = started(flights, "key", own)
    await asyncio.sleep(0)
    works[0].answer.set_exception(ConnectionError())
    await works[1].began.wait()
    assert await patient == Landed("own", led=True)
    works[1].answer.set_result("late")
    assert isinstance((await asyncio.gather(*leaders, return_exceptions=True))[0], ConnectionError)


async def test_keys_in_flight_are_bounded() -> None:
    flights: Flights[str] = Flights(patience=30, limit=2)
    upstream = Upstream()
    tasks = [started(flights, key, upstream) for key in "aabbcc"]
    await upstream.began.wait()
    await asyncio.sleep(0)
    assert len(flights) == 2
    assert upstream.begun == 4
    upstream.answer.set_result("body")
    assert [each.led for each in await asyncio.gather(*tasks)] == [True, False, True, False, True, True]
    assert len(flights) == 0

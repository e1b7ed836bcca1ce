"""What a sender may take of a webhook, and what of deliveries may fail."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from p2pcache.gateway.exchange import BadRequest, Disconnected, Exchange
from p2pcache.hub import webhook
from p2pcache.hub.webhook import ALWAYS_KEPT, MAX_BODY, MAX_HELD, MAX_KEPT, MAX_PENDING, MAX_SEEN
from tests.support.webhook import PUSH, Hook, signature


async def test_what_is_remembered_is_bounded() -> None:
    hook = Hook()
    for number in range(MAX_SEEN + 1):
        hook.hook._seen[b"%d" % number] = None
    assert len(hook.hook._seen) == MAX_SEEN


async def test_a_body_beyond_the_bound_is_refused_unread_where_it_is_announced() -> None:
    hook = Hook()
    assert (await hook.refused([b"x"], announced=MAX_BODY + 1))[0] == 413
    assert hook.reads == 0


async def test_a_body_beyond_the_bound_is_refused_where_it_is_not_announced() -> None:
    hook = Hook()
    assert (await hook.refused([b"x" * (1 << 20)] * 40, announced=None))[0] == 413
    assert hook.reads == (MAX_BODY >> 20) + 1
    assert hook.hook._room.held == 0


async def test_a_signed_body_too_large_to_be_kept_drops_everything() -> None:
    hook = Hook()
    pieces = [PUSH, *[b" " * (1 << 20)] * 5]
    assert (await hook.deliver(pieces))[1] == {"status": "dropped", "event": "push"}
    assert hook.dropped == [("all",)]
    assert hook.hook._room.held == 0


async def test_a_body_larger_than_what_is_kept_is_never_held() -> None:
    hook = Hook()
    with pytest.raises(BadRequest):
        await hook.deliver([b" " * (1 << 20)] * 25, x_hub_signature_256=signature(b""))
    assert hook.hook._room.held == 0
    assert MAX_KEPT < MAX_HELD < 2 * MAX_BODY


@pytest.mark.parametrize(("size", "everything"), [(0, False), (ALWAYS_KEPT, True)])
async def test_while_others_take_all_the_room_a_large_signed_body_drops_everything(size: int, everything: bool) -> None:
    hook = Hook()
    hook.hook._room.held = MAX_HELD
    await hook.deliver([PUSH, b" " * size])
    assert (hook.dropped == [("all",)]) is everything
    assert hook.hook._room.held == MAX_HELD


async def test_a_body_shorter_than_announced_drops_nothing() -> None:
    hook = Hook()
    with pytest.raises(Disconnected):
        await hook.deliver(announced=len(PUSH) + 1)
    assert hook.dropped == []
    assert hook.hook._room.held == 0


async def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "SECONDS", 0.01)
    hook = Hook()

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError

    scope = {
        "method": "POST",
        "raw_path": b"/-/webhook",
        "query_string": b"",
        "headers": [
            (b"content-length", b"9"),
            (b"content-type", b"application/json"),
            (b"x-hub-signature-256", signature(PUSH).encode()),
        ],
        "http_version": "1.1",
    }
    with pytest.raises(BadRequest) as refused:
        await hook.hook.answer(Exchange(scope, receive, lambda _: asyncio.sleep(0)))
    assert refused.value.status == 408


async def test_deliveries_of_a_moment_are_dropped_together() -> None:
    hook = Hook()
    hook.gate.clear()
    bodies = [json.dumps({"repository": {"full_name": f"octo/r{n}", "id": n + 1}}).encode() for n in range(9)]
    async with asyncio.TaskGroup() as group:
        for body in bodies:
            group.create_task(hook.deliver(body))
        await asyncio.sleep(0)
        hook.gate.set()
    assert 1 <= len(hook.dropped) <= 2
    assert {f"repo:octo/r{n}:code" for n in range(9)} <= {topic for topics in hook.dropped for topic in topics}
    assert hook.counted == ["dropped"] * 9


async def test_a_drop_that_failed_is_not_remembered_as_done() -> None:
    hook = Hook()

    async def fails(_: tuple[str, ...]) -> None:
        raise OSError

    works, hook.hook._wrote = hook.hook._wrote, fails
    with pytest.raises(OSError):
        await hook.deliver(x_github_delivery="a")
    hook.hook._wrote = works
    assert (await hook.deliver(x_github_delivery="a"))[1]["status"] == "dropped"


async def test_what_a_failed_drop_had_taken_is_dropped_with_the_next() -> None:
    hook = Hook()
    works = hook.hook._wrote
    failing = True

    async def wrote(topics: tuple[str, ...]) -> None:
        nonlocal failing
        await hook.gate.wait()
        if failing:
            failing = False
            raise OSError
        await works(topics)

    hook.hook._wrote = wrote
    hook.gate.clear()
    other = json.dumps({"repository": {"full_name": "octo/lib", "id": 8}}).encode()
    first, second = asyncio.create_task(hook.deliver()), asyncio.create_task(hook.deliver(other))
    await asyncio.sleep(0)
    hook.gate.set()
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    assert isinstance(outcomes[0], OSError)
    assert outcomes[1] == (200, {"status": "dropped", "event": "push"})
    assert {"repo:octo/app:code", "repo:octo/lib:code"} <= {*hook.dropped[0]}


async def test_what_waits_to_be_dropped_is_bounded() -> None:
    hook = Hook()
    hook.gate.clear()
    bodies = [json.dumps({"repository": {"full_name": f"octo/r{n}", "id": n + 1}}).encode() for n in range(600)]
    async with asyncio.TaskGroup() as group:
        for body in bodies:
            group.create_task(hook.deliver(body))
        await asyncio.sleep(0)
        assert hook.ids == len(bodies)
        assert len(hook.hook._pending) <= MAX_PENDING
        hook.gate.set()
    assert "all" in hook.dropped[-1]


async def test_what_was_dropped_is_dropped_once_more_when_github_has_caught_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "LAG", 0.01)
    hook = Hook()
    for number, repository in enumerate(("octo/app", "octo/lib")):
        await hook.deliver(json.dumps({"repository": {"full_name": repository, "id": 7 + number}}).encode())
        await hook.deliver(b"{}", "ping")
        await hook.until(2 * number + 2)
    assert [sorted(topics) for topics in hook.dropped[::2]] == [sorted(topics) for topics in hook.dropped[1::2]]
    assert hook.counted == ["dropped", "ignored"] * 2


async def test_nothing_is_dropped_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "LAG", 0.0)
    hook = Hook()
    await hook.deliver()
    hook.hook.close()
    await asyncio.sleep(0.01)
    assert len(hook.dropped) == 1


async def test_a_repeat_under_way_ends_with_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "LAG", 0.0)
    hook = Hook()
    await hook.deliver()
    hook.gate.clear()
    hook.called.clear()
    async with asyncio.timeout(10):
        await hook.called.wait()
    (repeat,) = hook.hook._repeats
    hook.hook.close()
    await asyncio.wait([repeat])
    assert repeat.cancelled()
    assert len(hook.dropped) == 1

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import subprocess
import sys
from collections.abc import MutableMapping
from typing import Any

import pytest

from p2pcache.gateway.exchange import BadRequest, Disconnected, Exchange
from p2pcache.gateway.routing import Upstreams
from p2pcache.hub import webhook
from p2pcache.hub.webhook import (
    ALWAYS_KEPT,
    MAX_BODY,
    MAX_HELD,
    MAX_KEPT,
    MAX_PENDING,
    MAX_SECRETS,
    MAX_SEEN,
    Webhook,
    endpoints,
)
from p2pcache.ledger.ledger import Ledger
from p2pcache.settings import Secret, Settings, SettingsError

SECRET = "It's a Secret to Everybody"
STRONG = "0123456789abcdef0f1e2d3c4b5a69788796a5b4c3d2e1f0"
PUSH = json.dumps({"repository": {"full_name": "octo/app", "id": 7}}).encode()


def signature(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Hook:
    """A webhook, what it dropped and how it counted."""

    def __init__(self, *secrets: str, host: str = "api.github.com") -> None:
        self.dropped: list[tuple[str, ...]] = []
        self.counted: list[str] = []
        self.reads = 0
        self.ids = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.hook = Webhook([s.encode() for s in secrets or (SECRET,)], host, self.wrote, self.counted.append)

    async def wrote(self, topics: tuple[str, ...]) -> None:
        await self.gate.wait()
        self.dropped.append(topics)

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


async def test_the_signature_is_githubs() -> None:
    # docs.github.com, "Validating webhook deliveries", "Testing the webhook payload validation".
    body = b"Hello, World!"
    good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert (await Hook().refused(body, x_hub_signature_256=good))[0] == 400  # verified, then no JSON
    assert (await Hook().refused(body, x_hub_signature_256=good[:-1] + "8"))[0] == 401


async def test_a_delivery_drops_what_it_names() -> None:
    hook = Hook()
    assert await hook.deliver() == (200, {"status": "dropped", "event": "push"})
    assert "repo:octo/app:code" in hook.dropped[0]
    assert hook.counted == ["dropped"]


async def test_a_ping_is_answered() -> None:
    hook = Hook()
    status, said = await hook.deliver(b'{"zen": "x"}', "ping")
    assert (status, said["status"], said["event"]) == (200, "ignored", "ping")
    assert (hook.dropped, hook.counted) == ([], ["ignored"])


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        signature(PUSH)[:-2],
        signature(PUSH) + "0",
        signature(PUSH).upper(),
        signature(PUSH).removeprefix("sha256="),
        "sha1=" + hmac.new(SECRET.encode(), PUSH, hashlib.sha1).hexdigest(),
        f"{signature(PUSH)}, {signature(PUSH)}",
        f"{signature(PUSH, 'wrong')}, {signature(PUSH)}",
        "sha256=" + "ü" * 64,
        "sha256=" + "\u0660" * 64,  # a digit, elsewhere
        signature(PUSH).replace("sha256", "sha256 "),
        "sha256=" + "g" * 64,
        f" {signature(PUSH)}\n",
    ],
)
async def test_what_has_not_the_form_of_one_signature_is_not_even_read(given: str | None) -> None:
    hook = Hook()
    assert await hook.refused(x_hub_signature_256=given) == (401, "This needs GitHub's signature.")
    assert hook.reads == 0
    assert hook.counted == ["unsigned"]


@pytest.mark.parametrize("secret", ["", "it's a secret to everybody", SECRET + " "])
async def test_a_signature_by_another_secret_gets_the_same_refusal(secret: str) -> None:
    hook = Hook()
    refused = await hook.refused(x_hub_signature_256=signature(PUSH, secret))
    assert refused == (401, "This needs GitHub's signature.")


async def test_a_signature_of_another_body_is_refused() -> None:
    assert (await Hook().refused(PUSH + b" ", x_hub_signature_256=signature(PUSH)))[0] == 401
    assert (await Hook().refused(b"", x_hub_signature_256=signature(PUSH)))[0] == 401


async def test_every_secret_of_a_rotation_is_accepted() -> None:
    hook = Hook("new", "old")
    for secret in ("old", "new"):
        assert (await hook.deliver(x_hub_signature_256=signature(PUSH, secret)))[0] == 200
    with pytest.raises(BadRequest):
        await hook.deliver(x_hub_signature_256=signature(PUSH, "third"))


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "", None, "text/plain", "application/jsonp"])
async def test_a_form_is_refused_with_what_to_choose(kind: str | None) -> None:
    hook = Hook()
    assert await hook.refused(content_type=kind) == (
        415,
        "Choose application/json as the webhook's content type at GitHub.",
    )
    assert hook.reads == 0
    assert hook.counted == ["unusable"]


async def test_json_may_have_parameters() -> None:
    assert (await Hook().deliver(content_type="Application/JSON; charset=utf-8"))[0] == 200


@pytest.mark.parametrize(
    "event", [None, "", "Push", "push\x00", "push\nforged", "../push", "p" * 65, "push,issues", "ü"]
)
async def test_an_event_is_a_name(event: str | None) -> None:
    assert (await Hook().refused(x_github_event=event))[0] == 400


@pytest.mark.parametrize("delivery", [None, "", "x" * 65, "x" * 65_000, "a b", "ü", "{}"])
async def test_a_delivery_has_an_id(delivery: str | None) -> None:
    assert (await Hook().refused(x_github_delivery=delivery))[0] == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"[" * 100_000, b'{"a":' * 100_000])
async def test_a_signed_body_that_is_no_object(body: bytes) -> None:
    assert await Hook().refused(body) == (400, "The body of this delivery is no JSON object.")


async def test_a_repeated_delivery_is_ignored() -> None:
    hook = Hook()
    await hook.deliver(x_github_delivery="a")
    assert await hook.deliver(x_github_delivery="a") == (200, {"status": "already seen"})
    assert len(hook.dropped) == 1
    assert hook.counted == ["dropped", "repeated"]


async def test_the_id_alone_repeats_nothing() -> None:
    """The same body comes again where somebody is removed, added, and removed again."""
    hook = Hook()
    other = json.dumps({"repository": {"full_name": "octo/lib", "id": 8}}).encode()
    await hook.deliver(x_github_delivery="a")
    await hook.deliver(other, x_github_delivery="a")
    await hook.deliver(x_github_delivery="b")
    assert len(hook.dropped) == 3


async def test_what_could_not_be_used_may_come_again() -> None:
    hook = Hook()
    with pytest.raises(BadRequest):
        await hook.deliver(b"{", x_github_delivery="a")
    with pytest.raises(BadRequest):
        await hook.deliver(x_github_delivery="b", x_hub_signature_256=signature(b""))
    assert (await hook.deliver(x_github_delivery="b"))[1]["status"] == "dropped"


async def test_what_is_remembered_is_bounded() -> None:
    hook = Hook()
    for number in range(MAX_SEEN + 1):
        hook.hook._seen[b"%d" % number] = None
    assert len(hook.hook._seen) == MAX_SEEN


@pytest.mark.parametrize(
    ("upstream", "host", "status"),
    [
        ("https://api.github.com", "github.example.com", 403),
        ("https://ghe.example.com/api/v3", "ghe.example.com", 200),
        ("https://ghe.example.com/api/v3", "GHE.example.com:443", 200),
        ("https://ghe.example.com/api/v3", "evil.example.com", 403),
        ("https://ghe.example.com/api/v3", None, 200),
        ("https://api.octo.ghe.com", "octo.ghe.com", 200),
        ("https://api.octo.ghe.com", "other.ghe.com", 403),
    ],
)
async def test_another_github_is_refused(upstream: str, host: str | None, status: int) -> None:
    hook = Hook(host=Upstreams(upstream).host)
    if status == 200:
        assert (await hook.deliver(x_github_enterprise_host=host))[0] == 200
    else:
        assert (await hook.refused(x_github_enterprise_host=host))[0] == status


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


async def test_a_webhook_that_is_deleted_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    await Hook().deliver(PUSH, "meta")
    assert "a webhook was deleted" in caplog.text


async def test_nothing_of_a_refused_delivery_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await Hook().refused(x_github_event="push\x1b[31m")
    assert caplog.text == ""


def made(*secrets: str, **settings: Any) -> int:
    given = Settings(webhook_secrets=tuple(map(Secret, secrets)), **settings)

    async def wrote(_: tuple[str, ...]) -> None: ...

    return len(endpoints(given, Upstreams(given.upstream), wrote, Ledger()))


def test_there_is_an_endpoint_where_there_is_a_secret() -> None:
    assert made() == 0
    assert made(STRONG) == 1


@pytest.mark.parametrize(
    ("secrets", "settings", "said"),
    [
        (["hunter2"], {}, "too short"),
        (["a" * 64], {}, "letters and digits"),
        ([STRONG, "a1" * 32], {}, "repeats itself"),
        ([STRONG] * (MAX_SECRETS + 1), {}, "at most 4"),
        ([STRONG], {"secrets": (Secret(STRONG),)}, "opens nothing else"),
        ([STRONG], {"control_token": Secret(STRONG)}, "opens nothing else"),
        ([STRONG], {"token": Secret(STRONG)}, "opens nothing else"),
    ],
)
def test_a_secret_that_protects_nothing_is_refused(secrets: list[str], settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        made(*secrets, **settings)
    assert str(refused.value).startswith("CACHE_WEBHOOK_SECRET: ")
    assert not any(secret in str(refused.value) for secret in secrets)


def test_a_node_without_webhooks_does_not_load_this() -> None:
    script = f"import sys, p2pcache.node; sys.exit({webhook.__name__!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from p2pcache.gateway.exchange import BadRequest
from p2pcache.gateway.routing import Upstreams
from p2pcache.hub import webhook
from p2pcache.hub.webhook import MAX_SECRETS, webhook_of
from p2pcache.ledger.ledger import Ledger
from p2pcache.settings import Secret, Settings, SettingsError
from tests.support.webhook import PUSH, SECRET, Hook, signature

STRONG = "0123456789abcdef0f1e2d3c4b5a69788796a5b4c3d2e1f0"


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


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"[" * 100_000])
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
        await hook.deliver(b"[", x_github_delivery="a")
    with pytest.raises(BadRequest):
        await hook.deliver(x_github_delivery="b", x_hub_signature_256=signature(b""))
    assert (await hook.deliver(x_github_delivery="b"))[1]["status"] == "dropped"


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

    return len(webhook_of(given, Upstreams(given.upstream), wrote, Ledger()).endpoints())


def test_there_is_an_endpoint_where_there_is_a_secret() -> None:
    assert made(STRONG) == 1
    assert made(STRONG, STRONG[::-1]) == 1


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

"""Whose token GitHub is asked with for a caller of `/-/mcp`."""

from typing import Any

import pytest

from p2pcache.gateway.control import Gate
from p2pcache.gateway.exchange import BadRequest, Exchange
from p2pcache.hub.mcp.mcp_caller import authorization_of
from p2pcache.values import Secret

HERE, AFAR = ("127.0.0.1", 5), ("192.0.2.7", 5)
GATE = Gate("control-token-of-the-hub")


def exchange(client: tuple[str, int] | None, *, users: bool, **fields: str) -> Exchange:
    async def unused(*_: Any) -> Any:
        raise AssertionError

    named = {"host": "127.0.0.1:4000", **{name.replace("_", "-"): value for name, value in fields.items()}}
    scope = {
        "method": "POST",
        "query_string": b"",
        "raw_path": b"/-/mcp",
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        "client": client,
        "http_version": "1.1",
        "extensions": {"users_process": lambda: users},
    }
    return Exchange(scope, unused, unused)


def asked_with(
    client: tuple[str, int] | None, own: str | None = "ghp_own", *, users: bool = True, **fields: str
) -> str | None:
    return authorization_of(exchange(client, users=users, **fields), GATE, Secret(own) if own else None)


@pytest.mark.parametrize("client", [HERE, AFAR, None])
def test_what_the_caller_sends_is_what_github_gets(client: tuple[str, int] | None) -> None:
    assert asked_with(client, authorization="Bearer ghp_theirs") == "Bearer ghp_theirs"


@pytest.mark.parametrize("client", [HERE, ("::1", 5), ("::ffff:127.0.0.1", 5), None])
def test_on_this_machine_the_hubs_own_stands_in_for_its_user(client: tuple[str, int] | None) -> None:
    assert asked_with(client) == "token ghp_own"
    with pytest.raises(BadRequest):
        asked_with(client, users=False)


@pytest.mark.parametrize("users", [True, False])
def test_a_hub_without_a_token_asks_with_none_for_this_machine(users: bool) -> None:
    assert asked_with(HERE, own=None, users=users) is None


@pytest.mark.parametrize(
    ("client", "fields"),
    [
        (AFAR, {}),
        (("0.0.0.0", 5), {}),
        (("nonsense", 5), {}),
        (HERE, {"x_forwarded_for": "127.0.0.1"}),
        (HERE, {"forwarded": "for=127.0.0.1"}),
        (HERE, {"x_real_ip": "127.0.0.1"}),
    ],
)
def test_from_elsewhere_a_token_is_needed(client: tuple[str, int], fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as caught:
        asked_with(client, **fields)
    assert caught.value.status == 401
    assert caught.value.lines[0][0] == b"www-authenticate"


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:3000", "null", "http://127.0.0.1"])
@pytest.mark.parametrize("fields", [{}, {"authorization": "Bearer ghp_theirs"}])
def test_a_page_of_another_site_gets_nothing(origin: str, fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as caught:
        asked_with(HERE, origin=origin, **fields)
    assert caught.value.status == 403


@pytest.mark.parametrize("scheme", ["Bearer", "token"])
def test_the_control_token_never_goes_to_github(scheme: str) -> None:
    assert asked_with(HERE, authorization=f"{scheme} control-token-of-the-hub") == "token ghp_own"
    with pytest.raises(BadRequest):
        asked_with(AFAR, authorization=f"{scheme} control-token-of-the-hub")

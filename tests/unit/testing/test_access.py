"""Who may see what: credentials, private repositories, renames."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from p2pcache.testing import StandIn
from tests.unit.testing.conftest import Client


@pytest.mark.parametrize(
    "authorization",
    [
        "token ghs_1",
        "Bearer ghs_1",
        "Basic " + base64.b64encode(b"x:ghs_1").decode(),
        "basic " + base64.b64encode(b"ghs_1:x-oauth-basic").decode(),
    ],
)
async def test_a_token_is_known_in_every_form(client: Client, github: StandIn, authorization: str) -> None:
    reply = await client.get("/repos/octo/app", Authorization=authorization)
    assert reply.status == 200
    assert github.calls[-1].token == "ghs_1"


@pytest.mark.parametrize("authorization", ["token nobody", "Basic %%%", "token", "Basic //8="])
async def test_an_unknown_credential_is_refused_and_free(client: Client, github: StandIn, authorization: str) -> None:
    reply = await client.get("/repos/octo/app", Authorization=authorization)
    assert (reply.status, reply.json["message"]) == (401, "Bad credentials")
    assert github.charged() == 0


async def test_a_revoked_token_is_refused(client: Client, github: StandIn) -> None:
    github.revoke("ghs_1")
    assert (await client.get("/repos/octo/app", "ghs_1")).status == 401


async def test_private_things_do_not_exist_for_others(client: Client, github: StandIn) -> None:
    assert (await client.get("/repos/octo/vault", "ghs_1")).status == 404
    assert (await client.get("/repos/octo/vault/issues")).status == 404
    github.grant("ghs_1", "octo/vault")
    assert (await client.get("/repos/octo/vault", "ghs_1")).json["private"] is True
    number = (await client.get("/repos/octo/vault", "ghs_1")).json["id"]
    github.revoke("ghs_1", "octo/vault")
    assert (await client.get(f"/repositories/{number}", "ghs_1")).status == 404
    names = [each["name"] for each in (await client.get("/orgs/octo/repos", "ghs_1")).json]
    assert names == ["app"]


async def test_a_rename_redirects_by_number(client: Client, github: StandIn) -> None:
    github.rename("octo/app", "octo/engine")
    moved = await client.get("/repos/octo/app/issues?per_page=2", "ghs_1")
    assert moved.status == 301
    location = moved.headers["Location"]
    assert location == moved.json["url"]
    assert location.startswith("https://api.github.com/repositories/")
    assert location.endswith("/issues?per_page=2")
    followed = await client.get(location.removeprefix("https://api.github.com"), "ghs_1")
    assert followed.json[0]["repository_url"] == "https://api.github.com/repos/octo/engine"
    assert (await client.send("PATCH", "/repos/octo/app", "ghs_1", json={})).status == 307
    assert (await client.get("/repos/octo/engine", "ghs_1")).status == 200


async def test_a_private_rename_is_not_told(client: Client, github: StandIn) -> None:
    github.rename("octo/vault", "octo/safe")
    assert (await client.get("/repos/octo/vault", "ghs_1")).status == 404


async def test_names_have_no_case(client: Client) -> None:
    assert (await client.get("/repos/OCTO/App", "ghs_1")).status == 200


async def test_the_control_says_what_is_wrong(github: StandIn) -> None:
    refused: list[tuple[Callable[[], object], str]] = [
        (lambda: github.repository("octo"), "OWNER/REPO"),
        (lambda: github.repository("octo/app"), "exists already"),
        (lambda: github.rename("octo/app", "octo/vault"), "exists already"),
        (lambda: github.rename("octo/app", "engine"), "OWNER/REPO"),
        (lambda: github.edit("octo/app", color="red"), "cannot be edited"),
        (lambda: github.edit("octo/app", issue=99, title="x"), "no issue 99"),
        (lambda: github.token("x", repos=["octo/none"]), "no repository"),
        (lambda: github.token("x", kind="magic"), "one of installation"),
        (lambda: github.grant("nobody", "octo/app"), "no token"),
    ]
    for act, message in refused:
        with pytest.raises(ValueError, match=message):
            act()


async def test_installations_have_no_user(client: Client, github: StandIn) -> None:
    github.token("ghp_1", login="ada")
    assert (await client.get("/user", "ghs_1")).status == 403
    assert (await client.get("/user", "ghp_1")).json["login"] == "ada"
    assert (await client.get("/user")).status == 401

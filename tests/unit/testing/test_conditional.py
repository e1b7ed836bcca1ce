"""ETags, 304, what is charged, and the shapes a body takes on the wire."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json

import aiohttp
import pytest

from p2pcache.testing import StandIn
from tests.unit.testing.conftest import Client

ISSUES = "/repos/octo/app/issues"
PATHS = ("/repos/octo/app/issues?state=all", "/repos/octo/app/commits", "/repos/octo/app/contents/CHANGES")


async def test_the_tag_is_that_of_the_callers_own_credentials(client: Client) -> None:
    reply = await client.get(ISSUES, "ghs_1", Accept="application/json")
    expected = hashlib.sha256(b"application/json:token ghs_1:" + reply.body).hexdigest()
    assert reply.headers["ETag"] == f'"{expected}"'


async def test_another_token_proves_the_same_body_for_free(client: Client, github: StandIn) -> None:
    github.token("ghs_2", repos=["octo/app"])
    body = (await client.get(ISSUES, "ghs_1")).body
    tag = hashlib.sha256(b"token ghs_2:" + body).hexdigest()
    reply = await client.get(ISSUES, "ghs_2", If_None_Match=f'"other", W/"{tag}"')
    assert (reply.status, reply.body) == (304, b"")
    assert "Link" not in reply.headers
    assert "Content-Type" not in reply.headers
    assert reply.headers["ETag"] == f'"{tag}"'
    assert github.charged("ghs_2") == 0
    assert github.calls[-1].conditional


async def test_an_anonymous_304_is_charged(client: Client, github: StandIn) -> None:
    tag = (await client.get(ISSUES)).headers["ETag"]
    assert (await client.get(ISSUES, If_None_Match=tag)).status == 304
    assert github.charged() == 2


async def test_an_edit_changes_the_tag(client: Client, github: StandIn) -> None:
    tag = (await client.get(ISSUES, "ghs_1")).headers["ETag"]
    github.edit("octo/app", issue=45, title="Other")
    reply = await client.get(ISSUES, "ghs_1", If_None_Match=tag)
    assert (reply.status, reply.json[0]["title"]) == (200, "Other")


async def test_an_empty_list_has_the_tag_of_two_brackets(client: Client, github: StandIn) -> None:
    tag = hashlib.sha256(b"token ghs_1:[]").hexdigest()
    reply = await client.get("/repos/octo/app/milestones", "ghs_1", If_None_Match=f'"{tag}"')
    assert (reply.status, github.charged()) == (304, 0)


async def test_last_modified_is_a_validator_too(client: Client, github: StandIn) -> None:
    date = (await client.get("/repos/octo/app", "ghs_1")).headers["Last-Modified"]
    assert (await client.get("/repos/octo/app", "ghs_1", If_Modified_Since=date)).status == 304
    assert (await client.get("/repos/octo/app", "ghs_1", If_Modified_Since="yesterday")).status == 200
    assert (await client.get("/repos/octo/app", "ghs_1", If_Modified_Since=date, If_None_Match='"x"')).status == 200
    github.edit("octo/app", issue=1, state="closed")
    assert (await client.get("/repos/octo/app", "ghs_1", If_Modified_Since=date)).status == 200


JWT = "eyJh.eyJpc3MiOjF9.c2ln"
BASIC = "Basic " + base64.b64encode(b"Iv1.8a61f9b3a7aba766:s3cret").decode()


@pytest.mark.parametrize(
    ("path", "authorization"),
    [
        ("/repos/octo/app/installation", f"Bearer {JWT}"),
        (ISSUES, f"Bearer {JWT}"),
        (ISSUES, BASIC),
        (ISSUES, None),
    ],
)
async def test_only_tokens_are_in_the_tag_and_in_vary(
    client: Client, github: StandIn, path: str, authorization: str | None
) -> None:
    github.token(JWT, kind="app")
    github.token("s3cret", kind="client")
    headers = {"Authorization": authorization} if authorization else {}
    reply = await client.get(path, Accept="*/*", **headers)
    assert reply.headers["ETag"] == f'"{hashlib.sha256(b"*/*:" + reply.body).hexdigest()}"'
    assert reply.headers["Vary"].startswith("Accept,Accept-Encoding")
    assert "Authorization" in (await client.get(ISSUES, "ghs_1")).headers["Vary"]


async def test_an_installation_is_for_apps(client: Client) -> None:
    assert (await client.get("/repos/octo/app/installation", "ghs_1")).status == 401


async def test_files_have_git_object_ids(client: Client, github: StandIn) -> None:
    github.token("ghs_2", repos=["octo/app"])
    file = await client.get("/repos/octo/app/contents/README.md", "ghs_1")
    raw = await client.get("/repos/octo/app/readme", "ghs_2", Accept="application/vnd.github.raw+json")
    blob = hashlib.sha1(b"blob %d\0" % len(raw.body) + raw.body).hexdigest()
    assert file.headers["ETag"] == raw.headers["ETag"] == f'"{blob}"' == f'"{file.json["sha"]}"'


async def test_every_directory_has_the_root_tree(client: Client, github: StandIn) -> None:
    root = await client.get("/repos/octo/app/contents", "ghs_1")
    github.edit("octo/app", file="docs/a", content="a")
    moved, below = [await client.get(f"/repos/octo/app/contents/{path}", "ghs_1") for path in ("", "docs")]
    assert root.headers["ETag"] != moved.headers["ETag"] == below.headers["ETag"]
    assert len(root.headers["ETag"]) == 42


@pytest.mark.parametrize("form", ["diff", "patch"])
@pytest.mark.parametrize("path", ["/repos/octo/app/commits/main", "/repos/octo/app/pulls/46"])
async def test_diffs_are_hashed_as_json_strings(client: Client, github: StandIn, form: str, path: str) -> None:
    github.repository("octo/lib", issues=45, pulls=1)
    path = path.replace("octo/app", "octo/lib")
    github.edit("octo/lib", file="README.md", content='a "quoted" <é>')
    accept = f"application/vnd.github.{form}"
    reply = await client.get(path, "ghs_1", Accept=accept)
    assert reply.headers["Content-Type"] == f"{accept}; charset=utf-8"
    text = json.dumps(reply.body.decode(), ensure_ascii=False)
    assert "<é>" in text
    assert reply.headers["ETag"] == f'"{hashlib.sha256(f"{accept}:token ghs_1:{text}".encode()).hexdigest()}"'


async def test_the_bare_sha_is_its_own_tag(client: Client) -> None:
    reply = await client.get("/repos/octo/app/commits/HEAD", "ghs_1", Accept="application/vnd.github.sha")
    assert reply.headers["ETag"] == f'"{reply.body.decode()}"'


async def test_feeds_have_tags_of_no_rule_and_searches_none(client: Client, github: StandIn) -> None:
    feed = await client.get("/repos/octo/app/events", "ghs_1")
    assert feed.headers["ETag"] != f'"{hashlib.sha256(b"token ghs_1:" + feed.body).hexdigest()}"'
    assert (await client.get("/repos/octo/app/events", "ghs_1", If_None_Match=feed.headers["ETag"])).status == 304
    assert "ETag" not in (await client.get("/search/issues?q=x", "ghs_1")).headers


async def test_gzip_weakens_the_tag_and_keeps_the_body(client: Client) -> None:
    plain = await client.get(ISSUES, "ghs_1")
    zipped = await client.get(ISSUES, "ghs_1", Accept_Encoding="br, gzip;q=0.5")
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(zipped.body) == plain.body
    assert zipped.headers["ETag"] == f"W/{plain.headers['ETag']}"
    assert "Content-Encoding" not in (await client.get(ISSUES, "ghs_1", Accept_Encoding="gzip;q=0")).headers


@pytest.mark.parametrize("agent", ["curl/8", "Wget/1", "Mozilla Safari/1", "Firefox/9"])
async def test_browsers_get_pretty_json_under_the_tag_of_the_minified(client: Client, agent: str) -> None:
    plain = await client.get(ISSUES, "ghs_1", User_Agent="GitHub CLI 2.23.0")
    pretty = await client.get(ISSUES, "ghs_1", User_Agent=agent)
    assert b" " not in plain.body.replace(b"matrix build", b"")[:40]
    assert pretty.body.startswith(b"[\n  {")
    assert pretty.json == plain.json
    assert pretty.headers["ETag"] == plain.headers["ETag"]


async def test_head_is_get_without_the_body(client: Client) -> None:
    get = await client.get(ISSUES, "ghs_1")
    head = await client.send("HEAD", ISSUES, "ghs_1")
    assert head.body == b""
    assert {k: head.headers[k] for k in ("ETag", "Link", "Content-Length")} == {
        k: get.headers[k] for k in ("ETag", "Link", "Content-Length")
    }


async def test_caching_headers_depend_on_the_credential(client: Client) -> None:
    private, public = await client.get(ISSUES, "ghs_1"), await client.get(ISSUES)
    assert private.headers["Cache-Control"] == "private, max-age=60, s-maxage=60"
    assert "Authorization" in private.headers["Vary"]
    assert public.headers["Cache-Control"] == "public, max-age=60, s-maxage=60"
    assert "Authorization" not in public.headers["Vary"]


async def test_api_versions_differ_without_being_in_vary(client: Client) -> None:
    old = await client.get(ISSUES, "ghs_1")
    new = await client.get(ISSUES, "ghs_1", X_GitHub_Api_Version="2026-03-10")
    assert old.body != new.body
    assert "Api-Version" not in new.headers["Vary"]
    assert (await client.get(ISSUES, "ghs_1", X_GitHub_Api_Version="1999")).status == 400


async def test_equal_histories_are_equal_bytes() -> None:
    async def history(seed: int) -> bytes:
        async with StandIn(seed=seed) as github, aiohttp.ClientSession() as session:
            github.populate()
            github.edit("octo/app", issue=3, state="closed")
            return b"".join([await (await session.get(github.url + path)).read() for path in PATHS])

    first, again, other = await history(1), await history(1), await history(2)
    assert first == again != other


async def test_bodies_are_minified(client: Client) -> None:
    reply = await client.get("/repos/octo/app/commits", "ghs_1")
    assert json.dumps(reply.json, separators=(",", ":"), ensure_ascii=False).encode() == reply.body

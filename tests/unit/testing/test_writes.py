from __future__ import annotations

import base64

import pytest

from p2pcache.testing import StandIn
from tests.unit.testing.conftest import Client

APP = "/repos/octo/app"


async def test_an_issue_lives(client: Client) -> None:
    made = await client.send("POST", f"{APP}/issues", "ghs_1", json={"title": "New", "labels": ["bug", "fresh"]})
    assert (made.status, made.json["number"]) == (201, 46)
    assert made.headers["Location"] == made.json["url"]
    assert (await client.get(f"{APP}/issues", "ghs_1")).json[0]["title"] == "New"
    closed = await client.send("PATCH", f"{APP}/issues/46", "ghs_1", json={"state": "closed", "labels": []})
    assert (closed.json["state"], closed.json["labels"]) == ("closed", [])
    assert (await client.get(f"{APP}/issues", "ghs_1")).json[0]["number"] == 45


async def test_a_comment_lives(client: Client) -> None:
    made = await client.send("POST", f"{APP}/issues/1/comments", "ghs_1", json={"body": "one"})
    path = made.json["url"].removeprefix("https://api.github.com")
    assert (await client.get(f"{APP}/issues/1", "ghs_1")).json["comments"] == 1
    await client.send("PATCH", path, "ghs_1", json={"body": "two"})
    assert (await client.get(path, "ghs_1")).json["body"] == "two"
    assert [one["body"] for one in (await client.get(f"{APP}/issues/1/comments", "ghs_1")).json] == ["two"]
    assert (await client.send("DELETE", path, "ghs_1")).status == 204
    assert (await client.get(path, "ghs_1")).status == 404


async def test_a_file_of_a_release_lives(client: Client) -> None:
    release = (await client.get(f"{APP}/releases/latest", "ghs_1")).json
    target = f"{APP}/releases/{release['id']}/assets"
    made = await client.send("POST", f"{target}?name=a.bin", "ghs_1", json="content")
    assert (made.status, made.json["name"], made.json["size"]) == (201, "a.bin", len('"content"'))
    assert (await client.get(f"{APP}/releases/latest", "ghs_1")).json["assets"] == [made.json]
    for wrong in (f"{target}?name=a.bin", target):
        assert (await client.send("POST", wrong, "ghs_1", json="content")).status == 422
    assert (await client.send("POST", f"{APP}/releases/1/assets?name=a", "ghs_1", json="")).status == 404


async def test_labels_live(client: Client) -> None:
    assert (await client.send("POST", f"{APP}/labels", "ghs_1", json={"name": "hot"})).status == 201
    assert (await client.send("POST", f"{APP}/labels", "ghs_1", json={"name": "hot"})).status == 422
    on_issue = f"{APP}/issues/1/labels"
    await client.send("PUT", on_issue, "ghs_1", json={"labels": ["hot"]})
    added = await client.send("POST", on_issue, "ghs_1", json={"labels": ["bug", "hot"]})
    assert [one["name"] for one in added.json] == ["hot", "bug"]
    assert [one["name"] for one in (await client.send("DELETE", f"{on_issue}/bug", "ghs_1")).json] == ["hot"]
    assert (await client.send("DELETE", f"{on_issue}/bug", "ghs_1")).status == 404
    renamed = await client.send("PATCH", f"{APP}/labels/hot", "ghs_1", json={"new_name": "hotter", "color": "ff0000"})
    assert (renamed.json["name"], renamed.json["color"]) == ("hotter", "ff0000")
    assert (await client.send("DELETE", f"{APP}/labels/hotter", "ghs_1")).status == 204
    assert (await client.get(on_issue, "ghs_1")).json == []


async def test_files_live(client: Client) -> None:
    path = f"{APP}/contents/docs/a b.md"
    body = {"message": "Add", "content": base64.b64encode(b"one").decode()}
    made = await client.send("PUT", path, "ghs_1", json=body)
    assert made.status == 201
    assert (await client.get(path, "ghs_1", Accept="application/vnd.github.raw")).body == b"one"
    assert (await client.get(f"{APP}/commits", "ghs_1")).json[0]["commit"]["message"] == "Add"
    assert (await client.send("PUT", path, "ghs_1", json=body)).status == 422
    assert (await client.send("PUT", path, "ghs_1", json={**body, "sha": "0"})).status == 409
    sha = made.json["content"]["sha"]
    replaced = await client.send("PUT", path, "ghs_1", json={**body, "content": "", "sha": sha})
    assert (replaced.status, replaced.json["content"]["size"]) == (200, 0)
    sha = replaced.json["content"]["sha"]
    assert (await client.send("DELETE", path, "ghs_1", json={"message": "Drop", "sha": sha})).status == 200
    assert (await client.get(path, "ghs_1")).status == 404
    assert (await client.send("DELETE", path, "ghs_1", json={"message": "Drop", "sha": sha})).status == 404


async def test_a_repository_is_renamed_and_hidden_over_http(client: Client) -> None:
    reply = await client.send("PATCH", APP, "ghs_1", json={"name": "engine", "private": True})
    assert reply.json["full_name"] == "octo/engine"
    assert (await client.get("/repos/octo/engine")).status == 404
    taken = await client.send("PATCH", "/repos/octo/engine", "ghs_1", json={"name": "vault"})
    assert taken.status == 422


@pytest.mark.parametrize(
    ("method", "tail", "body"),
    [
        ("POST", "/issues", {}),
        ("POST", "/issues", {"title": 3}),
        ("PATCH", "/issues/1", {"state": "ajar"}),
        ("POST", "/issues/1/comments", {"body": ""}),
        ("POST", "/issues/1/labels", {"labels": "bug"}),
        ("PUT", "/contents/x", {"message": "m", "content": "a"}),
    ],
)
async def test_an_unusable_body_is_422(client: Client, method: str, tail: str, body: object) -> None:
    reply = await client.send(method, APP + tail, "ghs_1", json=body)
    assert reply.status == 422


async def test_a_body_that_is_no_object_is_400(client: Client) -> None:
    assert (await client.send("POST", f"{APP}/issues", "ghs_1", json=[1])).status == 400


async def test_who_may_not_write_is_told(client: Client, github: StandIn) -> None:
    github.token("ghs_fork", repos=["octo/app"], read_only=True)
    github.token("ghs_other")
    for token, status in [(None, 401), ("ghs_fork", 403), ("ghs_other", 403)]:
        assert (await client.send("POST", f"{APP}/issues", token, json={"title": "x"})).status == status
    assert (await client.get(f"{APP}/issues")).json[0]["number"] == 45


async def test_a_description_is_edited(client: Client) -> None:
    assert (await client.send("PATCH", APP, "ghs_1", json={"description": "new"})).json["description"] == "new"
    assert (await client.get(APP, "ghs_1")).json["description"] == "new"


async def test_bad_base64_is_refused(client: Client) -> None:
    body = {"message": "m", "content": "abc"}
    reply = await client.send("PUT", f"{APP}/contents/x", "ghs_1", json=body)
    assert (reply.status, reply.json["message"]) == (422, "content is not valid Base64")


async def test_unknown_writes_are_404(client: Client) -> None:
    for method, path in [
        ("POST", f"{APP}/nothing"),
        ("DELETE", f"{APP}/labels/none"),
        ("DELETE", f"{APP}/issues/comments/1"),
        ("PUT", "/user"),
    ]:
        assert (await client.send(method, path, "ghs_1", json={})).status == 404

"""Recorded traffic, from a recording made here and from the real package where it is installed."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import aiohttp
import pytest

from p2pcache.testing import StandIn
from p2pcache.testing.fixtures import Recordings

PACKAGE = Path(__file__).parents[2] / "node/node_modules/@octokit/fixtures"


def step(method: str, path: str, response: object, status: int = 200, **headers: str) -> dict[str, object]:
    scope = "https://api.github.com:443"
    return {
        "scope": scope, "method": method, "path": path, "status": status, "response": response,
        "headers": {"content-type": "application/json", "date": "then", "content-length": 3, **headers},
        "responseIsBinary": False, "body": "", "reqheaders": {},
    }  # fmt: skip


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    steps = [
        step("get", "/repos/a/b/labels?per_page=3&page=2", ["old"], etag='"0"', link="<https://api.github.com/x>"),
        step("post", "/repos/a/b/labels", {"name": "é"}, 201),
        step("get", "/repos/a/b/labels?per_page=3&page=2", ["old", "é"], etag='"0"'),
        step("delete", "/repos/a/b/labels/x", "", 204),
    ]
    file = tmp_path / "scenarios/api.github.com/labels/normalized-fixture.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(steps))
    return tmp_path


def test_reads_stand_still_until_a_write(recordings: Path) -> None:
    played = Recordings.load(recordings)

    def read() -> object:
        answer = played.answer("GET", "api.github.com", "/repos/a/b/labels?page=2&per_page=3")
        assert answer is not None
        return answer.body

    assert [read(), read()] == [["old"], ["old"]]
    assert played.answer("POST", "api.github.com", "/repos/a/b/labels") is not None
    assert [read(), read()] == [["old", "é"], ["old", "é"]]
    deleted = played.answer("DELETE", "127.0.0.1", "/repos/a/b/labels/x")
    assert deleted is not None
    assert (deleted.status, deleted.body) == (204, None)
    assert played.answer("GET", "uploads.github.com", "/repos/a/b/labels?page=2&per_page=3") is None
    assert played.answer("GET", "api.github.com", "/other") is None


async def test_recordings_obey_tags_and_quota(recordings: Path) -> None:
    async with StandIn(fixtures=recordings) as github, aiohttp.ClientSession() as session:
        url = f"{github.url}/repos/a/b/labels?per_page=3&page=2"
        headers = {"Authorization": f"token {'1'.zfill(40)}", "Accept": "*/*"}
        async with session.get(url, headers=headers) as reply:
            body = await reply.read()
            assert reply.headers["Link"] == "<https://api.github.com/x>"
            tag = hashlib.sha256(f"*/*:{headers['Authorization']}:".encode() + body).hexdigest()
            assert reply.headers["ETag"].removeprefix("W/") == f'"{tag}"'
        async with session.get(url, headers={**headers, "If-None-Match": f'"{tag}"'}) as reply:
            assert reply.status == 304
        assert github.charged() == 1


def test_a_directory_without_recordings_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path}: install the npm package @octokit/fixtures")):
        Recordings.load(tmp_path)


def test_a_broken_recording_is_named(recordings: Path) -> None:
    file = next(recordings.rglob("*.json"))
    file.write_text('[{"method": 1}]')
    with pytest.raises(ValueError, match="is not a recorded scenario"):
        Recordings.load(recordings)


@pytest.mark.needs("node")
async def test_the_real_package_is_served() -> None:
    async with StandIn(fixtures=PACKAGE) as github, aiohttp.ClientSession() as session:
        for target in Recordings.load(PACKAGE).reads():
            async with session.get(github.url + target, allow_redirects=False) as reply:
                assert reply.status in {200, 301}, target
        async with session.get(
            f"{github.url}/octokit-fixture-org/get-archive/legacy.tar.gz/refs/heads/main",
            headers={"Host": "codeload.github.com"},
        ) as reply:
            assert (await reply.read())[:2] == b"\x1f\x8b"

"""The ETag rule against answers that api.github.com gave anonymously, as github3.py's tests recorded them."""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from p2pcache.github import etag
from p2pcache.github.classify import classify
from p2pcache.github.request import Read, Request
from tests.conftest import RECORDINGS

pytestmark = pytest.mark.needs("recordings")

HOST = "https://api.github.com"
# From July 2021 to January 2023 the tags of a repository itself, and of nothing else, followed no rule that is known.
OUT_OF_THE_RULE = {"GET /repos/{owner}/{repo} full"}
FIRST, LAST = "2021-07-15", "2023-01-30"


@dataclass(frozen=True)
class Recorded:
    request: Request
    headers: dict[str, str]
    body: bytes
    at: str

    @property
    def shape(self) -> str:
        read = classify(self.request)
        return read.shape if isinstance(read, Read) else ""


def recorded() -> Iterator[Recorded]:
    """GETs answered 200 whose tag is 64 hex digits and was made without a token, since ``Vary`` does not name it."""
    with tarfile.open(RECORDINGS) as archive:
        for member in archive:
            if "/tests/cassettes/" not in member.name or not member.name.endswith(".json"):
                continue
            file = archive.extractfile(member)
            assert file is not None
            for one in json.load(file)["http_interactions"]:
                answer = fields(one["response"]["headers"])
                vary = etag.vary_of(answer)
                got = one["request"]["method"] == "GET" and one["response"].get("status", {}).get("code") == 200
                if got and etag.is_digest(answer.get("etag", "")) and vary is not None and "authorization" not in vary:
                    target = one["request"]["uri"].removeprefix(HOST)
                    request = Request("GET", target, fields(one["request"]["headers"]))
                    yield Recorded(request, answer, body_of(one["response"]["body"]), one["recorded_at"][:10])


def fields(headers: dict[str, Any]) -> dict[str, str]:
    return {name.lower(): ", ".join([value] if isinstance(value, str) else value) for name, value in headers.items()}


def body_of(body: dict[str, str]) -> bytes:
    if "base64_string" not in body:
        return body["string"].encode()
    data = base64.b64decode(body["base64_string"])
    return gzip.GzipFile(fileobj=io.BytesIO(data)).read() if data[:2] == b"\x1f\x8b" else data


@pytest.fixture(scope="module")
def answers() -> list[Recorded]:
    return list(recorded())


def agrees(one: Recorded) -> bool:
    tags = etag.tags(one.request.headers, etag.vary_of(one.headers), one.headers["content-type"], one.body)
    return any(etag.weakly_equal(tag, one.headers["etag"]) for tag in tags)


def test_there_is_something_to_hold_it_against(answers: list[Recorded]) -> None:
    assert len(answers) > 45
    shapes = Counter(one.shape for one in answers)
    assert len(shapes) > 12
    assert {"GET /repos/{owner}/{repo}/pulls/{pull_number} diff", "GET /app json"} <= shapes.keys()


def test_every_answer_agrees_outside_of_the_one_window(answers: list[Recorded]) -> None:
    differ = [one for one in answers if not agrees(one)]
    assert {one.shape for one in differ} <= OUT_OF_THE_RULE
    assert all(FIRST <= one.at <= LAST for one in differ)
    assert len(differ) <= 5


def test_what_is_presumed_without_a_vary_agrees_too(answers: list[Recorded]) -> None:
    for one in answers:
        headers = one.request.headers
        if not headers.get("authorization", "").startswith("Basic <"):  # replaced by the recorder
            content_type = one.headers["content-type"]
            presumed = etag.tags(headers, None, content_type, one.body)
            assert presumed == etag.tags(headers, etag.vary_of(one.headers), content_type, one.body)

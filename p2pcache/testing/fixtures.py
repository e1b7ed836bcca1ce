"""Recorded GitHub traffic: the scenarios of the npm package ``@octokit/fixtures`` (normalised, MIT).

A scenario is a sequence that each write advances. A read gets the answer recorded after the last write, so repeated
reads get equal answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from p2pcache.testing.routing import HASHED, READS, Answer
from p2pcache.testing.world import blob_sha, sha

TOKENS = tuple(f"{number:040}" for number in (1, 2))
"""The normalised credentials of the recordings."""

_KEPT = ("content-type", "content-disposition", "link", "location", "cache-control", "x-github-media-type")
_FILE = re.compile(r"/(?:repos/[^/]+/[^/]+|repositories/\d+)/(?:contents|readme)(?:/.*)?")


class _Step(msgspec.Struct):
    scope: str
    method: str
    path: str
    status: int
    response: Any
    headers: dict[str, Any]
    responseIsBinary: bool = False  # noqa: N815 - the recording's own name


@dataclass(slots=True)
class _Scenario:
    steps: list[_Step]
    done: int = -1

    def play(self, method: str, host: str, target: str) -> _Step | None:
        wanted = method if method not in READS else "GET"
        key = _key(target)
        found = [
            at
            for at, step in enumerate(self.steps)
            if step.method.upper() == wanted and _key(step.path) == key and _host(step.scope) == host
        ]
        if not found:
            return None
        at = next((each for each in found if each > self.done), found[-1])
        if wanted not in READS:
            self.done = at
        return self.steps[at]


class Recordings:
    """All scenarios of one installation of the package."""

    def __init__(self, scenarios: list[_Scenario]) -> None:
        self._scenarios = scenarios

    @classmethod
    def load(cls, directory: Path) -> Recordings:
        """Read all scenarios in the package's directory.

        Raises:
            ValueError: there is no scenario, or one is invalid.
        """
        files = sorted(directory.glob("scenarios/**/normalized-fixture.json"))
        if not files:
            raise ValueError(f"no recorded scenarios in {directory}: install the npm package @octokit/fixtures there")
        scenarios = []
        for file in files:
            try:
                scenarios.append(_Scenario(msgspec.json.decode(file.read_bytes(), type=list[_Step])))
            except (msgspec.DecodeError, msgspec.ValidationError) as problem:
                raise ValueError(f"{file} is not a recorded scenario: {problem}") from None
        return cls(scenarios)

    def reads(self) -> list[str]:
        """Return the targets of `api.github.com` that a GET answers with 200 or 301."""
        steps = [step for scenario in self._scenarios for step in scenario.steps]
        wanted = [s for s in steps if s.method.upper() == "GET" and s.status in {200, 301}]
        return list(dict.fromkeys(s.path for s in wanted if _host(s.scope) == "api.github.com"))

    def answer(self, method: str, host: str, target: str) -> Answer | None:
        """Return the recorded answer to a request, or None. A `host` that is not GitHub's counts as the API's."""
        host = host if host.endswith("github.com") else "api.github.com"
        for scenario in self._scenarios:
            if step := scenario.play(method, host, target):
                return _answer(step)
        return None


def _answer(step: _Step) -> Answer:
    headers = {name: str(value) for name, value in step.headers.items() if name in _KEPT}
    if step.responseIsBinary:
        body: Any = bytes.fromhex(step.response)
    elif isinstance(step.response, str):
        body = step.response.encode() or None
    else:
        body = step.response
    return Answer(body, step.status, headers, tag=_tag(step, body) if "etag" in step.headers else None)


def _tag(step: _Step, body: Any) -> str:
    """Return the tag of a recorded answer: for files the blob, for directories an invented tree (none is recorded)."""
    if not _FILE.fullmatch(_key(step.path)[0]):
        return HASHED
    if isinstance(body, bytes):
        return blob_sha(body)
    return str(body["sha"]) if isinstance(body, dict) else sha("tree", step.path)


def _host(scope: str) -> str:
    return urlsplit(scope).hostname or ""


def _key(target: str) -> tuple[str, Mapping[str, str]]:
    path, _, query = target.partition("?")
    return path, dict(parse_qsl(query, keep_blank_values=True))

"""GitHub's decision on a request: authentication, rate limit, existence, validators. No sockets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from p2pcache.testing import archives, graphql_api, raw_files
from p2pcache.testing.accounts import Token, Viewer, credential
from p2pcache.testing.dispatch import dispatch
from p2pcache.testing.etag import entity_tag, matches
from p2pcache.testing.fixtures import Recordings
from p2pcache.testing.quota import WINDOWS, Bucket, Quota
from p2pcache.testing.routing import HASHED, JSON_TYPE, READS, Answer, Ask, Problem, query_of
from p2pcache.testing.world import World

API_VERSIONS = ("2022-11-28", "2026-03-10")
DROPPED_SINCE = {"2026-03-10": "gravatar_id"}
"""A field that a newer API version omits, so that answers of two versions differ."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request; `headers` has lower-case names and keeps repeated fields."""

    method: str
    target: str
    host: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    address: str = "127.0.0.1"

    def header(self, name: str) -> str | None:
        """Return the joined values of a header, or None."""
        values = [value for key, value in self.headers if key == name]
        return ", ".join(values) if values else None

    @property
    def credential(self) -> str | None:
        """The token as sent, known or not; None if anonymous."""
        authorization = self.header("authorization")
        return None if authorization is None else credential(authorization)


@dataclass(slots=True)
class Verdict:
    """The answer, including everything that depends on the caller.

    Attributes:
        body: before pretty-printing and content coding.
        tag: the opaque part of the ETag, if any.
        charged: whether it counted against the primary limit.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    tag: str | None = None
    charged: bool = False


@dataclass(slots=True)
class State:
    """The state of the stand-in."""

    world: World
    quota: Quota
    concurrent: int
    tokens: dict[str, Token] = field(default_factory=dict)
    recordings: Recordings | None = None
    in_flight: Counter[str] = field(default_factory=Counter)


def identity_of(state: State, question: Question) -> str:
    """Return the name of a request's budget, "unknown" for an unknown credential."""
    value = question.credential
    if value is None:
        return f"ip:{question.address}"
    token = state.tokens.get(value)
    return token.identity if token else "unknown"


def judge(state: State, question: Question) -> Verdict:
    """Return the answer to a request, and charge for it."""
    token = state.tokens.get(question.credential or "")
    if question.credential is not None and (token is None or token.revoked):
        return _verdict(Problem(401, "Bad credentials").answer())
    viewer = Viewer(token, question.address)
    path, query = query_of(question.target)
    features = question.header("graphql-features") or ""
    ask = Ask(
        question.method, path, query, question.header("accept") or "", question.body, viewer, state.world, features
    )
    if question.host == archives.HOST:
        return _verdict(_attempt(lambda: _outside(state, question, ask)))
    if path.startswith(raw_files.PREFIX):
        return _raw(question, ask)
    resource = "graphql" if path == "/graphql" else "search" if path.startswith("/search/") else "core"
    bucket = state.quota.bucket(viewer.identity, resource)
    if state.in_flight[viewer.identity] > state.concurrent:
        return _verdict(secondary_limit().answer(), bucket)
    if path == "/rate_limit":
        return _verdict(_rate_limit(state.quota, viewer), bucket)
    if not bucket.remaining and not (resource == "graphql" and token is None):
        return _verdict(_exceeded(viewer, resource), bucket)
    answer = _attempt(lambda: _inside(state, question, ask, bucket))
    authorised = token is not None and token.in_tags
    not_modified, tag = _validate(question, answer, authorised=authorised)
    charged = not (not_modified and token)
    bucket.used += charged
    verdict = _verdict(answer, bucket)
    verdict.charged, verdict.tag = charged, tag
    verdict.headers |= _caching(question, answer, authorised=authorised)
    if not_modified:
        verdict.status, verdict.body = 304, b""
        for name in ("link", "content-type"):
            verdict.headers.pop(name, None)
    return verdict


def _raw(question: Question, ask: Ask) -> Verdict:
    answer = _attempt(lambda: raw_files.raw_file(ask))
    not_modified, tag = _validate(question, answer, authorised=False)
    verdict = _verdict(answer)
    verdict.tag = tag
    if not_modified:
        verdict.status, verdict.body = 304, b""
    return verdict


def secondary_limit(status: int = 403, retry_after: int = 60) -> Problem:
    """Return GitHub's answer to too many concurrent requests (docs.github.com, "About secondary rate limits")."""
    message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
    return Problem(status, message, {"retry-after": str(retry_after)})


def _attempt(handler: Callable[[], Answer]) -> Answer:
    try:
        return handler()
    except Problem as problem:
        return problem.answer()


def _outside(state: State, question: Question, ask: Ask) -> Answer:
    recorded = state.recordings and state.recordings.answer(question.method, question.host, question.target)
    return recorded or archives.download(state.world, ask.path, "token" in ask.query)


def _inside(state: State, question: Question, ask: Ask, bucket: Bucket) -> Answer:
    version = question.header("x-github-api-version") or API_VERSIONS[0]
    if version not in API_VERSIONS:
        raise Problem(400, f"'{version}' is not a supported version of the API: use one of {', '.join(API_VERSIONS)}")
    recorded = state.recordings and state.recordings.answer(question.method, question.host, question.target)
    if recorded:
        return recorded
    if ask.path == "/graphql":
        if ask.method != "POST":
            raise Problem(404, "Not Found")
        if ask.viewer.token is None:
            raise Problem(401, "This endpoint requires you to be authenticated.")
        return graphql_api.answer(ask, bucket)
    answer = dispatch(ask, question.target.partition("?")[2])
    if dropped := DROPPED_SINCE.get(version):
        answer.body = _without(answer.body, dropped)
    answer.headers["x-github-api-version-selected"] = version
    return answer


def _without(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {key: _without(each, name) for key, each in value.items() if key != name}
    return [_without(each, name) for each in value] if isinstance(value, list) else value


def _validate(question: Question, answer: Answer, *, authorised: bool) -> tuple[bool, str | None]:
    """Return whether to answer 304, and the tag; `If-None-Match` takes precedence (RFC 9110 section 13.2.2)."""
    if answer.status != 200 or answer.tag is None or question.method not in READS:
        return False, None
    tag = answer.tag
    if tag == HASHED:
        text = re.search(r"\.(diff|patch)\b", answer.headers.get("content-type", "")) is not None
        tag = entity_tag(question.headers, answer.encoded(), token=authorised, text=text)
    if (tags := question.header("if-none-match")) is not None:
        return matches(tags, tag), tag
    since = question.header("if-modified-since")
    if since is None or answer.modified is None:
        return False, tag
    try:
        return answer.modified <= parsedate_to_datetime(since), tag
    except (ValueError, TypeError):  # an unusable date is ignored, RFC 9110 section 13.1.3
        return False, tag


def _caching(question: Question, answer: Answer, *, authorised: bool) -> dict[str, str]:
    if answer.status != 200 or question.method not in READS:
        return {}
    private = question.header("authorization") is not None
    vary = "Accept, Authorization, Cookie, X-GitHub-OTP" if authorised else "Accept"
    headers = {
        "cache-control": answer.headers.get(
            "cache-control", f"{'private' if private else 'public'}, max-age=60, s-maxage=60"
        ),
        "vary": f"{vary},Accept-Encoding, Accept, X-Requested-With",
    }
    if answer.modified:
        headers["last-modified"] = format_datetime(answer.modified.astimezone(UTC), usegmt=True)
    return headers


def _verdict(answer: Answer, bucket: Bucket | None = None) -> Verdict:
    body = answer.encoded()
    headers = {"content-type": JSON_TYPE} if body else {}
    headers["x-github-media-type"] = "github.v3; " + (
        "param=raw" if ".raw" in answer.headers.get("content-type", "") else "format=json"
    )
    return Verdict(answer.status, headers | answer.headers | (bucket.headers() if bucket else {}), body)


def _rate_limit(quota: Quota, viewer: Viewer) -> Answer:
    resources = {name: quota.bucket(viewer.identity, name).status() for name in WINDOWS}
    return Answer({"resources": resources, "rate": resources["core"]}, headers={"cache-control": "no-cache"})


def _exceeded(viewer: Viewer, resource: str) -> Answer:
    """Return the refusal beyond the primary limit; whether GitHub still answers 304 there is not documented."""
    if resource == "graphql":
        return graphql_api.limited(viewer.identity)
    who = f"user ID {viewer.identity}" if viewer.token else viewer.address
    hint = "" if viewer.token else " (But here's the good news: Authenticated requests get a higher rate limit.)"
    return Problem(403, f"API rate limit exceeded for {who}.{hint}").answer()


def utc(seconds: float) -> str:
    """Return the value of a `Date` header."""
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)

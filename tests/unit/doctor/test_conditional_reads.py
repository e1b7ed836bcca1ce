"""Reads past the cache: what is sent, and what counts as the computed tag."""

from __future__ import annotations

import pytest

from p2pcache import __version__
from p2pcache.doctor import conditional_reads
from p2pcache.doctor.conditional_reads import agrees, ask, computed_tags, read_request
from p2pcache.gateway.http_upstream import HttpUpstream
from p2pcache.gateway.routing import Upstreams
from p2pcache.testing import StandIn
from p2pcache.values import Secret


@pytest.mark.parametrize("token", [Secret("ghp_one"), None])
async def test_an_answers_tag_is_computed_and_proves_it(token: Secret | None) -> None:
    async with StandIn() as github, HttpUpstream(Upstreams(github.url), __version__, lambda *_: None) as http:
        github.repository("octo/app")
        github.token("ghp_one")
        request = read_request("/repos/octo/app", token)
        assert ("authorization" in request.headers) is (token is not None)
        reply = await ask(http, request)
        tags = computed_tags(request, reply.body, reply.headers)
        assert (reply.status, agrees(tags, reply.tag)) == (200, True)
        again = await ask(http, request, *tags)
        assert (again.status, again.body) == (304, b"")
        assert not agrees(computed_tags(request, b"another"), reply.tag)


async def test_a_body_that_is_too_large_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditional_reads, "MAX_BODY", 10)
    async with StandIn() as github, HttpUpstream(Upstreams(github.url), __version__, lambda *_: None) as http:
        github.repository("octo/app")
        reply = await ask(http, read_request("/repos/octo/app", None))
    assert (reply.status, reply.body) == (200, b"")

"""What a caller gets, and what GitHub is asked for it: hits, company, limits, failures."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from p2pcache.cache.answer import Answer, Forwarded, RateLimited
from p2pcache.cache.decide import Rule
from p2pcache.cache.origin import MAX_BODY
from p2pcache.cache.upstream import UpstreamError
from p2pcache.github.request import Lifetime, Request
from p2pcache.testing import Verdict
from p2pcache.testing.nodes import MemoryNode
from tests.unit.cache.lab import Lab, kept

REPO, VAULT = "/repos/octo/app", "/repos/octo/vault"
ONE, TWO = "ghp_one", "ghp_two"
QUERY = json.dumps({"query": 'query { repository(owner: "octo", name: "app") { name } }'}).encode()


def quota(remaining: int, lab: Lab, limit: int = 1000) -> dict[str, str]:
    values = {"limit": limit, "remaining": remaining, "reset": int(lab.clock()) + 3600}
    return {f"x-ratelimit-{name}": str(value) for name, value in values.items()}


def asking(node: MemoryNode, target: str, token: str | None = ONE, **options: Any) -> asyncio.Task[Answer]:
    return asyncio.create_task(node.get(target, token, **options))


async def turn() -> None:
    """Let everybody get to where they wait."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_fresh_answer_is_had_from_memory(lab: Lab) -> None:
    node = lab.node()
    first = kept(await node.get(REPO, ONE))
    assert (first.hit, first.rule, first.forwarded, first.stored) == (None, Rule.FETCH_COLD, 200, True)
    again = kept(await node.get(REPO, ONE))
    assert (again.hit, again.rule, again.entry) == ("memory", Rule.FRESH, first.entry)
    assert lab.calls == [200]


async def test_its_age_counts_from_when_it_was_asked_for(lab: Lab) -> None:
    node = lab.node()

    async def slow(request: Request, answer: Callable[[], Verdict]) -> Verdict:
        lab.clock.sleep(50)
        return answer()

    lab.upstream.around = slow
    pointer = kept(await node.get(REPO, ONE)).entry.pointer
    assert pointer.proved_at == lab.clock() - 50
    assert pointer.expires_at == pointer.proved_at + 60


class TestTogether:
    async def test_equal_requests_are_one_call(self, lab: Lab) -> None:
        node, gate = lab.node(), lab.gate(judged=True)
        tasks = [asking(node, REPO) for _ in range(5)]
        await gate.arrived.wait()
        await turn()
        gate.opened.set()
        answers = [kept(each) for each in await asyncio.gather(*tasks)]
        assert sorted(str(each.hit) for each in answers) == ["None", *["coalesced"] * 4]
        assert lab.calls == [200]

    async def test_a_token_waits_for_another_and_proves_what_it_brings(self, lab: Lab) -> None:
        node, gate = lab.node(), lab.gate(judged=True)
        tasks = [asking(node, REPO, token) for token in (ONE, TWO, "ghp_three")]
        await gate.arrived.wait()
        await turn()
        assert lab.calls == [200]
        gate.opened.set()
        answers = [kept(each) for each in await asyncio.gather(*tasks)]
        assert [each.hit for each in answers] == [None, "revalidated", "revalidated"]
        assert lab.github.charged() == 1

    async def test_two_forms_of_one_token_share_what_comes(self, lab: Lab) -> None:
        node, gate = lab.node(), lab.gate(judged=True)
        tasks = [asking(node, REPO), asking(node, REPO, None, authorization=f"token {ONE}")]
        await gate.arrived.wait()
        await turn()
        gate.opened.set()
        assert [kept(each).hit for each in await asyncio.gather(*tasks)] == [None, "memory"]

    async def test_a_404_is_for_who_asked(self, lab: Lab) -> None:
        node, gate = lab.node(), lab.gate(judged=True)
        missing = f"{REPO}/issues/999"
        tasks = [asking(node, missing), asking(node, missing), asking(node, missing, TWO)]
        await gate.arrived.wait()
        await turn()
        gate.opened.set()
        first, second, other = await asyncio.gather(*tasks)
        assert [getattr(each, "shared", None) for each in (first, second, other)] == [False, True, False]
        assert lab.calls == [404, 404]

    async def test_a_304_to_one_callers_conditions_is_not_the_others(self, lab: Lab) -> None:
        node = lab.node()
        headers = {"accept": "application/vnd.github+json", "authorization": f"Bearer {ONE}"}
        tag = lab.github.ask("GET", REPO, headers).tag
        gate = lab.gate(judged=True)
        conditional = asking(node, REPO, if_none_match=f'"{tag}"')
        await gate.arrived.wait()
        plain = asking(node, REPO)
        await turn()
        gate.opened.set()
        first, second = await asyncio.gather(conditional, plain)
        assert isinstance(first, Forwarded)
        assert first.forwarded == 304
        assert kept(second).entry.block.status == 200

    async def test_a_leader_that_hangs_up_takes_nobody_along(self, lab: Lab) -> None:
        node, gate = lab.node(), lab.gate(judged=False)
        tasks = [asking(node, REPO) for _ in range(3)]
        await gate.arrived.wait()
        await turn()
        tasks[0].cancel()
        gate.opened.set()
        await asyncio.wait(tasks)
        assert tasks[0].cancelled()
        assert sorted(str(kept(each.result()).hit) for each in tasks[1:]) == ["None", "coalesced"]

    async def test_what_took_longer_than_it_lives_is_for_who_came_first(self, lab: Lab) -> None:
        node, gate = lab.node(), lab.gate(judged=True)
        first = asking(node, REPO)
        await gate.arrived.wait()
        lab.clock.sleep(100)
        second = asking(node, REPO)
        await turn()
        gate.opened.set()
        assert kept(await first).hit is None
        assert kept(await second).hit == "revalidated"

    async def test_a_long_answer_has_one_reader_each(self, lab: Lab) -> None:
        node = lab.node()
        lab.answers(200, body=b"x" * (MAX_BODY + 1))
        answers = await asyncio.gather(*(node.get(REPO, ONE) for _ in range(2)))
        for answer in answers:
            assert isinstance(answer, Forwarded)
            assert answer.body is None
        assert node.library.memory.find(node.wanted(REPO, ONE).name) == []


class TestLimits:
    async def test_lifetimes_stretch_then_it_serves_stale_then_it_refuses(self, lab: Lab) -> None:
        node = lab.node()
        lab.changed(lambda v: dataclasses.replace(v, headers=v.headers | quota(200, lab)))
        await node.get(REPO, ONE)
        lab.clock.sleep(100)
        assert kept(await node.get(REPO, ONE)).rule == Rule.STRETCHED
        node.buckets.observe(node.wanted(REPO, ONE).bucket, quota(20, lab))
        lab.clock.sleep(1500)
        stale = node.engine.asked(node.wanted(REPO, ONE))
        assert (stale.serve_stale, stale.refuse) == (True, False)
        node.buckets.observe(node.wanted(REPO, ONE).bucket, quota(0, lab))
        refused = await node.get(f"{REPO}/labels", ONE)
        assert isinstance(refused, RateLimited)
        assert (refused.status, refused.rule) == (403, Rule.REFUSE_QUOTA)
        assert dict(refused.headers)["x-ratelimit-remaining"] == "0"
        assert lab.calls == [200]

    async def test_an_expired_answer_is_marked_stale_when_the_quota_is_spent(self, lab: Lab) -> None:
        node = lab.node(lifetimes=dict.fromkeys(Lifetime, 1.0))
        await node.get(REPO, ONE)
        lab.clock.sleep(30)
        node.buckets.observe(node.wanted(REPO, ONE).bucket, quota(0, lab))
        answer = kept(await node.get(REPO, ONE))
        assert (answer.hit, answer.stale, answer.rule) == ("stale", True, Rule.STALE_FOR_QUOTA)

    async def test_retry_after_is_obeyed_for_all_that_a_token_wants(self, lab: Lab) -> None:
        node = lab.node()
        await node.get(REPO, ONE)
        lab.answers(403, {"retry-after": "120"}, b'{"message":"secondary rate limit"}')
        lab.clock.sleep(61)
        stale = kept(await node.get(REPO, ONE))  # GitHub's refusal is covered by what is here
        assert (stale.hit, stale.rule, stale.forwarded) == ("stale", Rule.STALE_FOR_LIMIT, 403)
        lab.up()
        lab.forget()
        assert kept(await node.get(REPO, ONE)).rule == Rule.STALE_FOR_LIMIT
        refused = await node.get(f"{REPO}/labels", ONE)
        assert isinstance(refused, RateLimited)
        assert (dict(refused.headers)["retry-after"], refused.rule) == ("120", Rule.REFUSE_LIMIT)
        assert node.buckets.wait_refusal(node.wanted(REPO, ONE).bucket) == refused
        assert kept(await node.get(f"{REPO}/labels", TWO)).forwarded == 200
        assert lab.calls == [200]
        lab.clock.sleep(120)
        assert node.buckets.wait_refusal(node.wanted(REPO, ONE).bucket) is None
        assert kept(await node.get(f"{REPO}/labels", ONE)).hit == "revalidated"

    async def test_githubs_own_refusal_is_passed_on_when_nothing_stands_in(self, lab: Lab) -> None:
        node = lab.node()
        lab.answers(429, {"retry-after": "9"}, b"{}")
        answer = await node.get(REPO, ONE)
        assert isinstance(answer, Forwarded)
        assert (answer.forwarded, answer.limited) == (429, True)

    async def test_those_in_its_company_are_refused_with_it(self, lab: Lab) -> None:
        node = lab.node()
        node.buckets.refused(node.wanted(REPO, ONE).bucket, 429, {}, b"")
        answers = await asyncio.gather(*(node.get(REPO, ONE) for _ in range(2)))
        assert all(isinstance(each, RateLimited) for each in answers)


class TestFailures:
    @pytest.mark.parametrize("how", ["unreachable", "500", "breaks off"])
    async def test_ones_own_expired_answer_stands_in(self, lab: Lab, how: str) -> None:
        node = lab.node()
        await node.get(REPO, ONE)
        lab.clock.sleep(100)
        self.fail(lab, how)
        answer = kept(await node.get(REPO, ONE))
        assert (answer.hit, answer.stale, answer.rule) == ("stale", True, Rule.STALE_FOR_ERROR)

    @pytest.mark.parametrize("how", ["unreachable", "breaks off"])
    async def test_another_tokens_does_not(self, lab: Lab, how: str) -> None:
        node = lab.node()
        await node.get(REPO, TWO)
        self.fail(lab, how)
        with pytest.raises(UpstreamError):
            await node.get(REPO, ONE)

    async def test_one_that_is_too_old_does_not(self, lab: Lab) -> None:
        node = lab.node()
        await node.get(REPO, ONE)
        lab.expire()
        self.fail(lab, "500")
        answer = await node.get(REPO, ONE)
        assert isinstance(answer, Forwarded)
        assert answer.forwarded == 500

    async def test_company_is_told_that_it_is_stale(self, lab: Lab) -> None:
        node = lab.node()
        await node.get(REPO, ONE)
        lab.clock.sleep(100)
        self.fail(lab, "unreachable")
        answers = await asyncio.gather(*(node.get(REPO, ONE) for _ in range(3)))
        assert {kept(each).hit for each in answers} == {"stale"}

    def fail(self, lab: Lab, how: str) -> None:
        match how:
            case "unreachable":
                lab.down()
            case "500":
                lab.answers(500)
            case _:
                lab.github.edit("octo/app", description="Too long to arrive")
                lab.upstream.broken = True


class TestGraphQL:
    async def test_a_query_lives_its_lifetime_and_no_longer(self, lab: Lab) -> None:
        node = lab.node()
        assert kept(await node.get("/graphql", ONE, body=QUERY)).forwarded == 200
        assert kept(await node.get("/graphql", ONE, body=QUERY)).hit == "memory"
        assert kept(await node.get("/graphql", TWO, body=QUERY)).rule == Rule.FETCH_UNPROVABLE
        lab.clock.sleep(10)
        assert kept(await node.get("/graphql", ONE, body=QUERY)).rule == Rule.FETCH_UNPROVABLE

    async def test_errors_are_never_kept(self, lab: Lab) -> None:
        node = lab.node()
        lab.answers(200, {}, b'{"data":{},"errors":[{"type":"NOT_FOUND","message":"no"}]}')
        for _ in range(2):
            answer = await node.get("/graphql", ONE, body=QUERY)
            assert isinstance(answer, Forwarded)
            assert (answer.forwarded, answer.limited) == (200, False)

    async def test_a_limit_said_with_200_is_obeyed(self, lab: Lab) -> None:
        node = lab.node()
        lab.answers(200, {}, b'{"errors":[{"type":"RATE_LIMITED","message":"exceeded"}]}')
        answer = await node.get("/graphql", ONE, body=QUERY)
        assert isinstance(answer, Forwarded)
        assert answer.limited
        assert isinstance(await node.get("/graphql", ONE, body=QUERY), RateLimited)


async def test_what_github_asks_not_to_store_is_not_stored(lab: Lab) -> None:
    node = lab.node()
    lab.answers(200, {"cache-control": "private, No-Store"})
    assert isinstance(await node.get(REPO, ONE), Forwarded)
    assert isinstance(await node.get(REPO, ONE), Forwarded)


@pytest.mark.parametrize("cache_control", ["no-cache", "max-age=0"])
async def test_who_wants_github_asked_gets_a_proof(lab: Lab, cache_control: str) -> None:
    node = lab.node()
    await node.get(REPO, ONE)
    again = kept(await node.get(REPO, ONE, cache_control=cache_control))
    assert (again.hit, again.rule) == ("revalidated", Rule.PROVE_FRESH)
    assert lab.calls == [200, 304]
    assert kept(await node.get(REPO, ONE)).hit == "memory"


async def test_who_takes_an_answer_of_some_age_gets_one(lab: Lab) -> None:
    node = lab.node()
    await node.get(REPO, ONE)
    lab.clock.sleep(20)
    assert kept(await node.get(REPO, ONE, cache_control="max-age=30")).hit == "memory"
    assert kept(await node.get(REPO, ONE, cache_control="max-age=10")).hit == "revalidated"


async def test_who_wants_github_asked_waits_on_nobody(lab: Lab) -> None:
    """What is under way may have left before this caller came."""
    node = lab.node()
    gate = lab.gate(judged=True)
    first = asking(node, REPO)
    await gate.arrived.wait()
    lab.up()
    assert kept(await node.get(REPO, ONE, cache_control="no-cache")).hit is None
    gate.opened.set()
    await first
    assert lab.calls == [200, 200]


async def test_a_query_that_wants_github_asked_is_fetched(lab: Lab) -> None:
    node = lab.node()
    for _ in range(2):
        assert kept(await node.get("/graphql", ONE, body=QUERY, cache_control="no-cache")).forwarded == 200
    assert kept(await node.get("/graphql", ONE, body=QUERY)).hit == "memory"


async def test_who_wants_github_asked_is_refused_when_it_refuses(lab: Lab) -> None:
    node = lab.node()
    await node.get(REPO, ONE)
    lab.answers(429, {"retry-after": "60"})
    await node.get(VAULT, ONE)
    assert isinstance(await node.get(REPO, ONE, cache_control="no-cache"), RateLimited)
    assert kept(await node.get(REPO, ONE)).hit == "memory"


@pytest.mark.parametrize(
    "said",
    [{"cache-control": "no-cache"}, {"cache-control": "max-age=0"}, {"vary": "*"}, {"cache-control": "s-maxage=0"}],
    ids=str,
)
async def test_what_github_wants_to_be_asked_for_is_proved_each_time(lab: Lab, said: dict[str, str]) -> None:
    node = lab.node()
    lab.changed(lambda verdict: dataclasses.replace(verdict, headers=verdict.headers | said))
    assert kept(await node.get(REPO, ONE)).stored
    assert [kept(await node.get(REPO, ONE)).hit for _ in range(2)] == ["revalidated", "revalidated"]
    lab.down()
    with pytest.raises(UpstreamError):
        await node.get(REPO, ONE)


async def test_what_could_never_be_proved_is_not_kept(lab: Lab) -> None:
    node = lab.node()
    for _ in range(2):
        assert isinstance(await node.get("/search/issues?q=x", ONE), Forwarded)
    assert lab.calls == [200, 200]

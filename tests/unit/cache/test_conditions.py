"""Free proof, as a caller of the engine sees it: what is offered to GitHub, and what a 304 is taken for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from p2pcache.cache.answer import Forwarded
from p2pcache.cache.decide import MAX_TAGS, Rule
from p2pcache.cache.origin import MAX_BODY
from p2pcache.cache.upstream import UpstreamError
from p2pcache.github.request import Request
from p2pcache.testing import Verdict
from tests.unit.cache.lab import Lab, kept

REPO, VAULT = "/repos/octo/app", "/repos/octo/vault"
ISSUES = f"{REPO}/issues"
ONE, TWO, THREE, STRANGER = "ghp_one", "ghp_two", "ghp_three", "ghp_stranger"


def untagged(verdict: Verdict) -> Verdict:
    return dataclasses.replace(verdict, tag=None)


async def test_an_expired_entry_is_proved_and_renewed(lab: Lab) -> None:
    node = lab.node()
    first = kept(await node.get(REPO, ONE))
    lab.expire()
    again = kept(await node.get(REPO, ONE))
    assert (again.hit, again.rule, again.forwarded) == ("revalidated", Rule.PROVE_OWN, 304)
    assert again.entry.block == first.entry.block
    assert lab.github.charged() == 1
    assert kept(await node.get(REPO, ONE)).hit == "memory"
    renewed, before = again.entry.pointer, first.entry.pointer
    assert (renewed.etag, renewed.last_modified, renewed.cid) == (before.etag, before.last_modified, before.cid)
    assert renewed.proved_at == lab.clock()


async def test_a_body_of_another_token_is_proved_and_then_ones_own(lab: Lab) -> None:
    node = lab.node()
    theirs = kept(await node.get(VAULT, ONE))
    mine = kept(await node.get(VAULT, TWO))
    assert (mine.hit, mine.rule) == ("revalidated", Rule.PROVE_OTHER)
    assert mine.entry.block == theirs.entry.block
    assert mine.entry.pointer.scope != theirs.entry.pointer.scope
    assert mine.entry.pointer.etag != theirs.entry.pointer.etag
    assert kept(await node.get(VAULT, TWO)).hit == "memory"
    assert lab.calls == [200, 304]


async def test_who_may_not_see_it_gets_what_github_says(lab: Lab) -> None:
    node = lab.node()
    await node.get(VAULT, ONE)
    refused = await node.get(VAULT, STRANGER)
    assert isinstance(refused, Forwarded)
    assert refused.forwarded == 404
    assert kept(await node.get(VAULT, ONE)).hit == "memory"


async def test_a_changed_body_replaces_the_old_one(lab: Lab) -> None:
    node = lab.node()
    await node.get(REPO, ONE)
    lab.expire()
    lab.github.edit("octo/app", description="New")
    changed = kept(await node.get(REPO, ONE))
    assert (changed.hit, changed.rule, changed.forwarded, changed.stored) == (None, Rule.PROVE_OWN, 200, True)
    assert b'"New"' in changed.entry.block.body
    assert dict(changed.pairs)["etag"] == changed.entry.pointer.etag


async def test_several_bodies_are_offered_at_once(lab: Lab) -> None:
    node = lab.node()
    await node.get(REPO, ONE)
    lab.github.edit("octo/app", description="New")
    newer = kept(await node.get(REPO, TWO))
    lab.forget()
    found = kept(await node.get(REPO, THREE))
    assert (found.hit, found.entry.block) == ("revalidated", newer.entry.block)
    assert lab.github.calls[0].headers["if-none-match"].count('"') == 4


async def test_no_more_bodies_are_offered_than_the_bound(lab: Lab) -> None:
    node = lab.node()
    for number in range(MAX_TAGS + 2):
        lab.github.token(f"ghp_{number}")
        lab.github.edit("octo/app", description=str(number))
        lab.clock.sleep(1)
        await node.get(REPO, f"ghp_{number}")
    lab.forget()
    assert kept(await node.get(REPO, ONE)).hit == "revalidated"
    assert lab.github.calls[0].headers["if-none-match"].count('"') == 2 * MAX_TAGS


async def test_a_304_without_an_etag_is_understood_when_one_body_was_offered(lab: Lab) -> None:
    node = lab.node()
    first = kept(await node.get(REPO, ONE))
    lab.expire()
    lab.changed(untagged)
    again = kept(await node.get(REPO, ONE))
    assert (again.hit, again.entry.block) == ("revalidated", first.entry.block)
    assert again.entry.pointer.etag is not None


async def test_a_304_that_could_mean_several_is_asked_again(lab: Lab) -> None:
    node = lab.node()
    await node.get(REPO, ONE)
    lab.github.edit("octo/app", description="New")
    newer = kept(await node.get(REPO, TWO))
    lab.changed(untagged)
    lab.forget()
    answer = kept(await node.get(REPO, THREE))
    assert answer.entry.block == newer.entry.block
    assert (answer.hit, answer.rule, lab.calls) == (None, Rule.FETCH_UNPROVABLE, [304, 200])


async def test_a_304_to_nothing_at_all_is_an_error_of_the_upstream(lab: Lab) -> None:
    lab.answers(304)
    with pytest.raises(UpstreamError, match="304"):
        await lab.node().get(REPO, ONE)


class TestTheCallersOwnConditions:
    async def tag(self, lab: Lab, token: str = ONE, target: str = REPO) -> str:
        """What the caller was given once, by GitHub itself."""
        verdict = lab.github.ask(
            "GET", target, {"accept": "application/vnd.github+json", "authorization": f"Bearer {token}"}
        )
        lab.forget()
        return f'"{verdict.tag}"'

    async def test_a_304_for_nothing_stays_one_for_nothing(self, lab: Lab) -> None:
        answer = await lab.node().get(REPO, ONE, if_none_match=await self.tag(lab))
        assert isinstance(answer, Forwarded)
        assert (answer.forwarded, answer.body, lab.github.charged()) == (304, b"", 0)

    async def test_beside_candidates_of_ours_too(self, lab: Lab) -> None:
        node = lab.node()
        await node.get(REPO, TWO)
        lab.github.edit("octo/app", description="New")
        tag = await self.tag(lab)
        answer = await node.get(REPO, ONE, if_none_match=tag)
        assert isinstance(answer, Forwarded)
        assert (answer.forwarded, lab.calls) == (304, [304])

    async def test_even_where_a_304_has_no_etag(self, lab: Lab) -> None:
        node = lab.node()
        await node.get(REPO, TWO)
        tag = await self.tag(lab)
        lab.changed(untagged)
        answer = await node.get(REPO, ONE, if_none_match=tag)
        assert isinstance(answer, Forwarded)
        assert (answer.forwarded, lab.calls) == (304, [304, 304])

    async def test_any_tag_at_all(self, lab: Lab) -> None:
        node = lab.node()
        await node.get(REPO, TWO)
        lab.forget()
        lab.answers(304)
        answer = await node.get(REPO, ONE, if_none_match="*")
        assert isinstance(answer, Forwarded)
        assert answer.forwarded == 304

    async def test_a_date(self, lab: Lab) -> None:
        since = "Mon, 01 Jan 2035 00:00:00 GMT"
        answer = await lab.node().get(REPO, ONE, if_modified_since=since)
        assert isinstance(answer, Forwarded)
        assert (answer.forwarded, lab.github.charged()) == (304, 0)

    async def test_what_is_here_answers_for_it(self, lab: Lab) -> None:
        node = lab.node()
        await node.get(REPO, ONE)
        lab.expire()
        tag = await self.tag(lab)
        assert kept(await node.get(REPO, ONE, if_none_match=tag)).hit == "revalidated"
        assert lab.calls == [304]


class TestEmptyLists:
    async def test_an_empty_list_costs_nothing_at_first_sight(self, lab: Lab) -> None:
        node = lab.node()
        answer = kept(await node.get(f"{REPO}/milestones", ONE))
        assert (answer.hit, answer.rule, answer.entry.block.body) == ("revalidated", Rule.PROVE_EMPTY, b"[]")
        assert dict(answer.entry.block.headers)["content-type"].startswith("application/json")
        assert lab.github.charged() == 0
        assert kept(await node.get(f"{REPO}/milestones", ONE)).hit == "memory"

    async def test_it_is_tried_beside_what_is_known(self, lab: Lab) -> None:
        node = lab.node()
        await node.get(f"{REPO}/issues?labels=bug", ONE)
        lab.expire()
        lab.changed(lambda v: dataclasses.replace(v, headers=v.headers | {"x-poll-interval": "60"}))
        answer = kept(await node.get(f"{REPO}/milestones", ONE))
        assert dict(answer.entry.block.headers)["x-poll-interval"] == "60"

    async def test_a_known_empty_list_is_offered_once(self, lab: Lab) -> None:
        node = lab.node()
        await node.get(f"{REPO}/milestones", ONE)
        lab.forget()
        assert kept(await node.get(f"{REPO}/milestones", TWO)).rule == Rule.PROVE_OTHER
        assert lab.github.calls[0].headers["if-none-match"].count('"') == 2

    @pytest.mark.parametrize(
        ("target", "headers"),
        [
            pytest.param(REPO, {}, id="no list"),
            pytest.param(f"{ISSUES}?page=9", {}, id="a later page, whose Link nobody knows"),
            pytest.param("/orgs/octo/events?after=x", {}, id="a page by cursor"),
            pytest.param(ISSUES, {"if_modified_since": "Mon, 01 Jan 2001 00:00:00 GMT"}, id="the caller has a date"),
        ],
    )
    async def test_it_is_not_tried(self, lab: Lab, target: str, headers: dict[str, Any]) -> None:
        await lab.node().get(target, ONE, **headers)
        assert "if-none-match" not in lab.github.calls[0].headers


class TestLinks:
    FULL = f"{ISSUES}?per_page=6"
    FIRST = f"{ISSUES}?per_page=2"

    async def test_a_full_last_page_is_fetched_again(self, lab: Lab) -> None:
        node = lab.node()
        assert kept(await node.get(self.FULL, ONE)).entry.pointer.link is None
        lab.github.ask("POST", ISSUES, {"authorization": f"Bearer {ONE}"}, b'{"title":"One more"}')
        lab.expire()
        again = kept(await node.get(self.FULL, ONE))
        assert (again.forwarded, again.rule) == (200, Rule.FETCH_UNPROVABLE)
        assert 'rel="next"' in (again.entry.pointer.link or "")

    @pytest.mark.parametrize("token", [ONE, TWO])
    async def test_a_full_last_page_is_proved_by_the_empty_one_after_it(self, lab: Lab, token: str) -> None:
        node = lab.node()
        await node.get(REPO, ONE)
        first = kept(await node.get(self.FULL, ONE))
        lab.expire()
        await node.get(f"{ISSUES}?per_page=100", ONE)  # for this operation the rule holds
        lab.forget()
        again = kept(await node.get(self.FULL, token))
        assert (again.hit, again.entry.block, again.entry.pointer.link) == ("revalidated", first.entry.block, None)
        assert [(call.target, call.status) for call in lab.github.calls] == [
            (f"{self.FULL}&page=2", 304),
            (self.FULL, 304),
        ]
        assert kept(await node.get(self.FULL, token)).hit == "memory"

    @pytest.mark.parametrize(("lists", "tags"), [(True, 2), (False, 1)])
    async def test_an_empty_page_has_two_tags_where_an_accept_is_empty(self, lab: Lab, lists: bool, tags: int) -> None:
        node = lab.node()
        await node.get(self.FULL, ONE, accept="")
        node.engine.trial.empty_accept, node.engine.trial.lists = None, lists
        lab.expire()
        lab.forget()
        await node.get(self.FULL, ONE, accept="")
        assert len(lab.github.calls[0].headers["if-none-match"].split(", ")) == tags

    async def test_where_a_page_follows_it_is_kept_for_who_reads_on(self, lab: Lab) -> None:
        node = lab.node()
        await node.get(self.FULL, ONE)
        lab.github.ask("POST", ISSUES, {"authorization": f"Bearer {ONE}"}, b'{"title":"One more"}')
        lab.expire()
        lab.forget()
        again = kept(await node.get(self.FULL, ONE))
        assert 'rel="next"' in (again.entry.pointer.link or "")
        assert kept(await node.get(f"{self.FULL}&page=2", ONE)).hit == "memory"
        assert lab.calls == [200, 200]

    @pytest.mark.parametrize("trouble", ["down", "refuses", "long"])
    async def test_whatever_becomes_of_the_question_the_answer_is_githubs(self, lab: Lab, trouble: str) -> None:
        node = lab.node()
        await node.get(self.FULL, ONE)
        lab.expire()

        async def around(request: Request, answer: Callable[[], Verdict]) -> Verdict:
            if "page=2" not in request.target:
                return answer()
            if trouble == "down":
                raise UpstreamError("GitHub cannot be reached")
            return Verdict(500, {}, b"{}") if trouble == "refuses" else Verdict(200, {}, b"x" * (MAX_BODY + 1))

        lab.upstream.around = around
        again = kept(await node.get(self.FULL, ONE))
        assert (again.forwarded, again.rule) == (200, Rule.FETCH_UNPROVABLE)

    async def test_nothing_is_asked_for_a_caller_whom_a_304_costs(self, lab: Lab) -> None:
        node = lab.node()
        await node.get(self.FULL)
        lab.expire()
        lab.forget()
        assert kept(await node.get(self.FULL)).forwarded == 200
        assert [call.target for call in lab.github.calls] == [self.FULL]

    async def test_a_link_stays_with_its_page(self, lab: Lab) -> None:
        node = lab.node()
        first = kept(await node.get(self.FIRST, ONE))
        lab.expire()
        assert first.entry.pointer.link is not None
        for token in (ONE, TWO):
            again = kept(await node.get(self.FIRST, token))
            assert (again.hit, again.entry.pointer.link) == ("revalidated", first.entry.pointer.link)

    async def test_how_many_pages_another_token_sees_is_not_told(self, lab: Lab) -> None:
        node = lab.node()
        for name, private in (("a", False), ("b", False), ("c", True)):
            lab.github.repository(f"many/{name}", private=private)
        lab.github.grant(ONE, "many/c")
        listing = "/orgs/many/repos?per_page=2"
        all_of_it = kept(await node.get(listing, ONE))
        public = kept(await node.get(listing, STRANGER))
        assert 'rel="last"' in (all_of_it.entry.pointer.link or "")
        assert (public.hit, public.entry.pointer.link) == (None, None)
        assert public.entry.block.body == all_of_it.entry.block.body

    async def test_a_list_is_counted_anew(self, lab: Lab) -> None:
        node = lab.node()
        counting = f"{REPO}/branches?per_page=1"
        first = kept(await node.get(counting, ONE))
        assert "page=2" in (first.entry.pointer.link or "")
        lab.expire()
        assert kept(await node.get(counting, ONE)).forwarded == 200

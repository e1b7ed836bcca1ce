"""GitHub as the engine meets it: where the ETag rule does not hold, and for whom a proof counts."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from p2pcache.cache.answer import Answer
from p2pcache.cache.decide import Rule
from p2pcache.cache.sealing import Keyring, generate_secret
from p2pcache.cache.wanted import ScopePolicy
from p2pcache.github.request import Request
from p2pcache.github.trial import PATIENCE
from p2pcache.testing import MemorySwarm, StandIn, Verdict
from p2pcache.testing.direct import Direct, DirectResponse
from p2pcache.testing.nodes import MemoryNode
from tests.unit.cache.lab import Lab, kept

REPO = "/repos/octo/app"
ISSUES = f"{REPO}/issues"
ONE, TWO = "ghp_one", "ghp_two"


def give_up(node: MemoryNode, target: str) -> None:
    for _ in range(PATIENCE):
        node.engine.trial.observe(node.wanted(target).read.shape, node.engine.policy.monotonic(), agrees=False)


def untagged(verdict: Verdict) -> Verdict:
    return dataclasses.replace(verdict, tag=None)


class Enterprise(Direct):
    """GitHub Enterprise Server, or a GitHub that changed its mind: tags that nobody can compute."""

    async def fetch(self, request: Request, conditions: Mapping[str, str]) -> DirectResponse:
        tag = ""

        async def around(request: Request, answer: Callable[[], Verdict]) -> Verdict:
            nonlocal tag
            verdict = answer()
            tag = hashlib.sha256(b"a rule of its own" + verdict.body).hexdigest()
            if f'W/"{tag}"' in conditions.get("if-none-match", ""):
                return dataclasses.replace(verdict, status=304, tag=tag)
            return dataclasses.replace(verdict, tag=tag)

        self.sent.append(dict(conditions))
        self.around = around
        return await super().fetch(request, {})

    def __init__(self, github: StandIn) -> None:
        super().__init__(github)
        self.sent: list[dict[str, str]] = []


class TestWithoutTheRule:
    async def test_it_is_switched_off_once_and_ordinary_validators_remain(self, lab: Lab) -> None:
        lab.upstream = github = Enterprise(lab.github)
        node = lab.node()
        for number in range(PATIENCE + 2):
            for target in (REPO, ISSUES, f"{REPO}/labels"):
                await node.get(f"{target}?n={number}", ONE)
        assert node.engine.trial.foreign(lab.clock())
        assert len(node.rule_failures) == 3
        first = kept(await node.get(REPO, ONE))
        lab.expire()
        again = kept(await node.get(REPO, ONE))
        assert (again.hit, again.entry.block) == ("revalidated", first.entry.block)
        assert github.sent[-1] == {"if-none-match": first.entry.pointer.etag}
        other = kept(await node.get(REPO, TWO))
        assert (other.hit, other.rule, github.sent[-1]) == (None, Rule.FETCH_UNPROVABLE, {})

    async def test_githubs_own_tag_goes_along_until_the_rule_is_known(self, lab: Lab) -> None:
        lab.upstream = Enterprise(lab.github)
        node = lab.node()
        await node.get(REPO, ONE)
        lab.expire()
        again = kept(await node.get(REPO, ONE))
        assert again.hit == "revalidated"
        assert (node.engine.trial.agreed, node.engine.trial.disagreed) == (0, 1)

    async def test_a_date_will_do(self, lab: Lab) -> None:
        node = lab.node()
        give_up(node, REPO)
        lab.changed(untagged)
        first = kept(await node.get(REPO, ONE))
        assert first.entry.pointer.last_modified is not None
        lab.expire()
        again = kept(await node.get(REPO, ONE))
        assert (again.hit, again.entry.block) == ("revalidated", first.entry.block)
        assert lab.github.calls[-1].headers["if-modified-since"] == first.entry.pointer.last_modified

    async def test_the_callers_tags_go_before_our_date(self, lab: Lab) -> None:
        node = lab.node()
        give_up(node, REPO)
        lab.changed(untagged)
        await node.get(REPO, ONE)
        lab.expire()
        await node.get(REPO, ONE, if_none_match='"theirs"')
        sent = lab.github.calls[-1].headers
        assert sent["if-none-match"] == '"theirs"'
        assert "if-modified-since" not in sent

    async def test_a_tag_ignored_for_an_unchanged_body_speaks_against_the_rule(self, lab: Lab) -> None:
        node = lab.node()
        await node.get(REPO, ONE)
        assert (node.engine.trial.agreed, node.engine.trial.disagreed) == (1, 0)
        headers = {"accept": "application/vnd.github+json", "authorization": f"Bearer {ONE}"}
        whole = lab.github.ask("GET", REPO, headers)
        lab.changed(lambda _: whole)
        lab.expire()
        assert kept(await node.get(REPO, ONE)).hit is None
        assert (node.engine.trial.agreed, node.engine.trial.disagreed) == (1, 1)

    async def test_a_304_to_a_computed_tag_speaks_for_it(self, lab: Lab) -> None:
        node = lab.node()
        await node.get(REPO, ONE)
        await node.get(REPO, TWO)
        assert node.engine.trial.agreed == 2


class TestWhoProvesForWhom:
    async def test_verified_proves_for_each_token(self, lab: Lab) -> None:
        verified = {
            token: lab.node(identity=ScopePolicy(token, "octo/app", per_credential=True)) for token in (ONE, TWO)
        }
        first, second = verified.values()
        second.library.memory = first.library.memory
        await first.get(REPO, ONE)
        assert kept(await second.get(REPO, TWO)).hit == "revalidated"

    async def test_without_it_the_jobs_of_a_repository_share(self, lab: Lab) -> None:
        first, second = (
            lab.node(identity=ScopePolicy(token, "octo/app", per_credential=False)) for token in (ONE, TWO)
        )
        second.library.memory = first.library.memory
        await first.get(REPO, ONE)
        assert kept(await second.get(REPO, TWO)).hit == "memory"

    async def test_a_cookie_is_a_credential(self, lab: Lab) -> None:
        node = lab.node()
        await node.get(REPO, cookie="user_session=1")
        assert kept(await node.get(REPO)).hit == "revalidated"
        assert kept(await node.get(REPO, cookie="user_session=2")).hit == "revalidated"

    @pytest.mark.parametrize(
        "fields",
        [
            {"accept": "text/x"},
            {"accept": "application/vnd.github.raw+json"},
            {"accept": "application/json, */*"},
            {"x_github_api_version": "2026-03-10"},
            {"x_github_next_global_id": "1"},
        ],
        ids=str,
    )
    async def test_media_types_and_versions_are_never_mixed(self, lab: Lab, fields: dict[str, Any]) -> None:
        node = lab.node()
        await node.get(REPO, ONE)
        assert kept(await node.get(REPO, ONE, **fields)).rule == Rule.FETCH_COLD

    async def test_ways_of_asking_for_json_are_one_call_and_stay_apart(self, lab: Lab) -> None:
        node = lab.node()
        ways: list[dict[str, Any]] = [
            {"accept": ""},
            {"accept": "*/*"},
            {"accept": "application/json"},
            {"accept": "application/vnd.github.v3+json"},
            {"x_github_api_version": "2022-11-28"},
        ]
        first = kept(await node.get(REPO, ONE))
        answers = [kept(await node.get(REPO, ONE, **way)) for way in ways]
        assert [answer.hit for answer in answers] == ["revalidated"] * len(ways)
        assert [kept(await node.get(REPO, ONE, **way)).rule for way in ways] == [Rule.FRESH] * len(ways)
        assert lab.github.charged() == 1
        tags = {answer.entry.pointer.etag for answer in (first, *answers)}
        assert len(tags) == len(ways), "as GitHub gives them, by Accept: the version is none of it"

    async def test_another_representation_that_differs_is_fetched(self, lab: Lab) -> None:
        node = lab.node()
        await node.get(REPO, ONE)

        async def another(request: Request, answer: Callable[[], Verdict]) -> Verdict:
            verdict = answer()
            other = request.headers["accept"] == "application/json" and verdict.status == 304
            return Verdict(200, {**verdict.headers, "etag": '"1"'}, b'{"other":1}') if other else verdict

        lab.upstream.around = another
        answer = kept(await node.get(REPO, ONE, accept="application/json"))
        assert (answer.hit, answer.entry.block.body) == (None, b'{"other":1}')
        assert kept(await node.get(REPO, ONE)).entry.block.body != b'{"other":1}'

    async def test_what_github_says_of_a_representation_is_its_own(self, lab: Lab) -> None:
        node = lab.node()
        await node.get(REPO, ONE)
        lab.changed(lambda v: Verdict(v.status, {**v.headers, "x-github-media-type": "github.v3"}, v.body))
        kept(await node.get(REPO, ONE, accept="*/*"))

        def media_type(answer: Answer) -> str:
            return dict(kept(answer).entry.block.headers)["x-github-media-type"]

        assert media_type(await node.get(REPO, ONE, accept="*/*")) == "github.v3"
        assert media_type(await node.get(REPO, ONE)) == "github.v3; format=json"

    async def test_a_redirect_of_another_scope_proves_nothing(self, lab: Lab) -> None:
        node = lab.node()
        lab.github.rename("octo/app", "octo/application")
        assert kept(await node.get(REPO, ONE)).entry.block.status == 301
        assert kept(await node.get(REPO, ONE)).hit == "memory"
        answer = kept(await node.get(REPO, TWO))
        assert (answer.forwarded, answer.rule) == (301, Rule.FETCH_UNPROVABLE)

    async def test_what_an_older_secret_named_is_proved_and_named_anew(self, lab: Lab) -> None:
        old, new = generate_secret(), generate_secret()
        swarm = MemorySwarm()
        before = lab.node(keyring=Keyring.from_secrets([old]), peer=swarm.join())
        during = lab.node(keyring=Keyring.from_secrets([new, old]), peer=swarm.join())
        await before.get(REPO, ONE)
        await before.close()
        assert kept(await during.get(REPO, ONE)).rule == Rule.PROVE_OTHER
        assert kept(await during.get(REPO, ONE)).hit == "memory"
        assert lab.github.charged() == 1

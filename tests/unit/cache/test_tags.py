"""What is sent to GitHub as a tag, operation by operation, and what is believed of the answers."""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Mapping

import pytest

from p2pcache.cache.decide import Rule
from p2pcache.cache.wanted import ScopePolicy
from p2pcache.github.request import Request
from p2pcache.testing import Verdict
from p2pcache.testing.direct import Direct, DirectResponse
from p2pcache.testing.nodes import MemoryNode
from tests.unit.cache.lab import Lab, kept

REPO = "/repos/octo/app"
FILE = f"{REPO}/contents/README.md"
RAW, HTML = "application/vnd.github.raw+json", "application/vnd.github.html"
ONE, TWO = "ghp_one", "ghp_two"
APP, OTHER_APP = "eyJh.eyJpc3MiOjF9.b25l", "eyJh.eyJpc3MiOjJ9.dHdv"
CLIENT = "Basic " + base64.b64encode(b"Iv1.8a61f9b3a7aba766:s3cret").decode()


def sent(lab: Lab) -> list[str]:
    """The tags of the last request to GitHub."""
    return re.findall(r'"[^"]*"', lab.github.calls[-1].headers.get("if-none-match", ""))


class TestFiles:
    async def test_a_job_that_begins_with_them_learns_nothing_bad_of_the_rule(self, lab: Lab) -> None:
        node = lab.node()
        for path in ("", "/", "/README.md", "/CHANGES", *(f"/README.md?n={n}" for n in range(8))):
            await node.get(f"{REPO}/contents{path}", ONE)
        assert (node.rule_failures, node.engine.trial.disagreed) == ([], 0)
        await node.get(REPO, ONE)
        assert kept(await node.get(REPO, TWO)).hit == "revalidated"

    @pytest.mark.parametrize("target", [FILE, f"{REPO}/contents", f"{REPO}/readme"])
    async def test_githubs_tag_is_good_for_every_job_of_the_scope(self, lab: Lab, target: str) -> None:
        node = lab.node()
        node.identity = ScopePolicy(ONE, "octo/app", per_credential=False)
        first = kept(await node.get(target, ONE))
        lab.expire()
        node.identity = ScopePolicy(TWO, "octo/app", per_credential=False)
        again = kept(await node.get(target, TWO))
        assert (again.hit, again.rule) == ("revalidated", Rule.PROVE_OWN)
        assert sent(lab) == [(first.entry.pointer.etag or "").removeprefix("W/")]

    @pytest.mark.parametrize("accept", ["application/vnd.github+json", HTML])
    async def test_it_says_nothing_of_the_json_around_a_file(self, lab: Lab, accept: str) -> None:
        node = lab.node()
        await node.get(FILE, ONE, accept=accept)
        theirs = kept(await node.get(FILE, TWO, accept=accept))
        assert (theirs.hit, theirs.rule) == (None, Rule.FETCH_UNPROVABLE)
        assert sent(lab) == []

    @pytest.mark.parametrize("target", [FILE, f"{REPO}/readme", f"{FILE}?ref=main"])
    async def test_raw_bytes_are_proved_to_any_caller(self, lab: Lab, target: str) -> None:
        node = lab.node()
        first = kept(await node.get(target, ONE, accept=RAW))
        theirs = kept(await node.get(target, TWO, accept=RAW))
        assert (theirs.hit, theirs.rule) == ("revalidated", Rule.PROVE_OTHER)
        assert theirs.entry.block == first.entry.block
        assert len(sent(lab)) == 1

    async def test_raw_bytes_that_the_tag_does_not_name_are_not(self, lab: Lab) -> None:
        node = lab.node()
        lab.changed(lambda verdict: dataclasses.replace(verdict, body=b"rendered: " + verdict.body))
        await node.get(FILE, ONE, accept=RAW)
        lab.up()
        theirs = kept(await node.get(FILE, TWO, accept=RAW))
        assert (theirs.hit, sent(lab)) == (None, [])
        assert not theirs.entry.block.body.startswith(b"rendered")

    async def test_a_changed_file_is_fetched(self, lab: Lab) -> None:
        node = lab.node()
        await node.get(FILE, ONE, accept=RAW)
        lab.github.edit("octo/app", file="README.md", content="new")
        assert kept(await node.get(FILE, TWO, accept=RAW)).entry.block.body == b"new"


@pytest.mark.parametrize("form", ["diff", "patch"])
async def test_diffs_are_proved_to_any_caller(lab: Lab, form: str) -> None:
    node = lab.node()
    lab.github.edit("octo/app", file="README.md", content='a "quoted" <é>\n')
    accept = f"application/vnd.github.{form}"
    first = kept(await node.get(f"{REPO}/commits/main", ONE, accept=accept))
    theirs = kept(await node.get(f"{REPO}/commits/main", TWO, accept=accept))
    assert '+a "quoted" <é>'.encode() in first.entry.block.body
    assert (theirs.hit, theirs.entry.block) == ("revalidated", first.entry.block)
    assert node.engine.trial.disagreed == 0


async def test_a_bare_sha_is_proved_within_its_scope(lab: Lab) -> None:
    node = lab.node()
    accept = "application/vnd.github.sha"
    await node.get(f"{REPO}/commits/main", ONE, accept=accept)
    assert kept(await node.get(f"{REPO}/commits/main", TWO, accept=accept)).hit is None
    lab.expire()
    assert kept(await node.get(f"{REPO}/commits/main", ONE, accept=accept)).hit == "revalidated"


class TestCredentialsThatAreNotInTheTag:
    async def test_an_app(self, lab: Lab) -> None:
        node = lab.node()
        for token in (APP, OTHER_APP):
            lab.github.token(token, kind="app")
        first = kept(await node.get(f"{REPO}/installation", APP))
        assert first.entry.pointer.vary == ("accept",)
        assert kept(await node.get(f"{REPO}/installation", OTHER_APP)).hit == "revalidated"
        assert node.engine.trial.disagreed == 0

    async def test_the_client_of_an_oauth_app(self, lab: Lab) -> None:
        node = lab.node()
        lab.github.token("s3cret", kind="client")
        await node.get(REPO, ONE)
        assert kept(await node.get(REPO, authorization=CLIENT)).hit == "revalidated"
        assert node.engine.trial.disagreed == 0

    async def test_what_an_answer_varied_on_is_kept_with_it(self, lab: Lab) -> None:
        """A GitHub that leaves tokens out of its tags, and says so."""

        class Generous(Direct):
            async def fetch(self, request: Request, conditions: Mapping[str, str]) -> DirectResponse:
                headers = {name: value for name, value in request.headers.items() if name != "authorization"}
                response = await super().fetch(dataclasses.replace(request, headers=headers), conditions)
                assert "Authorization" not in response.headers["vary"]
                return response

        lab.upstream = Generous(lab.github)
        node = lab.node()
        first = kept(await node.get(REPO, ONE))
        assert (first.entry.pointer.vary, node.engine.trial.disagreed) == (("accept",), 0)
        lab.expire()
        assert kept(await node.get(REPO, ONE)).hit == "revalidated"
        assert len(sent(lab)) == 1


class TestOutsideTheRule:
    async def test_a_feed_is_proved_by_githubs_tag_alone(self, lab: Lab) -> None:
        node = lab.node()
        first = kept(await node.get(f"{REPO}/events", ONE))
        assert sent(lab) == []
        assert kept(await node.get(f"{REPO}/events", TWO)).hit is None
        lab.expire()
        assert kept(await node.get(f"{REPO}/events", ONE)).hit == "revalidated"
        assert sent(lab) == [(first.entry.pointer.etag or "").removeprefix("W/")]
        assert node.engine.trial.disagreed == 0

    async def test_a_search_is_never_conditional(self, lab: Lab) -> None:
        node = lab.node()
        for token in (ONE, ONE, TWO):
            await node.get("/search/issues?q=repo:octo/app", token)
            assert (lab.calls[-1], sent(lab)) == (200, [])
            lab.expire()

    @pytest.mark.parametrize(("target", "hit"), [(REPO, "revalidated"), (f"{REPO}/commits", None)])
    async def test_a_date_is_believed_of_one_resource_and_of_no_list(
        self, lab: Lab, target: str, hit: str | None
    ) -> None:
        node = lab.node()
        lab.changed(lambda verdict: dataclasses.replace(verdict, tag=None))
        assert kept(await node.get(target, accept="text/x")).entry.pointer.last_modified is not None
        lab.expire()
        for _ in range(8):
            node.engine.trial.observe(node.wanted(target).read.shape, lab.clock(), agrees=False)
        again = kept(await node.get(target, accept="text/x"))
        assert again.hit == hit
        assert ("if-modified-since" in lab.github.calls[-1].headers) is (hit is not None)


class OneTag(Direct):
    """A GitHub that understands ``If-None-Match`` only where it is one tag."""

    async def fetch(self, request: Request, conditions: Mapping[str, str]) -> DirectResponse:
        lists = conditions.get("if-none-match", "").count('"') > 2
        response = await super().fetch(request, {})
        if not lists and conditions:
            await response.close()
            return await super().fetch(request, conditions)
        return response


class TestListsOfTags:
    async def test_where_they_are_not_honoured_one_is_sent(self, lab: Lab) -> None:
        lab.upstream = OneTag(lab.github)
        node = lab.node()
        await node.get(REPO, ONE)
        lab.github.edit("octo/app", description="New")
        lab.clock.sleep(1)
        await node.get(REPO, TWO)
        first = kept(await node.get(REPO, "ghp_three"))
        assert (first.hit, node.engine.trial.lists) == (None, False)
        assert node.engine.trial.state(node.wanted(REPO).read.shape, lab.clock()) == "holds"
        assert node.rule_failures == []
        lab.expire()
        assert kept(await node.get(REPO, "ghp_stranger")).hit == "revalidated"
        assert len(sent(lab)) == 1

    async def test_the_callers_own_tag_gives_way_to_ours(self, lab: Lab) -> None:
        node = lab.node()
        await node.get(REPO, ONE)
        node.engine.trial.lists = False
        lab.expire()
        assert kept(await node.get(REPO, ONE, if_none_match='"theirs"')).hit == "revalidated"
        assert '"theirs"' not in sent(lab)


class TestAnEmptyAccept:
    async def test_both_forms_are_sent_until_one_is_known(self, lab: Lab) -> None:
        node = lab.node()
        assert kept(await node.get(f"{REPO}/milestones", ONE, accept="")).rule == Rule.PROVE_EMPTY
        assert len(sent(lab)) == 2
        assert node.engine.trial.empty_accept is True
        lab.expire()
        await node.get(f"{REPO}/milestones", ONE, accept="")
        assert len(sent(lab)) == 1

    async def test_it_may_be_the_other_one(self, lab: Lab) -> None:
        class Forgetful(Direct):
            async def fetch(self, request: Request, conditions: Mapping[str, str]) -> DirectResponse:
                headers = {name: value for name, value in request.headers.items() if value}
                return await super().fetch(dataclasses.replace(request, headers=headers), conditions)

        lab.upstream = Forgetful(lab.github)
        node = lab.node()
        await node.get(REPO, ONE, accept="")
        assert node.engine.trial.empty_accept is False
        assert kept(await node.get(REPO, TWO, accept="")).hit == "revalidated"
        assert (len(sent(lab)), node.engine.trial.disagreed) == (1, 0)

    async def test_neither_says_nothing(self, lab: Lab) -> None:
        node = lab.node()
        lab.changed(foreign)
        await node.get(REPO, ONE, accept="")
        assert node.engine.trial.empty_accept is None


def foreign(verdict: Verdict) -> Verdict:
    """A tag of no rule."""
    return dataclasses.replace(verdict, tag="f" * 64)


async def test_one_operation_is_given_up_and_not_the_rule(lab: Lab) -> None:
    node: MemoryNode = lab.node()
    await node.get(f"{REPO}/labels", ONE)
    lab.changed(foreign)
    for number in range(8):
        await node.get(f"{REPO}?n={number}", ONE)
    lab.up()
    assert node.rule_failures == ["GET /repos/{owner}/{repo} json"]
    assert kept(await node.get(f"{REPO}/labels", TWO)).hit == "revalidated"
    assert node.engine.believed(node.wanted(REPO)).state == "given up"
    await node.get(REPO, ONE)
    lab.expire()
    assert kept(await node.get(REPO, ONE)).hit == "revalidated"


async def test_a_diff_that_is_no_text_is_kept_and_says_nothing_of_the_rule(lab: Lab) -> None:
    node = lab.node()
    lab.changed(lambda verdict: dataclasses.replace(verdict, body=b"\xff"))
    accept = "application/vnd.github.diff"
    assert kept(await node.get(f"{REPO}/commits/main", ONE, accept=accept)).stored
    assert (node.engine.trial.agreed, node.engine.trial.disagreed) == (0, 0)

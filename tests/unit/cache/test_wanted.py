from __future__ import annotations

import base64

import pytest

from p2pcache.cache.entry import Block
from p2pcache.cache.sealing import Keyring, generate_secret
from p2pcache.cache.wanted import ScopePolicy, Wanted, all_scopes, quota_resource, want
from p2pcache.github.classify import classify
from p2pcache.github.request import Read, Request
from p2pcache.testing.etag import entity_tag

RING = Keyring.ephemeral()
JOB = ScopePolicy("ghs_job", "Octo/App", per_credential=False)
VERIFIED = ScopePolicy("ghs_job", "Octo/App", per_credential=True)


def wanted(
    headers: dict[str, str] | None = None,
    *,
    ring: Keyring = RING,
    identity: ScopePolicy = JOB,
    path: str = "/user/repos",
) -> Wanted:
    request = Request("GET", path, headers or {})
    read = classify(request)
    assert isinstance(read, Read)
    return want(ring, identity, read, request)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


ANYBODY: dict[str, str] = {}
BASIC = {"authorization": "Basic " + base64.b64encode(b"x:ghp_1").decode()}
COOKIE = {"cookie": "user_session=1"}


@pytest.mark.parametrize(
    ("one", "two", "same", "same_verified"),
    [
        pytest.param(bearer("ghp_1"), {"authorization": "token ghp_1"}, True, False, id="one token in two forms"),
        pytest.param(bearer("ghp_1"), BASIC, True, False, id="one token as a password"),
        pytest.param(bearer("ghp_1"), bearer("ghp_2"), False, False, id="two tokens"),
        pytest.param(bearer("ghp_1"), ANYBODY, False, False, id="a token and nobody"),
        pytest.param(ANYBODY, ANYBODY, True, True, id="nobody and nobody"),
        pytest.param(ANYBODY, COOKIE, False, False, id="nobody and a cookie"),
        pytest.param(bearer("ghp_1"), bearer("ghp_1") | COOKIE, False, False, id="a token with and without a cookie"),
        pytest.param(COOKIE, {"cookie": "user_session=2"}, False, False, id="two cookies"),
        pytest.param(bearer("ghs_job"), bearer("ghs_other"), False, False, id="the job's token and another"),
    ],
)
def test_who_shares_a_scope(one: dict[str, str], two: dict[str, str], same: bool, same_verified: bool) -> None:
    assert (wanted(one).scope == wanted(two).scope) is same
    verified = [wanted(headers, identity=VERIFIED).scope for headers in (one, two)]
    assert (verified[0] == verified[1]) is same_verified


def test_the_jobs_of_a_repository_share_unless_each_proves_for_itself() -> None:
    def scopes(per_credential: bool) -> set[bytes]:
        return {
            wanted(bearer(token), identity=ScopePolicy(token, "octo/app", per_credential)).scope
            for token in ("ghs_1", "ghs_2")
        }

    assert len(scopes(per_credential=False)) == 1
    assert len(scopes(per_credential=True)) == 2


def test_what_depends_on_a_tokens_permissions_is_each_tokens_own() -> None:
    def scopes(path: str) -> set[bytes]:
        identities = ((token, ScopePolicy(token, "octo/app", per_credential=False)) for token in ("ghs_1", "ghs_2"))
        return {wanted(bearer(token), identity=identity, path=path).scope for token, identity in identities}

    assert len(scopes("/repos/octo/app/issues")) == 1
    assert len(scopes("/repos/octo/app/dependabot/alerts")) == 2
    assert wanted(path="/repos/octo/app/hooks").scope == wanted().scope, "nobody is nobody"
    assert wanted(bearer("ghs_job"), path="/repos/octo/app/hooks").bucket == "actions:octo/app"


def test_the_quota_is_the_jobs_even_where_each_proves_for_itself() -> None:
    assert wanted(bearer("ghs_job"), identity=VERIFIED).bucket == "actions:octo/app"


def test_two_tokens_of_a_scope_are_told_apart_in_the_process() -> None:
    forms = [wanted(bearer("ghp_1")), wanted({"authorization": "token ghp_1"})]
    assert forms[0].credential != forms[1].credential


@pytest.mark.parametrize(("headers", "authorised"), [(ANYBODY, False), (bearer("x"), True), (COOKIE, True)])
def test_a_proof_is_free_with_a_credential(headers: dict[str, str], authorised: bool) -> None:
    assert wanted(headers).authorised is authorised


@pytest.mark.parametrize(
    ("variant", "equal"),
    [
        pytest.param({"accept": "application/vnd.github.raw+json"}, False, id="media type"),
        pytest.param({"x-github-api-version": "2026-03-10"}, False, id="API version"),
        pytest.param({"accept": ""}, True, id="an empty media type"),
        pytest.param({"accept": "*/*"}, True, id="any media type"),
        pytest.param({"x-github-api-version": "2022-11-28"}, True, id="the default version"),
    ],
)
def test_variants_are_never_mixed(variant: dict[str, str], equal: bool) -> None:
    assert (wanted(variant).name == wanted().name) is equal, "a candidate, where they may be equal"
    assert wanted(variant).scope != wanted().scope or not equal


def test_all_names_of_a_scope_are_known() -> None:
    for variant in ({}, {"accept": ""}, {"accept": "*/*", "x-github-api-version": "2022-11-28"}, {"accept": "text/x"}):
        found = wanted(bearer("ghp_1") | variant)
        assert found.scope in all_scopes(RING, found.holder)
        assert found.scope not in all_scopes(RING, wanted(bearer("ghp_2")).holder)


@pytest.mark.parametrize("path", ["/repos/o/r/contents/x", "/repos/o/r/events"])
def test_an_answer_with_another_rule_for_its_tag_has_no_equals(path: str) -> None:
    assert wanted({"accept": "*/*"}, path=path).name != wanted(path=path).name


def test_no_name_tells_what_is_asked() -> None:
    one, again = wanted(bearer("ghp_1")), wanted(bearer("ghp_1"))
    elsewhere = wanted(bearer("ghp_1"), ring=Keyring.ephemeral())
    assert (one.name, one.scope, one.topics) == (again.name, again.scope, again.topics)
    assert one.name != elsewhere.name
    assert one.scope != elsewhere.scope
    assert set(one.topics).isdisjoint(elsewhere.topics)


def test_while_secrets_rotate_the_older_name_is_known() -> None:
    old, new = generate_secret(), generate_secret()
    before = wanted(ring=Keyring.from_secrets([old]))
    during = wanted(ring=Keyring.from_secrets([new, old]))
    assert during.older == (before.name,)
    assert during.name != before.name
    assert before.older == ()
    assert set(before.topics) < set(during.topics), "a drop by who has the older secret alone is understood"


class TestTags:
    HEADERS = {"accept": "application/json", "authorization": "Bearer ghp_1", "cookie": "a=b"}  # noqa: RUF012

    def test_a_token_is_in_them(self) -> None:
        block = Block(200, (("content-type", "application/json; charset=utf-8"),), b"{}")
        expected = entity_tag(self.HEADERS.items(), b"{}", token=True)
        assert wanted(self.HEADERS).tags(block, None, None) == (f'"{expected}"',)

    def test_what_the_answer_varied_on_goes_before_what_is_presumed(self) -> None:
        expected = entity_tag(self.HEADERS.items(), b"{}", token=False)
        assert wanted(self.HEADERS).tags(Block(200, (), b"{}"), ("accept",), None) == (f'"{expected}"',)

    def test_a_diff_is_hashed_as_what_it_is_stored_as(self) -> None:
        block = Block(200, (("x-github-media-type", "x"), ("content-type", "application/vnd.github.diff")), b"-a\n+b")
        asked = wanted(self.HEADERS, path="/repos/o/r/pulls/1")
        expected = entity_tag(self.HEADERS.items(), block.body, token=True, text=True)
        assert asked.tags(block, None, None) == (f'"{expected}"',)

    @pytest.mark.parametrize("path", ["/repos/o/r/contents/a", "/repos/o/r/readme", "/events", "/search/issues"])
    def test_nothing_is_computed_where_no_rule_is_known(self, path: str) -> None:
        assert wanted(self.HEADERS, path=path).tags(Block(200, (), b"[]"), None, None) == ()


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/repos/octo/app", "core"),
        ("/search/issues", "search"),
        ("/search/code", "code_search"),
        ("/graphql", "graphql"),
        ("/searches", "core"),
    ],
)
def test_what_a_read_is_charged_to(path: str, resource: str) -> None:
    assert quota_resource(path) == resource

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from p2pcache.github import events, writes
from tests.conftest import NODE

EXAMPLES = NODE / "node_modules/@octokit/webhooks-examples"
A, B = {"full_name": "Octo/App", "id": 7}, {"full_name": "octo/lib", "id": 8}
ORG = {"login": "Octo"}


def drops(event: str, **payload: Any) -> tuple[str, ...]:
    return events.drops(event, json.dumps(payload).encode())


def dropped(event: str, path: str, **payload: Any) -> bool:
    """Whether a delivery drops what is kept of `path`."""
    return bool(set(drops(event, **payload)) & set(writes.topics(path)))


@functools.cache
def examples() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (f"{file.parent.name} {entry['name']} {number}", entry["name"], example)
        for file in sorted(EXAMPLES.glob("*/index.json"))
        for entry in json.loads(file.read_text("utf-8"))
        for number, example in enumerate(entry["examples"])
    ]


def names(payload: object) -> Iterator[str]:
    """All repositories that are anywhere in a payload, lower case."""
    if isinstance(payload, dict):
        name = payload.get("full_name")
        if isinstance(name, str):
            yield name.lower()
        for value in payload.values():
            yield from names(value)
    elif isinstance(payload, list):
        for value in payload:
            yield from names(value)


@pytest.mark.needs("node")
def test_every_event_that_github_documents_is_in_the_table() -> None:
    every = examples()
    current = [where for where, _, _ in every if where.startswith("api.github.com ")]
    assert len(current) == 329
    assert {event for _, event, _ in every if not events.known(event)} == set()


@pytest.mark.needs("node")
def test_every_payload_drops_something_of_what_it_names_alone() -> None:
    for where, event, payload in examples():
        found = events.drops(event, json.dumps(payload).encode())
        assert bool(found) is (event not in events.IGNORED), where
        repository = (payload.get("repository") or {}).get("full_name", "").lower()
        named = {*names(payload)} if "changes" in payload or "repositories" in str([*payload]) else {repository}
        for topic in found:
            kind, _, rest = topic.partition(":")
            if kind == "graphql" and "/" in rest:
                assert rest in named or "from" in str(payload.get("changes")), (where, topic)
            if kind == "repo" and not rest.startswith("#"):
                assert rest.partition(":")[0] in named or "from" in str(payload.get("changes")), (where, topic)
            if kind in ("owner", "account") and rest != "#":
                assert f'"{rest}"' in json.dumps(payload).lower(), (where, topic)
        if repository and event not in events.IGNORED:
            assert any(repository in topic or topic.startswith("owner:") for topic in found), where


@pytest.mark.needs("node")
def test_a_payload_of_github_drops_everything_only_where_it_names_nothing() -> None:
    whole = {event for _, event, payload in examples() if events.drops(event, json.dumps(payload).encode()) == ("all",)}
    assert whole <= {"enterprise"}


@pytest.mark.parametrize(
    ("event", "reads"),
    [
        ("push", "commits contents/README.md git/ref/heads/main pulls/3 commits/main/status issues tags ."),
        ("create", "branches git/refs tags ."),
        ("issues", "issues issues/3 issues/3/comments pulls labels . events"),
        ("issue_comment", "issues/3/comments issues/comments/5 issues/3"),
        ("label", "labels labels/bug issues"),
        ("pull_request_review", "pulls/3/reviews pulls/3"),
        ("check_run", "commits/main/check-runs check-runs/5 actions/runs commits/main/status"),
        ("workflow_job", "actions/runs/5/jobs actions/jobs/5"),
        ("deployment_status", "deployments deployments/5/statuses environments"),
        ("release", "releases releases/latest releases/tags/v1 releases/assets/5"),
        ("star", "stargazers ."),
        ("member", "collaborators collaborators/mona/permission issues contents/README.md git/blobs/" + "a" * 40),
        ("team_add", "teams contents/README.md"),
        ("public", ". issues contents/README.md"),
        ("deploy_key", "keys keys/5"),
        ("code_scanning_alert", "code-scanning/alerts code-scanning/alerts/5"),
        ("repository_ruleset", "rulesets rules/branches/main branches/main/protection"),
        ("some_event_of_next_year", ". issues contents/README.md keys"),
    ],
)
def test_an_event_drops_what_it_names_by_name_and_by_number_and_nothing_of_another(event: str, reads: str) -> None:
    for read in reads.split():
        tail = "" if read == "." else f"/{read}"
        assert dropped(event, f"/repos/octo/app{tail}", repository=A), read
        assert dropped(event, f"/repositories/7{tail}", repository=A), read
        assert not dropped(event, f"/repos/octo/lib{tail}", repository=A), read
        assert not dropped(event, f"/repositories/8{tail}", repository=A), read
    graphql = writes.query_topics(("octo/app",))
    assert set(drops(event, repository=A)) & set(graphql)
    assert not set(drops(event, repository=A)) & set(writes.query_topics(("octo/lib",)))


@pytest.mark.parametrize(
    ("event", "reads"),
    [
        ("check_run", ". issues pulls contents/README.md commits"),
        ("issues", "contents/README.md commits actions/runs"),
        ("star", "issues contents/README.md"),
        ("deploy_key", ". issues contents/README.md"),
        ("release", "issues pulls actions/runs"),
        ("create", "issues pulls"),
        ("push", "git/blobs/" + "a" * 40 + " keys hooks collaborators"),
    ],
)
def test_an_event_leaves_the_rest_of_its_repository(event: str, reads: str) -> None:
    for read in reads.split():
        tail = "" if read == "." else f"/{read}"
        assert not dropped(event, f"/repos/octo/app{tail}", repository=A), read


@pytest.mark.parametrize("event", ["issues", "push", "repository", "star"])
def test_lists_over_repositories_go_with_it(event: str) -> None:
    assert dropped(event, "/search/issues", repository=A)
    assert dropped(event, "/user/repos", repository=A)


def test_a_finished_check_leaves_searches() -> None:
    assert not dropped("check_run", "/search/issues", repository=A)


@pytest.mark.parametrize(("action", "code"), [("labeled", False), ("synchronize", True), ("closed", True)])
def test_a_pull_request_moves_code_when_its_head_or_its_base_moves(action: str, code: bool) -> None:
    assert dropped("pull_request", "/repos/octo/app/pulls/3", action=action, repository=A)
    assert dropped("pull_request", "/repos/octo/app/commits", action=action, repository=A) is code


def test_what_moved_is_dropped_under_its_former_name_too() -> None:
    renamed = {"repository": {"name": {"from": "Old"}}}
    assert dropped("repository", "/repos/octo/old/issues", action="renamed", repository=A, changes=renamed)
    assert dropped("repository", "/repos/octo/app/issues", action="renamed", repository=A, changes=renamed)
    for kind in ("user", "organization"):
        moved = {"owner": {"from": {kind: {"login": "Mona"}}}}
        assert dropped("repository", "/repos/mona/app/issues", action="transferred", repository=A, changes=moved)
        assert dropped("repository", "/users/mona/repos", action="transferred", repository=A, changes=moved)
    transferred = {"new_issue": {}, "new_repository": B}
    assert dropped("issues", "/repos/octo/lib/issues", action="transferred", repository=A, changes=transferred)
    login = {"login": {"from": "Former"}}
    for login_of in ("octo", "former"):
        assert dropped("organization", f"/repos/{login_of}/x/issues", organization=ORG, changes=login)


def test_what_is_edited_is_not_taken_for_a_move() -> None:
    changes = {"login": 5, "owner": "x", "repository": []}
    assert dropped("label", "/repos/octo/app/labels", repository=A, changes=changes)
    assert drops("label", repository=A, changes=changes) != (writes.ALL,)


@pytest.mark.parametrize("event", ["organization", "membership", "team"])
def test_an_organisations_members_see_what_they_may_see_now(event: str) -> None:
    for read in ("/repos/octo/app/issues", "/repositories/7/issues", "/orgs/octo/members", "/user/repos", "/teams/5"):
        assert dropped(event, read, organization=ORG), read
    assert not dropped(event, "/repos/mona/app/issues", organization=ORG)


def test_an_event_of_an_account_alone_drops_no_repository() -> None:
    assert dropped("org_block", "/orgs/octo/blocks", organization=ORG)
    assert not dropped("org_block", "/repos/octo/app/issues", organization=ORG)
    assert dropped("projects_v2_item", "/users/mona/projectsV2")
    assert not dropped("projects_v2_item", "/repos/octo/app/issues")


def test_repositories_of_an_installation() -> None:
    installed = {"account": {"login": "Octo"}}
    added = {"repositories_added": [A], "repositories_removed": [B]}
    for name in ("app", "lib"):
        assert dropped("installation_repositories", f"/repos/octo/{name}/issues", installation=installed, **added)
    assert not dropped("installation_repositories", "/repos/octo/other/issues", installation=installed, **added)
    many = [{"full_name": f"octo/r{n}", "id": n + 1} for n in range(100)]
    assert dropped("installation_repositories", "/repos/octo/r3", installation=installed, repositories_added=many)
    found = drops("installation_repositories", installation=installed, repositories_added=many)
    assert len(found) < 10
    assert "owner:octo" in found


def test_an_event_of_an_organisation_alone_drops_all_of_its_repositories() -> None:
    assert dropped("repository_ruleset", "/repos/octo/app/rulesets", organization=ORG)
    assert dropped("repository_ruleset", "/orgs/octo/rulesets", organization=ORG)


def test_without_a_number_every_number_is_dropped() -> None:
    assert dropped("issues", "/repositories/7/issues", repository={"full_name": "octo/app"})


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"repository": None},
        {"repository": {}},
        {"repository": {"full_name": "octo"}},
        {"repository": {"full_name": "octo/app/../lib"}},
        {"repository": {"full_name": "öcto/app"}},
        {"repository": "octo/app"},
        {"repository": {"full_name": 5}},
        {"organization": {"login": "a b"}},
        {"repository": A, "changes": {"owner": "x"}},
        {"repository": A, "changes": {"repository": {"name": {"from": "../x"}}}},
    ],
)
def test_a_payload_without_the_names_drops_everything(payload: dict[str, Any]) -> None:
    assert drops("repository", **payload) == (writes.ALL,)


@pytest.mark.parametrize("event", ["push", "ping", "workflow_dispatch"])
@pytest.mark.parametrize("body", [b'{"a": "\\ud83d"}', b"{", b'{"a":' * 100_000])
def test_an_object_that_cannot_be_read_drops_everything(event: str, body: bytes) -> None:
    """A name that was cut within a character, for one: somebody who may write chose it, and not what is kept."""
    assert events.drops(event, body) == (writes.ALL,)


@pytest.mark.parametrize("event", ["push", "ping", "workflow_dispatch"])
@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b"payload=%7B%7D", b"[" * 100_000])
def test_what_is_no_object_is_refused(event: str, body: bytes) -> None:
    with pytest.raises(ValueError, match=r"^no JSON object$"):
        events.drops(event, body)


@pytest.mark.parametrize("event", sorted(events.IGNORED))
def test_what_is_ignored_has_a_reason(event: str) -> None:
    assert events.known(event)
    assert drops(event, repository=A) == ()
    assert re.fullmatch(r"[a-z].{15,}[^.]", events.IGNORED[event])


def test_the_document_has_every_event_that_is_ignored() -> None:
    text = (Path(__file__).parents[3] / "docs/webhooks.md").read_text("utf-8")
    assert [event for event in events.IGNORED if f"`{event}`" not in text] == []


_NAMES = st.from_regex(r"[a-z][a-z0-9_.-]{0,8}", fullmatch=True)
_ROWS = sorted({*events._rows(), *events.IGNORED, "unknown"})


@given(
    event=st.sampled_from([row.partition(".")[0] for row in _ROWS]),
    action=st.sampled_from(["opened", "closed", "edited", "added_to_repository", "renamed"]),
    mine=st.tuples(_NAMES, _NAMES, st.integers(1, 9)),
    other=st.tuples(_NAMES, _NAMES, st.integers(10, 19)),
    tail=st.sampled_from(["", "/issues", "/contents/a", "/commits/main/status", "/keys", "/collaborators", "/pulls/3"]),
)
def test_an_event_of_one_repository_drops_nothing_of_another(
    event: str, action: str, mine: tuple[str, str, int], other: tuple[str, str, int], tail: str
) -> None:
    assume(mine[:2] != other[:2])
    found = set(drops(event, action=action, repository={"full_name": f"{mine[0]}/{mine[1]}", "id": mine[2]}))
    by_account = "owner" in events._rows().get(f"{event}.{action}", events._rows().get(event, ()))
    if not by_account:
        assert not found & set(writes.topics(f"/repos/{other[0]}/{other[1]}{tail}"))
        assert not found & set(writes.topics(f"/repositories/{other[2]}{tail}"))
        assert not found & set(writes.query_topics((f"{other[0]}/{other[1]}",)))
    elif mine[0] != other[0]:
        assert not found & set(writes.topics(f"/repos/{other[0]}/{other[1]}{tail}"))

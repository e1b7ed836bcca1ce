from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.github import routes
from p2pcache.github.request import Lifetime

SHA = "8f0fd5b5a08f2b4f0a7e54a5b2d6d1f0c6a5e9ab"
SHA256 = SHA + SHA[:24]
DESCRIPTIONS = Path(__file__).parents[2] / "node/node_modules/@octokit/openapi/generated"

# Rows of ours that GitHub's description lacks; see the table's docstring.
BEYOND = {
    "/repos/{owner}/{repo}/contents",
    "/repos/{owner}/{repo}/git/refs",
    "/repos/{owner}/{repo}/git/refs/{ref}",
    "/repos/{owner}/{repo}/statuses/{ref}",
    "/repos/{owner}/{repo}/zipball",
    "/repos/{owner}/{repo}/tarball",
    "/organizations/{org}/team/{team_id}",
    "/organizations/{org}/team/{team_id}/invitations",
    "/organizations/{org}/team/{team_id}/members",
    "/organizations/{org}/team/{team_id}/repos",
    "/organizations/{org}/team/{team_id}/teams",
}
# Described in two ways, one operation: the table has the first.
SAME = {
    "/repos/{owner}/{repo}/compare/{base}...{head}": "/repos/{owner}/{repo}/compare/{basehead}",
    "/repos/{owner}/{repo}/commits/{commit_sha}/{rest}": "/repos/{owner}/{repo}/commits/{ref}/{rest}",
}


@cache
def described(name: str = "api.github.com") -> dict[str, dict[str, Any]]:
    """GET path -> the statuses it answers, the JSON type of its 200, and the keys found anywhere near the top of it."""
    document = json.loads((DESCRIPTIONS / f"{name}.json").read_bytes())

    def resolve(node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            _, _, group, kind = node["$ref"].split("/")
            node = document["components"][group][kind]
        return node

    def keys(node: dict[str, Any], depth: int = 3) -> set[str]:
        node = resolve(node)
        inner = [
            node.get("items", {}),
            *node.get("properties", {}).values(),
            *node.get("anyOf", ()),
            *node.get("oneOf", ()),
        ]
        return set(node.get("properties", ())).union(*(keys(child, depth - 1) for child in inner if depth))

    found = {}
    for path, operations in document["paths"].items():
        if "get" in operations:
            statuses = operations["get"]["responses"]
            content = resolve(statuses.get("200", {})).get("content", {})
            schema = resolve(content.get("application/json", {}).get("schema", {}))
            found[path] = {"statuses": set(statuses), "type": schema.get("type"), "keys": keys(schema)}
    return found


def template(path: str) -> str:
    commit = "/repos/{owner}/{repo}/commits/"
    return SAME.get(path) or path.replace(commit + "{commit_sha}/", commit + "{ref}/")


def example(path: str) -> str:
    return re.sub(r"\{([^}]+)\}", lambda match: "x" + match[1], path)


@pytest.mark.parametrize(
    "path",
    [
        *(f"/repos/o/r/{rest}" for rest in ("security-advisories", "dependabot/alerts/5", "code-scanning/alerts")),
        *(f"/repos/o/r/{rest}" for rest in ("actions/secrets", "actions/variables/X", "environments/e/secrets")),
        *(f"/repos/o/r/{rest}" for rest in ("hooks", "hooks/5/deliveries", "collaborators", "keys", "invitations")),
        *(f"/repos/o/r/{rest}" for rest in ("actions/permissions", "actions/runners", "branches/main/protection")),
        *(f"/repos/o/r/{rest}" for rest in ("rulesets", "traffic/views", "pages", "autolinks", "teams")),
        *(f"/repos/o/r/{rest}" for rest in ("releases", "releases/5", "releases/5/assets")),  # drafts
        *("/repositories/5/dependabot/alerts", "/orgs/o/members", "/orgs/o/actions/secrets", "/orgs/o/teams"),
        *("/organizations/5/team/6", "/enterprises/e/dependabot/alerts", "/installation/repositories"),
    ],
)
def test_what_depends_on_more_than_reading_the_repository_is_each_tokens_own(path: str) -> None:
    route = routes.match(path)
    assert route is not None
    assert route.per_token


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/issues",
        "/pulls/5",
        "/contents/x",
        "/actions/runs",
        "/commits/main/check-runs",
        "/releases/latest",
        "/releases/tags/v1",
        "/tags",
    ],
)
def test_what_every_reader_of_a_repository_gets_is_shared(path: str) -> None:
    route = routes.match(f"/repos/o/r{path}")
    assert route is not None
    assert not route.per_token


@pytest.mark.needs("node")
class TestAgainstGitHubsDescription:
    def test_every_get_operation_is_classified_as_itself(self) -> None:
        found = {path: routes.match(example(path)) for path in described()}
        wrong = {path: route for path, route in found.items() if route is None or route.template != template(path)}
        assert wrong == {}

    def test_every_row_is_an_operation_or_a_known_addition(self) -> None:
        rows = {path.replace("+}", "}") for path, _, _ in routes.rows()}
        assert rows - {template(path) for path in described()} == BEYOND

    def test_listings_are_json_arrays(self) -> None:
        for path, about in described().items():
            route = routes.match(example(path))
            assert route is not None
            if about["type"]:
                assert route.listing == (about["type"] == "array"), path

    def test_what_only_redirects_or_answers_204_is_never_kept(self) -> None:
        for path, about in described().items():
            if "200" not in about["statuses"]:
                route = routes.match(example(path))
                assert route is not None
                assert route.lifetime is Lifetime.NEVER, path

    def test_answers_that_hold_signed_urls_or_secrets_are_never_kept(self) -> None:
        signed = {"download_links", "temp_download_token", "bundle_url", "first_location_detected"}
        held = {path for path, about in described().items() if about["keys"] & signed}
        assert len(held) > 10
        for path in held:
            route = routes.match(example(path))
            assert route is not None
            assert route.lifetime is Lifetime.NEVER, path

    def test_most_of_what_an_enterprise_server_shares_with_github_com_is_known(self) -> None:
        shared = described("ghes-3.19").keys() & described().keys()
        assert len(shared) > 400
        assert all(routes.match(example(path)) for path in shared)


R = "/repos/{owner}/{repo}"


@pytest.mark.parametrize(
    ("path", "expected", "lifetime", "listing"),
    [
        ("/rate_limit", "/rate_limit", "never", False),
        # gh reads X-OAuth-Scopes of these two, which is the token's and stands in no entry.
        ("/", "/", "never", False),
        ("/user", "/user", "never", False),
        ("/repos/o/r", R, "normal", False),
        ("/repos/o/r/", R, "normal", False),
        ("/repos/o/r/issues", f"{R}/issues", "normal", True),
        ("/repos/o/r/issues/comments", f"{R}/issues/comments", "normal", True),
        ("/repos/o/r/issues/5", f"{R}/issues/{{issue_number}}", "normal", False),
        ("/repos/o/r/events", f"{R}/events", "live", True),
        ("/notifications", "/notifications", "live", True),
        ("/repos/o/r/actions/runs/5", f"{R}/actions/runs/{{run_id}}", "live", False),
        ("/repos/o/r/actions/runs/5/logs", f"{R}/actions/runs/{{run_id}}/logs", "never", False),
        (
            "/repos/o/r/actions/artifacts/5/zip",
            f"{R}/actions/artifacts/{{artifact_id}}/{{archive_format}}",
            "never",
            False,
        ),
        ("/repos/o/r/zipball", f"{R}/zipball", "never", False),
        ("/repos/o/r/tarball/feature/x", f"{R}/tarball/{{ref}}", "never", False),
        ("/repos/o/r/contents/", f"{R}/contents", "normal", False),
        ("/repos/o/r/contents/a/b/c.py", f"{R}/contents/{{path}}", "normal", False),
        ("/repos/o/r/git/refs/heads/main", f"{R}/git/refs/{{ref}}", "live", False),
        ("/repos/o/r/branches/feature/x", f"{R}/branches/{{branch}}", "live", False),
        ("/repos/o/r/branches/f/x/protection", f"{R}/branches/{{branch}}/protection", "normal", False),
        ("/repos/o/r/commits/feature/x/status", f"{R}/commits/{{ref}}/status", "live", False),
        (f"/repos/o/r/commits/{SHA}/check-runs", f"{R}/commits/{{ref}}/check-runs", "live", False),
        (f"/repos/o/r/commits/{SHA}/pulls", f"{R}/commits/{{ref}}/pulls", "normal", True),
        # Full SHAs, and nothing else, are immutable.
        (f"/repos/o/r/commits/{SHA}", f"{R}/commits/{{ref}}", "immutable", False),
        (f"/repos/o/r/commits/{SHA.upper()}", f"{R}/commits/{{ref}}", "immutable", False),
        (f"/repos/o/r/commits/{SHA256}", f"{R}/commits/{{ref}}", "immutable", False),
        (f"/repos/o/r/commits/{SHA[:12]}", f"{R}/commits/{{ref}}", "live", False),
        (f"/repos/o/r/commits/{SHA}0", f"{R}/commits/{{ref}}", "live", False),
        (f"/repos/o/r/commits/feature/{SHA}", f"{R}/commits/{{ref}}", "live", False),
        ("/repos/o/r/commits/HEAD", f"{R}/commits/{{ref}}", "live", False),
        (f"/repos/o/r/git/trees/{SHA}", f"{R}/git/trees/{{tree_sha}}", "immutable", False),
        ("/repos/o/r/git/trees/main", f"{R}/git/trees/{{tree_sha}}", "live", False),
        (f"/repos/o/r/git/blobs/{SHA}", f"{R}/git/blobs/{{file_sha}}", "immutable", False),
        (f"/repos/o/r/git/tags/{SHA}", f"{R}/git/tags/{{tag_sha}}", "immutable", False),
        (f"/repos/o/r/compare/{SHA}...{SHA}", f"{R}/compare/{{basehead}}", "immutable", False),
        (f"/repos/o/r/compare/{SHA}...main", f"{R}/compare/{{basehead}}", "live", False),
        (f"/repos/o/r/compare/u:{SHA}...{SHA}", f"{R}/compare/{{basehead}}", "live", False),
        # Aliases by number.
        ("/repositories", "/repositories", "slow", True),
        ("/repositories/12", R, "normal", False),
        (f"/repositories/12/commits/{SHA}", f"{R}/commits/{{ref}}", "immutable", False),
        (f"/repositories/12/commits/x/{SHA}", f"{R}/commits/{{ref}}", "live", False),
        ("/organizations/5/repos", "/orgs/{org}/repos", "normal", True),
        ("/organizations/5/team/7/members", "/organizations/{org}/team/{team_id}/members", "normal", True),
        ("/user/12/repos", "/users/{username}/repos", "normal", True),
        ("/user/12", "/user/{account_id}", "slow", False),
        ("/user/repos", "/user/repos", "normal", True),
    ],
)
def test_match(path: str, expected: str, lifetime: str, listing: bool) -> None:
    found = routes.match(path)
    assert found is not None
    assert (found.template, found.lifetime, found.listing) == (expected, Lifetime(lifetime), listing)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "*",
        "/nope",
        "/repos",
        "/repos/o",
        "/repos//r/issues",
        "/Repos/o/r",
        "/repos/o/r/%69ssues",
        "/repositories/x/y",
        "/graphql",
        "/repos/o/r/issues//",
        "http://example.com/",
        "/repos/o/r/contents" + "/a" * 70,
    ],
)
def test_what_github_does_not_document_is_unknown(path: str) -> None:
    assert routes.match(path) is None


@given(
    st.text() | st.lists(st.sampled_from(["repos", "o", "commits", "compare", "git", "status", SHA, ""])).map("/".join)
)
def test_any_path_is_judged(path: str) -> None:
    route = routes.match(path)
    assert route is None or (route.lifetime is not Lifetime.IMMUTABLE or SHA in path)

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from p2pcache.github.methods import WRITES
from p2pcache.github.writes import drops, mutation_drops, query_topics, topics

SHA = "8f0fd5b5a08f2b4f0a7e54a5b2d6d1f0c6a5e9ab"


def voids(write: str, read: str) -> bool:
    method, path = write.split()
    return bool(set(drops(method, path)) & set(topics(read)))


@pytest.mark.parametrize(
    ("write", "read"),
    [
        # The resource, its subtree, its lists.
        ("PATCH /repos/o/r/issues/5", "/repos/o/r/issues/5"),
        ("PATCH /repos/o/r/issues/5", "/repos/o/r/issues/5/comments"),
        ("PATCH /repos/o/r/issues/5", "/repos/o/r/issues?per_page=100&page=2"),
        ("POST /repos/o/r/issues/5/comments", "/repos/o/r/issues/5"),
        ("PATCH /repos/o/r/issues/comments/9", "/repos/o/r/issues/5/comments"),
        ("POST /repos/o/r/issues", "/repos/o/r"),
        ("DELETE /repos/o/r", "/repos/o/r/hooks/5"),
        ("DELETE /repos/o/r", "/users/o/repos"),
        ("DELETE /repos/o/r", "/orgs/o"),
        ("DELETE /repos/o/r", "/user"),
        ("PATCH /repos/o/r", "/orgs/o/repos"),
        ("POST /repos/o/r/hooks", "/repos/o/r/hooks"),
        ("POST /repos/o/r/forks", "/repos/o/r/forks?page=2"),
        ("POST /repos/o/r/forks", "/user/repos"),
        ("POST /orgs/o/repos", "/orgs/o/repos"),
        ("PUT /orgs/o/teams/t/repos/o/r", "/repos/o/r/teams"),
        ("PUT /orgs/o/teams/t/repos/o/r", "/teams/5/repos"),
        ("POST /gists", "/gists"),
        ("PATCH /gists/5", "/users/o/gists"),
        ("PUT /notifications", "/notifications"),
        ("PUT /notifications", "/repos/o/r/notifications"),
        # What changes together.
        ("POST /repos/o/r/issues/5/labels", "/repos/o/r/pulls/5"),
        ("PATCH /repos/o/r/milestones/1", "/repos/o/r/issues"),
        ("PUT /repos/o/r/pulls/5/merge", "/repos/o/r/commits"),
        ("PUT /repos/o/r/pulls/5/merge", "/repos/o/r/contents/a"),
        ("PUT /repos/o/r/pulls/5/merge", "/repos/o/r/pulls"),
        ("PUT /repos/o/r/contents/a", "/repos/o/r/git/ref/heads/main"),
        ("PUT /repos/o/r/contents/a", "/repos/o/r/actions/runs"),
        ("PATCH /repos/o/r/git/refs/heads/x", "/repos/o/r/branches/x"),
        ("POST /repos/o/r/releases", "/repos/o/r/releases/latest"),
        ("POST /repos/o/r/releases", "/repos/o/r/tags"),
        (f"POST /repos/o/r/statuses/{SHA}", f"/repos/o/r/commits/{SHA}/status"),
        (f"POST /repos/o/r/statuses/{SHA}", "/repos/o/r/commits/feature/x/statuses"),
        (f"POST /repos/o/r/commits/{SHA}/comments", f"/repos/o/r/commits/{SHA}"),
        ("POST /repos/o/r/check-runs", "/repos/o/r/commits/main/check-runs"),
        ("POST /repos/o/r/actions/workflows/w/dispatches", "/repos/o/r/actions/runs"),
        ("PUT /user/starred/o/r", "/repos/o/r/stargazers"),
        ("PUT /user/starred/o/r", "/user/starred"),
        ("PUT /user/starred/o/r", "/repos/o/r"),
        # Names and numbers.
        ("PATCH /repos/O/R/issues/5", "/repos/o/r/issues/5"),
        ("PATCH /repos/o/r/issues/5", "/repositories/5/issues?page=2"),
        ("PATCH /repositories/5/issues/5", "/repos/o/r/issues"),
        ("PATCH /repositories/5", "/repos/o/r/hooks"),
        ("DELETE /repos/o/r", "/repositories/5/hooks"),
        ("POST /repos/o/%72/issues", "/repos/o/r/issues"),
        ("POST /repos//o/r/issues", "/repos/o/r/issues"),
        ("POST /repos/o/r/../s/issues", "/repos/o/s/issues"),
        ("POST /orgs/o/repos", "/organizations/5/repos"),
        ("DELETE /repos/o/r", "/organizations/5"),
        ("DELETE /repos/o/r", "/user/5"),
        # Gathered answers.
        ("POST /repos/o/r/issues", "/search/issues?q=x"),
        ("POST /repos/o/r/issues", "/issues"),
        ("POST /repos/o/r/issues", "/orgs/o/issues"),
        ("POST /repos/o/r/statuses/x", "/user/repos"),
        ("POST /repos/o/r/statuses/x", "/installation/repositories"),
        ("POST /repos/o/r/issues", "/users/o/events"),
        ("POST /orgs/o/projectsV2/5/items", "/users/u/projectsV2"),
        # Whatever has no rule.
        ("POST /user/repos", "/repos/o/r"),
        ("POST /credentials/revoke", "/user"),
        ("PUT /repos/o", "/licenses"),
        ("POST /é", "/licenses"),
        ("POST /", "/"),
        ("POST /" + "a/" * 99, "/" + "a/" * 99),
    ],
)
def test_a_write_voids(write: str, read: str) -> None:
    assert voids(write, read)


@pytest.mark.parametrize(
    ("write", "read"),
    [
        ("POST /repos/o/r/issues", "/repos/o/s/issues"),
        ("POST /repos/o/r/issues", "/repos/p/r/issues"),
        ("POST /repos/o/r/issues", "/repos/o/r/contents/a"),
        ("POST /repos/o/r/issues", "/repos/o/r/actions/runs"),
        ("POST /repos/o/r/issues", "/user"),
        ("POST /repos/o/r/issues", "/orgs/o"),
        ("POST /repos/o/r/issues", "/orgs/o/teams"),
        ("POST /repos/o/r/issues", "/repositories/5/commits"),
        ("POST /repos/o/r/statuses/x", "/repos/o/r/pulls/5"),
        ("POST /repos/o/r/statuses/x", f"/repos/o/r/commits/{SHA}"),
        ("PUT /repos/o/r/contents/a", f"/repos/o/r/git/blobs/{SHA}"),
        ("PUT /repos/o/r/contents/a", "/repos/o/r/hooks"),
        ("PATCH /repositories/5/issues/5", "/repositories/6/issues"),
        ("POST /gists", "/repos/o/r"),
        ("POST /repos/o/r/forks", "/repos/o/r/issues"),
        ("HEAD /repos/o/r", "/repos/o/r"),
        ("PUT /user/starred/o/r", "/repos/o/r/issues"),
        ("POST /orgs/o/teams", "/orgs/p/teams"),
        ("POST /repos/o/r/hooks", "/licenses"),
    ],
)
def test_a_write_leaves_alone(write: str, read: str) -> None:
    assert not voids(write, read)


WORDS = [
    "issues",
    "pulls",
    "5",
    "comments",
    "git",
    "commits",
    "blobs",
    SHA,
    "main",
    "hooks",
    "statuses",
    "actions",
    "A%2Fb",
]
BELOW = st.lists(st.sampled_from(WORDS), max_size=6)
ROOTS = st.sampled_from(
    [["repos", "Own", "r"], ["repositories", "5"], ["orgs", "o"], ["user"], ["users", "o"], ["gists"]]
)
ODD = st.text().map(lambda text: ["x", text])
METHODS = st.sampled_from(sorted(WRITES))
QUERIES = st.sampled_from(["", "?page=2", "?a=/b/../c", "?%2e%2e"])


@given(METHODS, ROOTS | ODD, BELOW, QUERIES)
def test_a_write_voids_the_same_path_and_its_list(method: str, root: list[str], below: list[str], query: str) -> None:
    parts = [*root, *below]
    path = "/" + "/".join(parts)
    written = set(drops(method, path))
    assert written & set(topics(path.partition("?")[0] + query))
    # The checks of a commit hang below it, but a commit does not list its checks.
    if below and not ("commits" in below[:1] and below[-1] == "statuses"):
        assert written & set(topics("/" + "/".join(parts[:-1]) + query))


@given(METHODS, BELOW, BELOW)
def test_a_name_and_its_number_are_one_repository(method: str, written: list[str], read: list[str]) -> None:
    names, numbers = "/repos/o/r", "/repositories/5"
    write, path = "/".join(["", *written]).rstrip("/"), "/".join(["", *read]).rstrip("/")
    plain = voids(f"{method} {names}{write}", names + path)
    assert voids(f"{method} {names}{write}", numbers + path) == plain
    assert voids(f"{method} {numbers}{write}", names + path) == plain


@given(st.text() | st.builds(lambda root, below: "/" + "/".join([*root, *below]), ROOTS, BELOW))
def test_topics_are_few_and_never_none(path: str) -> None:
    assert 0 < len(topics(path)) <= 12
    assert "all" in topics(path)
    assert drops("POST", path)


@given(ROOTS, BELOW)
def test_case_does_not_matter(root: list[str], below: list[str]) -> None:
    path = "/" + "/".join([*root, *below])
    assume("%" not in path)
    assert topics(path.upper()) == topics(path.lower())


class TestGraphQL:
    @pytest.mark.parametrize("write", ["POST /repos/O/R/issues", "DELETE /repos/o/r", "PATCH /repositories/5/issues/5"])
    def test_a_rest_write_voids_queries_of_its_repository(self, write: str) -> None:
        assert set(drops(*write.split())) & set(query_topics(("o/r",)))
        assert set(drops(*write.split())) & set(query_topics(()))

    def test_queries_of_other_repositories_stay(self) -> None:
        assert not set(drops("POST", "/repos/o/r/issues")) & set(query_topics(("o/s",)))

    def test_topics_are_few(self) -> None:
        assert len(query_topics(tuple(f"o/r{n}" for n in range(100)))) <= 12
        assert len(query_topics(tuple(f"o/r{n}" for n in range(8)))) <= 12

    @pytest.mark.parametrize(
        "read",
        [
            "/repos/o/r/issues/5",
            "/repositories/5/issues",
            "/repos/o/r",
            "/orgs/O/projectsV2",
            "/search/issues",
            "/user",
        ],
    )
    def test_a_mutation_voids_what_it_names(self, read: str) -> None:
        assert set(mutation_drops(("O/r",))) & set(topics(read))

    def test_a_mutation_leaves_other_repositories_alone(self) -> None:
        assert not set(mutation_drops(("o/r",))) & set(topics("/repos/o/s/issues"))
        assert set(mutation_drops(("o/r",))) & set(query_topics(("o/s",)))

    def test_a_mutation_that_names_nothing_voids_everything(self) -> None:
        assert set(mutation_drops(())) & set(topics("/repos/o/s/issues"))

"""A job's scope is the runner's own token: no other credential is taken for it, whatever a user calls a token."""

import json

import pytest

from tests.support.processes import GitHub, Node, job
from tests.support.trust import APP, JOB, OTHER_JOB, OTHER_PERSONAL, PERSONAL, PRIVATE, Swarm, announced


def pair(swarm: Swarm, first: dict[str, str], second: dict[str, str]) -> tuple[Node, Node]:
    """A hub and a member with these variables, linked."""
    hub = swarm.hub(**first)
    return hub, swarm.member("member", hub, **second)


def said(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, str]:
    """Status and `Cache-Status`."""
    return answer[0], answer[1]["cache-status"]


def test_jobs_of_one_repository_share(swarm: Swarm) -> None:
    """What the others are measured by."""
    hub, member = pair(swarm, job(JOB, APP), job(OTHER_JOB, APP))
    assert hub.get(f"/repos/{APP}", JOB)[0] == 200
    announced(member)
    status, how = said(member.get(f"/repos/{APP}", OTHER_JOB))
    assert (status, how.rpartition("=")[2]) == (200, "peer")


def test_a_token_that_the_user_gives_is_not_the_jobs(swarm: Swarm) -> None:
    """As the Action says it with `token: ${{ secrets.PAT }}`: the other job gets GitHub's own refusal."""
    with_pat = {**job(JOB, APP), "GITHUB_TOKEN": PERSONAL}
    hub, member = pair(swarm, with_pat, job(OTHER_JOB, APP))
    assert hub.get(f"/repos/{PRIVATE}", PERSONAL)[0] == 200
    announced(member)
    assert member.get(f"/repos/{PRIVATE}", OTHER_JOB)[0] == 404


def test_one_persons_repositories_are_not_anothers(swarm: Swarm) -> None:
    first, second = ({**job(JOB, APP), "GITHUB_TOKEN": token} for token in (PERSONAL, OTHER_PERSONAL))
    hub, member = pair(swarm, first, second)
    ours = {each["full_name"] for each in json.loads(hub.get("/user/repos", PERSONAL)[2])}
    announced(member)
    theirs = {each["full_name"] for each in json.loads(member.get("/user/repos", OTHER_PERSONAL)[2])}
    assert PRIVATE in ours
    assert PRIVATE not in theirs


@pytest.mark.parametrize(
    ("told", "token"),
    [
        pytest.param({**job(OTHER_JOB, APP), "GITHUB_ACTIONS": ""}, OTHER_JOB, id="no job of GitHub Actions"),
        pytest.param({**job(OTHER_JOB, APP), "ACT": "true"}, OTHER_JOB, id="act, whose github.token is the user's"),
        pytest.param(job(PERSONAL, APP), PERSONAL, id="a personal token in the runner's place"),
        pytest.param({**job("", APP), "GITHUB_TOKEN": OTHER_JOB}, OTHER_JOB, id="a variable of the environment"),
    ],
)
def test_what_is_no_jobs_token_proves_for_itself(
    swarm: Swarm, trusted_github: GitHub, told: dict[str, str], token: str
) -> None:
    hub, member = pair(swarm, job(JOB, APP), told)
    assert hub.get(f"/repos/{APP}/labels", JOB)[0] == 200
    announced(member)
    trusted_github.order("reset-calls")
    status, how = said(member.get(f"/repos/{APP}/labels", token))
    assert (status, how.rpartition("=")[2]) == (200, "revalidated")
    assert len(trusted_github.calls()) == 1
    assert trusted_github.charged() == 0


def test_a_repository_that_a_node_names_opens_nothing_private_to_it(swarm: Swarm) -> None:
    """A job may well name a repository that is not its own: what that gains it is an answer from its own token."""
    hub, member = pair(swarm, job(PERSONAL, PRIVATE), job(OTHER_JOB, PRIVATE))
    assert hub.get(f"/repos/{PRIVATE}", PERSONAL)[0] == 200
    announced(member)
    assert member.get(f"/repos/{PRIVATE}", OTHER_JOB)[0] == 404

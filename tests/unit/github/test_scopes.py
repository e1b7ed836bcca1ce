from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.github.scopes import credential, scope_of, shown

JOB = "ghs_jobtoken"
SECRET = "ghp_verysecret"


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"accept": "*/*"}, None),
        ({"authorization": "token x"}, "token x\n"),
        ({"cookie": "a=1"}, "\na=1"),
        ({"authorization": "token x", "cookie": "a=1"}, "token x\na=1"),
    ],
)
def test_credential(headers: dict[str, str], expected: str | None) -> None:
    assert credential(headers) == expected


@pytest.mark.parametrize(
    "authorization",
    [
        f"token {JOB}",
        f"Bearer {JOB}",
        f"bearer  {JOB} ",
        basic(f"x-access-token:{JOB}"),
        basic(f"{JOB}:x-oauth-basic"),
        basic(f"{JOB}:"),
    ],
)
def test_the_jobs_token_however_presented_is_the_repositorys_scope(authorization: str) -> None:
    assert scope_of({"authorization": authorization}, JOB, "Owner/Repo") == "actions:owner/repo"


@pytest.mark.parametrize(
    ("headers", "job", "repository"),
    [
        pytest.param({"authorization": "token other"}, JOB, "o/r", id="another token"),
        pytest.param({"authorization": f"token {JOB}"}, None, "o/r", id="no job"),
        pytest.param({"authorization": f"token {JOB}"}, JOB, None, id="no repository"),
        pytest.param({"authorization": f"token {JOB}", "cookie": "a=1"}, JOB, "o/r", id="a cookie may say more"),
        pytest.param({"authorization": "Bearer"}, JOB, "o/r", id="no token"),
        pytest.param({"authorization": "Basic !"}, JOB, "o/r", id="broken basic"),
        pytest.param({"authorization": basic(":")}, JOB, "o/r", id="empty basic"),
        pytest.param({"authorization": "Digest x"}, JOB, "o/r", id="another scheme"),
        pytest.param({"cookie": "a=1"}, "", "o/r", id="a cookie alone"),
    ],
)
def test_everything_else_is_a_scope_of_its_own(
    headers: dict[str, str], job: str | None, repository: str | None
) -> None:
    scope = scope_of(headers, job, repository)
    assert scope.startswith("token:")
    assert len(scope) == len("token:") + 64, "a digest in full: no two tokens meet by chance or by search"


def test_a_basic_password_that_is_no_token_says_who_asks_only_with_its_user() -> None:
    ours, theirs = ({"authorization": basic(f"{user}:hunter2")} for user in ("octo", "mona"))
    assert scope_of(ours, None, None) != scope_of(theirs, None, None)
    assert scope_of(ours, None, None) != scope_of({"authorization": "token hunter2"}, None, None)
    assert scope_of(ours, "hunter2", "o/r").startswith("token:"), "nor is such a password ever a job's token"


def test_a_token_as_basic_password_is_the_token_whoever_is_named() -> None:
    spelled = [{"authorization": basic(pair)} for pair in (f"octo:{SECRET}", f"mona:{SECRET}", f"{SECRET}:")]
    scopes = {scope_of(headers, None, None) for headers in (*spelled, {"authorization": f"Bearer {SECRET}"})}
    assert len(scopes) == 1


def test_a_scope_for_people_is_short() -> None:
    scope = scope_of({"authorization": f"token {SECRET}"}, None, None)
    assert scope.startswith(shown(scope))
    assert len(shown(scope)) == len("token:") + 16
    assert (shown("anonymous"), shown("actions:octo/app")) == ("anonymous", "actions:octo/app")


def test_no_credential_is_anonymous() -> None:
    assert scope_of({}, JOB, "o/r") == "anonymous"


def test_one_token_is_one_scope_and_two_are_two() -> None:
    spelled = {scope_of({"authorization": f"{word} {SECRET}"}, None, None) for word in ("token", "Bearer")}
    assert len(spelled) == 1
    assert scope_of({"authorization": "token other"}, None, None) not in spelled
    assert scope_of({"authorization": f"token {SECRET}", "cookie": "a=1"}, None, None) not in spelled


@given(st.text(), st.text())
def test_no_scope_shows_its_secret(authorization: str, cookie: str) -> None:
    scope = scope_of({"authorization": authorization, "cookie": cookie}, JOB, "o/r")
    assert len(scope) == len("token:") + 64
    assert SECRET not in scope_of({"authorization": f"token {SECRET}"}, None, None)

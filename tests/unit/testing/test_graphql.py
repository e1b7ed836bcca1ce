from __future__ import annotations

import pytest

from p2pcache.testing import StandIn
from tests.unit.testing.conftest import Client

LIST = """fragment issue on Issue {number,title,labels(first:100){nodes{name},totalCount},stateReason}
query IssueList($owner: String!, $repo: String!, $limit: Int, $endCursor: String, $states: [IssueState!] = OPEN) {
  repository(owner: $owner, name: $repo) { hasIssuesEnabled
    issues(first: $limit, after: $endCursor, orderBy: {field: CREATED_AT, direction: DESC}, states: $states) {
      totalCount nodes { ...issue } pageInfo { hasNextPage endCursor } } } }"""
EITHER = """query($n: Int!) { repository(owner: "octo", name: "app") { issue: issueOrPullRequest(number: $n) {
  __typename ...on Issue{id,state} ...on PullRequest{id,state} } } }"""


async def test_gh_lists_issues_page_by_page(client: Client) -> None:
    cursor, seen = None, []
    while True:
        reply = await client.graphql("ghs_1", LIST, owner="octo", repo="app", limit=20, endCursor=cursor)
        issues = reply.json["data"]["repository"]["issues"]
        seen += [node["number"] for node in issues["nodes"]]
        if not issues["pageInfo"]["hasNextPage"]:
            break
        cursor = issues["pageInfo"]["endCursor"]
    assert seen == list(range(45, 0, -1))
    assert "ETag" not in reply.headers


async def test_a_mutation_changes_what_rest_says(client: Client) -> None:
    subject = (await client.graphql("ghs_1", EITHER, n=1)).json["data"]["repository"]["issue"]["id"]
    close = "mutation($input: CloseIssueInput!) { closeIssue(input: $input) { issue { state } } }"
    reply = await client.graphql("ghs_1", close, input={"issueId": subject})
    assert reply.json["data"]["closeIssue"]["issue"]["state"] == "CLOSED"
    assert (await client.get("/repos/octo/app/issues/1", "ghs_1")).json["state"] == "closed"
    say = "mutation($input: AddCommentInput!) { addComment(input: $input) { commentEdge { node { url } } } }"
    await client.graphql("ghs_1", say, input={"subjectId": subject, "body": "hi"})
    assert (await client.get("/repos/octo/app/issues/1/comments", "ghs_1")).json[0]["body"] == "hi"
    again = "mutation($input: ReopenIssueInput!) { reopenIssue(input: $input) { issue { state } } }"
    await client.graphql("ghs_1", again, input={"issueId": subject})
    node = "query($id: ID!) { node(id: $id) { ...on Issue { state comments(last: 1) { nodes { body } } } } }"
    found = (await client.graphql("ghs_1", node, id=subject)).json["data"]["node"]
    assert found == {"state": "OPEN", "comments": {"nodes": [{"body": "hi"}]}}


async def test_an_issue_is_created(client: Client, github: StandIn) -> None:
    create = "mutation($input: CreateIssueInput!) { createIssue(input: $input) { issue { number } } }"
    identity = (await client.get("/repos/octo/app", "ghs_1")).json["node_id"]
    order = {"repositoryId": identity, "title": "New"}
    made = await client.graphql("ghs_1", create, input=order)
    assert made.json["data"]["createIssue"]["issue"]["number"] == 46
    github.token("ghs_2")
    refused = await client.graphql("ghs_2", create, input=order)
    assert "not accessible" in refused.json["errors"][0]["message"]
    nowhere = await client.graphql("ghs_1", create, input={"repositoryId": "x", "title": "New"})
    assert nowhere.json["errors"][0]["type"] == "NOT_FOUND"


@pytest.mark.parametrize("name", ["none", "vault"])
async def test_what_may_not_be_seen_does_not_resolve(client: Client, name: str) -> None:
    reply = await client.graphql("ghs_1", f'{{repository(owner: "octo", name: "{name}") {{ id }} }}')
    assert (reply.status, reply.json["data"]) == (200, {"repository": None})
    assert reply.json["errors"][0]["type"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ('{node(id: "x") {id}}', "Could not resolve to a node"),
        ("{", "Syntax Error"),
        ("{nothing}", "Cannot query field 'nothing'"),
        ('{repository(owner: "octo", name: "app") {issues(first: 1, after: "?") {totalCount}}}', "valid cursor"),
    ],
)
async def test_an_unusable_query_is_an_error_in_a_success(client: Client, query: str, message: str) -> None:
    reply = await client.graphql("ghs_1", query)
    assert reply.status == 200
    assert message in reply.json["errors"][0]["message"]


async def test_bad_requests(client: Client) -> None:
    assert (await client.send("POST", "/graphql", "ghs_1", json={})).status == 400
    assert (await client.graphql(None, "{viewer{login}}")).status == 401
    assert (await client.get("/graphql", "ghs_1")).status == 404


async def test_search_owner_and_budget(client: Client, github: StandIn) -> None:
    query = """{ search(type: ISSUE, last: 2, query: "repo:octo/app is:open") {
        issueCount nodes { ...on Issue { number } } }
      repos: search(type: REPOSITORY, first: 5, query: "app") { repositoryCount }
      repositoryOwner(login: "octo") { repositories(first: 5, privacy: PUBLIC) { nodes { name } } }
      user(login: "octo") { login }  viewer { login }  rateLimit { remaining cost } }"""
    data = (await client.graphql("ghs_1", query)).json["data"]
    assert data["search"]["issueCount"] == 45
    assert len(data["search"]["nodes"]) == 2
    assert data["repos"]["repositoryCount"] == 1
    assert data["repositoryOwner"]["repositories"]["nodes"] == [{"name": "app"}]
    assert data["user"] is None
    assert data["rateLimit"] == {"remaining": 1000, "cost": 1}


async def test_fields_of_issues_need_a_feature(client: Client) -> None:
    values = "nodes { issueFieldValues { totalCount } }"
    query = f'query {{ repository(owner: "octo", name: "app") {{ issues(first: 1) {{ {values} }} }} }}'
    refused = await client.send("POST", "/graphql", "ghs_1", {"query": query})
    assert "feature" in refused.json["errors"][0]["message"]
    taken = await client.send("POST", "/graphql", "ghs_1", {"query": query}, GraphQL_Features="issue_fields, x")
    assert taken.json["data"]["repository"]["issues"]["nodes"] == [{"issueFieldValues": {"totalCount": 0}}]

"""Lists, pages and the contents of repositories."""

from __future__ import annotations

import base64
import io
import re
import tarfile
import zipfile

import pytest

from p2pcache.testing import StandIn
from tests.unit.testing.conftest import Client, Reply

API = "https://api.github.com"


def links(reply: Reply) -> dict[str, str]:
    return {rel: url for url, rel in re.findall(r'<([^>]+)>; rel="(\w+)"', reply.headers.get("Link", ""))}


async def test_pages_go_on_by_number(client: Client) -> None:
    first = await client.get("/repos/octo/app/issues?per_page=20&state=open", "ghs_1")
    number = (await client.get("/repos/octo/app", "ghs_1")).json["id"]
    assert links(first) == {
        "next": f"{API}/repositories/{number}/issues?per_page=20&state=open&page=2",
        "last": f"{API}/repositories/{number}/issues?per_page=20&state=open&page=3",
    }
    seen, reply = [], first
    while True:
        seen += [issue["number"] for issue in reply.json]
        if "next" not in links(reply):
            break
        reply = await client.get(links(reply)["next"].removeprefix(API), "ghs_1")
    assert seen == list(range(45, 0, -1))
    assert links(reply).keys() == {"prev", "first"}


async def test_a_full_last_page_has_no_next(client: Client, github: StandIn) -> None:
    github.repository("octo/even", issues=30, pulls=0)
    assert "Link" not in (await client.get("/repos/octo/even/issues")).headers


@pytest.mark.parametrize("path", ["/orgs/octo/repos", "/users/octo/repos"])
async def test_lists_of_repositories_go_on_by_number_too(client: Client, github: StandIn, path: str) -> None:
    github.repository("octo/lib")
    reply = await client.get(f"{path}?per_page=1")
    following = await client.get(links(reply)["next"].removeprefix(API))
    assert [reply.json[0]["name"], following.json[0]["name"]] == ["app", "lib"]


@pytest.mark.parametrize(
    "path",
    ["/", "/meta", "/users/octo", "/users/octo/orgs", "/orgs/octo", "/search/issues?q=is:open+parser+label:bug+sort:x"]
    + ["/repos/octo/app" + tail for tail in ("/pulls", "/labels", "/labels/bug", "/branches", "/branches/topic-1")]
    + ["/repos/octo/app" + tail for tail in ("/git/refs", "/git/ref/heads/main", "/commits", "/commits/main", "/tags")]
    + ["/repos/octo/app" + tail for tail in ("/releases", "/releases/latest", "/releases/tags/v1.0.0", "/contributors")]
    + ["/repos/octo/app" + tail for tail in ("/languages", "/actions/runs", "/actions/workflows", "/readme", "/forks")]
    + [
        "/repos/octo/app" + tail for tail in ("/contents", "/contents/src", "/contents/src/main.py", "/issues/1/labels")
    ],
)
async def test_everything_named_by_name_is_there(client: Client, path: str) -> None:
    assert (await client.get(path)).status == 200


@pytest.mark.parametrize(
    ("listing", "member"),
    [("/pulls", "number"), ("/releases", "id"), ("/actions/runs", "id"), ("/commits", "sha"), ("/branches", "name")],
)
async def test_what_a_list_names_is_there_by_itself(client: Client, github: StandIn, listing: str, member: str) -> None:
    github.repository("octo/full", pulls=2)
    listed = (await client.get(f"/repos/octo/full{listing}")).json
    items = listed["workflow_runs"] if isinstance(listed, dict) else listed
    one = await client.get(f"/repos/octo/full{listing}/{items[0][member]}")
    assert one.status == 200
    assert one.json[member] == items[0][member]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nothing", 404), ("/users/nobody", 404), ("/orgs/mona", 404), ("/repos/octo/none", 404), ("/user/7", 404)]
    + [
        ("/repos/octo/app" + tail, 404)
        for tail in ("/issues/999", "/issues/x", "/pulls/1", "/labels/none", "/ball/main")
    ]
    + [("/repos/octo/app" + tail, 404) for tail in ("/contents/none", "/releases/1", "/actions/runs/1", "/branches/no")]
    + [("/repos/octo/app" + tail, 404) for tail in ("/git/blobs/0", "/git/ref/heads/no", "/issues/comments/1")]
    + [("/repos/octo/app/commits/none", 422)],
)
async def test_what_is_not_there_is_github_shaped(client: Client, path: str, status: int) -> None:
    reply = await client.get(path)
    assert reply.status == status
    assert reply.json.keys() == {"message", "documentation_url", "status"}
    assert "ETag" not in reply.headers


async def test_an_issue_list_filters(client: Client, github: StandIn) -> None:
    github.edit("octo/app", issue=45, state="closed")
    assert len((await client.get("/repos/octo/app/issues?per_page=100")).json) == 44
    assert [one["number"] for one in (await client.get("/repos/octo/app/issues?state=closed")).json] == [45]
    bugs = (await client.get("/repos/octo/app/issues?labels=bug&per_page=100")).json
    assert 0 < len(bugs) < 44


@pytest.mark.parametrize(
    ("query", "some"),
    [("label:bug", True), ("label:none", False), ("sort:created", True), ("is:pr", False), ("resume+nowhere", False)],
)
async def test_search_understands_qualifiers(client: Client, query: str, some: bool) -> None:
    reply = await client.get(f"/search/issues?q={query}")
    assert bool(reply.json["total_count"]) is some
    assert len(reply.json["items"]) <= 30


async def test_raw_is_a_media_type(client: Client) -> None:
    raw = await client.get("/repos/octo/app/contents/README.md", Accept="application/vnd.github.raw+json")
    listed = (await client.get("/repos/octo/app/contents/README.md")).json
    assert raw.body == base64.b64decode(listed["content"])
    assert raw.headers["X-GitHub-Media-Type"] == "github.v3; param=raw"
    assert raw.headers["Content-Type"].startswith("application/vnd.github.raw")
    blob = f"/repos/octo/app/git/blobs/{listed['sha']}"
    assert (await client.get(blob, Accept="application/vnd.github.v3.raw")).body == raw.body
    assert base64.b64decode((await client.get(blob)).json["content"]) == raw.body


async def test_trees_and_git_commits_hang_together(client: Client) -> None:
    tip = (await client.get("/repos/octo/app/branches/main")).json["commit"]["sha"]
    commit = (await client.get(f"/repos/octo/app/git/commits/{tip}")).json
    tree = (await client.get(f"/repos/octo/app/git/trees/{commit['tree']['sha']}")).json
    assert [entry["path"] for entry in tree["tree"]] == ["CHANGES", "README.md", "src/main.py"]


@pytest.mark.parametrize(("form", "names"), [("tarball", "tar"), ("zipball", "zip")])
async def test_an_archive_is_a_signed_redirect(client: Client, form: str, names: str) -> None:
    reply = await client.get(f"/repos/octo/app/{form}/v1.0.0", "ghs_1")
    assert reply.status == 302
    target = reply.headers["Location"].removeprefix("https://codeload.github.com")
    data = (await client.get(target, Host="codeload.github.com")).body
    if names == "tar":
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            assert "README.md" in archive.getnames()
    else:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert "README.md" in archive.namelist()
    assert (await client.get(target.partition("?")[0], Host="codeload.github.com")).status == 404


async def test_events_say_how_often_to_ask(client: Client) -> None:
    assert (await client.get("/repos/octo/app/events")).headers["X-Poll-Interval"] == "60"


async def test_a_job_sees_its_own_repositories(client: Client) -> None:
    reply = await client.get("/installation/repositories", "ghs_1")
    assert reply.json["total_count"] == 1
    assert (await client.get("/user/repos")).status == 401


@pytest.mark.parametrize("ref", ["HEAD", "main", "refs/heads/main"])
async def test_raw_files_cost_no_quota_and_have_tags_of_their_own(client: Client, github: StandIn, ref: str) -> None:
    reply = await client.get(f"/raw/octo/app/{ref}/README.md", "ghs_1")
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "x-ratelimit-limit" not in reply.headers
    again = await client.get(f"/raw/octo/app/{ref}/README.md", "ghs_1", If_None_Match=reply.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    assert github.charged() == 0


@pytest.mark.parametrize("tail", ["octo/app/HEAD/none.md", "octo/app/none/README.md", "octo/none/HEAD/x", "octo", ""])
async def test_what_is_no_raw_file(client: Client, tail: str) -> None:
    assert (await client.get(f"/raw/{tail}", "ghs_1")).status == 404


async def test_code_is_searched_for_tokens_alone(client: Client) -> None:
    assert (await client.get("/search/code?q=app")).status == 401
    found = (await client.get("/search/code?q=repo:octo/app+readme:x", "ghs_1")).json
    assert {item["repository"]["full_name"] for item in found["items"]} == {"octo/app"}


async def test_what_actions_ask_about_issues_and_pull_requests(client: Client, github: StandIn) -> None:
    github.repository("octo/pulled", issues=1, pulls=1)
    app = "/repos/octo/app"
    labels = (await client.get(f"{app}/issues/1/labels", "ghs_1")).json
    await client.send("PUT", f"{app}/issues/1/labels", "ghs_1", json={"labels": ["stale"]})
    events = (await client.get(f"{app}/issues/1/events", "ghs_1")).json
    assert [(event["event"], event["label"]["name"]) for event in events] == [("labeled", "stale")]
    assert "stale" not in [label["name"] for label in labels]
    files = (await client.get("/repos/octo/pulled/pulls/2/files", "ghs_1")).json
    assert [(file["filename"], file["status"]) for file in files] == [("CHANGES", "modified")]
    assert (await client.get("/repos/octo/pulled/pulls/1/files", "ghs_1")).status == 404, "an issue"
    assert (await client.get(f"{app}/actions/caches", "ghs_1")).json == {"total_count": 0, "actions_caches": []}

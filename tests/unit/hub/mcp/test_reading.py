"""The tools that read GitHub: what they ask, what they give, and what they refuse to ask."""

import json
from typing import Any

import msgspec
import pytest

from p2pcache.hub.mcp.results import MAX_RESULT
from tests.support.mcp import ScriptedApi, call, file, refused

PAGE = "per_page=30"


@pytest.fixture
def api() -> ScriptedApi:
    return ScriptedApi()


def issue(number: int, **fields: Any) -> dict[str, Any]:
    return {"number": number, "title": f"Issue {number}", "user": {"login": "mona"}, "node_id": "I_1", **fields}


# github_get


async def test_any_path_is_read_without_api_links(api: ScriptedApi) -> None:
    api.answers("/repos/octo/app/branches", [{"name": "main", "url": "https://x", "node_id": "1", "html_url": "h"}])
    found = await call(api, "github_get", path="/repos/octo/app/branches")
    assert json.loads(found["data"]["text"]) == [{"name": "main", "html_url": "h"}]
    known = {name: found[name] for name in ("untrusted", "source", "age_s", "fresh_for_s", "charged")}
    assert known == {"untrusted": True, "source": "memory", "age_s": 18, "fresh_for_s": 42, "charged": 0}
    assert "next" not in found


async def test_raw_keeps_all(api: ScriptedApi) -> None:
    api.answers("/x", {"url": "u", "node_id": "n"})
    assert json.loads((await call(api, "github_get", path="/x", raw=True))["data"]["text"]) == {
        "url": "u",
        "node_id": "n",
    }


async def test_a_url_of_the_api_is_its_path(api: ScriptedApi) -> None:
    api.answers("/repos/octo/app?a=b", {})
    await call(api, "github_get", path="https://api.github.com/repos/octo/app?a=b")
    assert api.asked == ["/repos/octo/app?a=b"]


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/repos/octo/app",
        "https://api.github.com@evil.example/x",
        "https://api.github.com.evil.example/x",
        "http://api.github.com/x",
        "//evil.example/x",
        "repos/octo/app",
        "",
        "/-/purge",
        "/-/stats",
        "/repos/octo/app/../../vault",
        "/repos/octo/app/%2e%2e/vault",
        "/repos/octo/app/contents/%2E%2E/a",
        "/orgs/octo/..%2fvault/x/y/z/unknown",
        "/unknown/path/%2e%2e/x",
        "/unknown//path",
        "/repos/octo%2fapp",
        "/repos/octo/app%00",
        "/repos/octo/app\r\nHost: evil.example",
        "/repos/octo/app x",
        "/repos/octo/äpp",
        "/repos/octo/app#fragment",
        "/user?access_token=ghp_1",
        "/user?a=1&client%5fsecret=x",
        "/user?Access%5FToken=",
        "/" + "a" * 3000,
    ],
)
async def test_what_is_no_plain_path_of_the_api_is_not_asked(api: ScriptedApi, path: str) -> None:
    assert "path:" in await refused(api, "github_get", path=path)
    assert api.asked == []


@pytest.mark.parametrize("character", ["é", "好", "😀", "\u200b", '"', "a"])
async def test_a_part_is_within_its_bound_in_either_protocol(api: ScriptedApi, character: str) -> None:
    """The SDK writes what is not ASCII as it is in the older one, and escaped in the newer."""
    api.answers("/x", (character * 30_000).encode())
    found = await call(api, "github_get", path="/x")
    assert found["next"]
    text = msgspec.json.encode(found).decode()
    assert len(json.dumps(found)) + len(json.dumps(text)) <= MAX_RESULT


async def test_a_long_answer_comes_in_parts_that_join(api: ScriptedApi) -> None:
    text = "".join(f'line {number} "quoted" \\ naïve 日本\n' for number in range(2000))
    api.answers("/x", text.encode())
    parts, cursor = [], ""
    while True:
        found = await call(api, "github_get", path="/x", cursor=cursor)
        encoded = json.dumps(found, ensure_ascii=False)
        assert len(encoded.encode()) + len(json.dumps(encoded, ensure_ascii=False).encode()) <= MAX_RESULT
        parts.append(found["data"]["text"])
        assert found["data"]["characters"] == len(text)
        if not (cursor := found.get("next", "")):
            break
    assert "".join(parts) == text
    assert len(parts) > 3


async def test_parts_of_what_changed_are_not_mixed(api: ScriptedApi) -> None:
    api.answers("/x", b"a" * 50_000)
    cursor = (await call(api, "github_get", path="/x"))["next"]
    api.answers("/x", b"b" * 50_000)
    assert "has changed" in await refused(api, "github_get", path="/x", cursor=cursor)
    api.answers("/x", b"short")
    assert "has changed" in await refused(api, "github_get", path="/x", cursor=cursor)


async def test_a_cursor_of_another_path_or_tool_is_refused(api: ScriptedApi) -> None:
    api.answers("/x", b"a" * 50_000)
    api.answers("/y", b"a" * 50_000)
    cursor = (await call(api, "github_get", path="/x"))["next"]
    assert "another call" in await refused(api, "github_get", path="/y", cursor=cursor)
    assert "another call" in await refused(api, "issues", repo="octo/app", cursor=cursor)
    assert "no cursor" in await refused(api, "github_get", path="/x", cursor="AAAA")


async def test_five_megabytes_come_within_the_bound(api: ScriptedApi) -> None:
    api.answers("/x", [{"body": "\u200b\U0001f600" * 100_000} for _ in range(10)])
    found = await call(api, "github_get", path="/x")
    assert len(msgspec.json.encode(found)) * 2 < MAX_RESULT
    assert found["next"]


async def test_bytes_of_another_kind_are_not_shown(api: ScriptedApi) -> None:
    api.answers("/x", b"\xff\x00\x01")
    assert "no text but 3 bytes" in await refused(api, "github_get", path="/x")


async def test_a_renamed_repository_is_followed_and_nothing_else(api: ScriptedApi) -> None:
    api.answers("/repos/octo/old", {}, 301, location="https://api.github.com/repositories/5")
    api.answers("/repositories/5", {"full_name": "octo/new"})
    assert (await call(api, "repository", repo="octo/old"))["data"] == {"full_name": "octo/new"}
    api.answers("/x", {}, 302, location="https://evil.example/secret?token=1")
    said = await refused(api, "github_get", path="/x")
    assert "another server" in said
    assert "evil" not in said


async def test_redirects_have_an_end(api: ScriptedApi) -> None:
    api.answers("/repositories/5", {}, 301, location="https://api.github.com/repositories/5")
    assert "301" in await refused(api, "github_get", path="/repositories/5")
    assert len(api.asked) == 3


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (404, {"message": "Not Found"}, ("404", "Not Found", "may not read")),
        (403, {"message": "hidden\u200b" * 200}, ("403", "hidden\\u{200b}", "more characters")),
        (403, {"message": "p2pcache: The quota is spent."}, ("403: p2pcache: The quota is spent.",)),
        (500, b"<html>", ("500",)),
        (502, [1], ("502",)),
        (500, {"message": {"a": 1}}, ("500",)),
    ],
)
async def test_an_error_is_one_short_sentence(
    api: ScriptedApi, status: int, body: object, words: tuple[str, ...]
) -> None:
    api.answers("/x", body, status)
    said = await refused(api, "github_get", path="/x")
    assert all(word in said for word in words)
    assert len(said) < 500
    assert "\u200b" not in said


# github_graphql


async def test_a_query_is_sent_with_its_variables(api: ScriptedApi) -> None:
    api.answers("/graphql", {"data": {"viewer": {"login": "mona\u202e"}}})
    found = await call(api, "github_graphql", query="query($n: Int) { viewer { login } }", variables={"n": 1})
    assert json.loads(found["data"]["text"].replace("\\u{", "u{")) == {"data": {"viewer": {"login": "monau{202e}"}}}
    assert json.loads(api.bodies[0] or b"")["variables"] == {"n": 1}


@pytest.mark.parametrize(
    "query",
    [
        "mutation { addStar(input: {}) { clientMutationId } }",
        "query A { viewer { login } } mutation B { x }",
        "subscription { x }",
        "{ unbalanced",
        "",
        "# mutation\n" + "x" * 40_000,
        "{" * 100 + "}" * 100,
    ],
)
async def test_what_is_no_read_is_not_sent(api: ScriptedApi, query: str) -> None:
    assert "query:" in await refused(api, "github_graphql", query=query)
    assert api.asked == []


# Lists


async def test_issues_are_listed_without_pull_requests(api: ScriptedApi) -> None:
    pull = issue(2, pull_request={"url": "u"})
    target = f"/repos/octo/app/issues?state=open&{PAGE}"
    api.answers(target, [issue(1, body="b" * 500), pull], link='<https://x>; rel="next"')
    found = await call(api, "issues", repo="octo/app")
    assert [row["number"] for row in found["data"]] == [1]
    assert found["data"][0]["body"].endswith("(350 more characters)")
    api.answers(f"{target}&page=2", [issue(3)])
    after = await call(api, "issues", repo="octo/app", cursor=found["next"])
    assert [row["number"] for row in after["data"]] == [3]
    assert "next" not in after


async def test_a_page_that_is_too_long_goes_on_within_it(api: ScriptedApi) -> None:
    target = f"/repos/octo/app/issues/1/comments?{PAGE}"
    api.answers(target, [{"id": number, "body": "é" * 1400} for number in range(30)])
    seen, cursor = [], ""
    while True:
        found = await call(api, "issues", repo="octo/app", number=1, comments=True, cursor=cursor)
        seen += [row["id"] for row in found["data"]]
        if not (cursor := found.get("next", "")):
            break
    assert seen == list(range(30))
    assert set(api.asked) == {target}


async def test_a_row_that_fits_nowhere_is_cut(api: ScriptedApi) -> None:
    patch = "\u200b\u202e" * 700
    api.answers(f"/repos/octo/app/pulls/1/files?{PAGE}", [{"filename": "a", "patch": patch}, {"filename": "b"}])
    found = await call(api, "pull_requests", repo="octo/app", number=1, part="files")
    assert found["data"][0]["patch"].endswith("more characters)")
    assert len(msgspec.json.encode(found)) * 2 < MAX_RESULT


@pytest.mark.parametrize(
    ("name", "arguments", "target"),
    [
        ("repository", {"repo": "octo/app"}, "/repos/octo/app"),
        ("issues", {"repo": "octo/app", "number": 7}, "/repos/octo/app/issues/7"),
        (
            "issues",
            {"repo": "octo/app", "state": "all", "labels": "a b,c&d"},
            f"/repos/octo/app/issues?state=all&labels=a+b%2Cc%26d&{PAGE}",
        ),
        ("pull_requests", {"repo": "octo/app"}, f"/repos/octo/app/pulls?state=open&{PAGE}"),
        ("pull_requests", {"repo": "octo/app", "number": 7}, "/repos/octo/app/pulls/7"),
        (
            "pull_requests",
            {"repo": "octo/app", "number": 7, "part": "comments"},
            f"/repos/octo/app/issues/7/comments?{PAGE}",
        ),
        ("runs", {"repo": "octo/app", "branch": "x/y"}, f"/repos/octo/app/actions/runs?branch=x%2Fy&{PAGE}"),
        ("runs", {"repo": "octo/app", "run_id": 9}, f"/repos/octo/app/actions/runs/9/jobs?{PAGE}"),
        ("search", {"kind": "code", "query": "a repo:b/c"}, f"/search/code?q=a+repo%3Ab%2Fc&{PAGE}"),
        ("files", {"repo": "octo/app"}, "/repos/octo/app/contents"),
        (
            "files",
            {"repo": "octo/app", "path": "/a b/ü", "ref": "x/y"},
            "/repos/octo/app/contents/a%20b/%C3%BC?ref=x%2Fy",
        ),
    ],
)
async def test_each_tool_makes_one_request(api: ScriptedApi, name: str, arguments: dict[str, Any], target: str) -> None:
    api.answers(target, {"type": "symlink", "target": "b"})
    await call(api, name, **arguments)
    assert api.asked == [target]


async def test_what_failed_in_a_run(api: ScriptedApi) -> None:
    steps = [
        {"name": "a", "conclusion": "success"},
        {"name": "b", "conclusion": "failure"},
        {"name": "c", "status": "queued"},
    ]
    api.answers(f"/repos/octo/app/actions/runs/9/jobs?{PAGE}", {"jobs": [{"id": 1, "name": "test", "steps": steps}]})
    found = await call(api, "runs", repo="octo/app", run_id=9)
    assert found["data"] == [{"id": 1, "name": "test", "unsuccessful_steps": ["b: failure", "c: queued"]}]


async def test_a_search_says_how_many_there_are(api: ScriptedApi) -> None:
    found = {"total_count": 700, "items": [{"full_name": "octo/app"}]}
    api.answers(f"/search/repositories?q=x&{PAGE}", found)
    result = await call(api, "search", kind="repositories", query="x")
    assert (result["total"], result["data"]) == (700, [{"full_name": "octo/app"}])


# Files


async def test_a_file_is_its_text(api: ScriptedApi) -> None:
    api.answers("/repos/octo/app/contents/a.py", file(b"print()\n"))
    found = await call(api, "files", repo="octo/app", path="a.py")
    assert found["data"] == {"text": "print()\n", "characters": 8, "type": "file", "sha": "ab12", "size": 8}


async def test_a_large_file_is_read_by_its_blob(api: ScriptedApi) -> None:
    api.answers("/repos/octo/app/contents/a", file(b"", encoding="none"))
    api.answers("/repos/octo/app/git/blobs/ab12", file(b"large"))
    assert (await call(api, "files", repo="octo/app", path="a"))["data"]["text"] == "large"


@pytest.mark.parametrize("sha", ["", "../../x", 5])
async def test_the_blob_is_named_by_github_and_checked(api: ScriptedApi, sha: object) -> None:
    api.answers("/repos/octo/app/contents/a", file(b"", encoding="none", sha=sha))
    assert "no content" in await refused(api, "files", repo="octo/app", path="a")


async def test_a_folder_is_a_list(api: ScriptedApi) -> None:
    api.answers("/repos/octo/app/contents", [{"name": "a", "type": "dir", "_links": {}}, "odd"])
    assert (await call(api, "files", repo="octo/app"))["data"] == [{"name": "a", "type": "dir"}]


@pytest.mark.parametrize("content", [None, 5, "a"])
async def test_a_file_without_content_is_a_sentence(api: ScriptedApi, content: object) -> None:
    api.answers("/repos/octo/app/contents/a", {"type": "file", "encoding": "base64", "content": content})
    assert "no content" in await refused(api, "files", repo="octo/app", path="a")

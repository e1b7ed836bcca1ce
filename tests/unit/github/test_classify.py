from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from p2pcache.github import writes
from p2pcache.github.classify import classify, raw_file
from p2pcache.github.etag import TagKind
from p2pcache.github.methods import METHODS as KNOWN
from p2pcache.github.methods import WRITES
from p2pcache.github.request import Bypass, Lifetime, Read, Request, Resource, Write

SHA = "8f0fd5b5a08f2b4f0a7e54a5b2d6d1f0c6a5e9ab"
RAW = "application/vnd.github.raw+json"


def get(target: str, **headers: str) -> Request:
    return Request("GET", target, {name.replace("_", "-"): value for name, value in headers.items()})


def test_a_read_says_all_there_is_to_know() -> None:
    request = get(
        "/repos/O/r/issues?per_page=2", accept="text/x", x_github_api_version="2022-11-28", authorization="token x"
    )
    read = classify(request)
    assert isinstance(read, Read)
    assert read.resource == Resource("/repos/O/r/issues", "per_page=2", "text/x", "2022-11-28")
    assert (read.lifetime, read.route, read.listing) == (Lifetime.NORMAL, "GET /repos/{owner}/{repo}/issues", True)
    assert "repo:o/r" in read.topics


def test_conditions_on_freshness_are_not_part_of_the_question() -> None:
    assert classify(get("/meta", if_none_match='"x"', if_modified_since="x")) == classify(get("/meta"))


@pytest.mark.parametrize(
    ("target", "accept", "lifetime"),
    [
        (f"/repos/o/r/contents/a/b?ref={SHA}", RAW, Lifetime.IMMUTABLE),
        (f"/repos/o/r/readme?ref={SHA}", "application/vnd.github.v3.raw", Lifetime.IMMUTABLE),
        (f"/repos/o/r/contents/a?ref={SHA}", None, Lifetime.NORMAL),
        (f"/repos/o/r/contents/a?ref={SHA}", "application/vnd.github+json", Lifetime.NORMAL),
        ("/repos/o/r/contents/a?ref=main", RAW, Lifetime.NORMAL),
        (f"/repos/o/r/contents/a?ref={SHA}&ref=main", RAW, Lifetime.NORMAL),
        ("/repos/o/r/contents/a", RAW, Lifetime.NORMAL),
        (f"/repos/o/r/issues?ref={SHA}", RAW, Lifetime.NORMAL),
    ],
)
def test_raw_files_at_a_commit_are_immutable(target: str, accept: str | None, lifetime: Lifetime) -> None:
    read = classify(get(target, accept=accept) if accept else get(target))
    assert isinstance(read, Read)
    assert read.lifetime is lifetime


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        pytest.param(get("/meta", range="bytes=0-1"), "range", id="range"),
        pytest.param(get("/meta", if_match='"x"'), "precondition", id="if-match"),
        pytest.param(get("/meta", if_unmodified_since="x"), "precondition", id="if-unmodified-since"),
        pytest.param(get("/meta", if_range="x"), "precondition", id="if-range"),
        pytest.param(get("/meta", x_github_otp="1"), "otp", id="one-time password"),
        pytest.param(get("/meta", cache_control="max-age=0, No-Store"), "no-store", id="no-store"),
        pytest.param(get("/meta", content_length="3"), "body", id="content-length"),
        pytest.param(get("/meta", transfer_encoding="chunked"), "body", id="transfer-encoding"),
        pytest.param(Request("GET", "/meta", {}, b"x"), "body", id="a body"),
        pytest.param(get("/meta", accept="\udcff"), "odd", id="bytes in Accept"),
        pytest.param(get("/meta", x_github_api_version="é"), "odd", id="bytes in the version"),
        pytest.param(get("/repos/o/r/contents/a//b"), "odd", id="doubled slash"),
        pytest.param(get("/repos/o/r/contents/../b"), "odd", id="dot segments"),
        pytest.param(get("/repos/o/r/contents/%2E%2e/b"), "odd", id="escaped dot segments"),
        pytest.param(get("/repos/o/r/contents/."), "odd", id="a dot at the end"),
        pytest.param(get("/repos/o%2Fx/r"), "odd", id="an escaped owner"),
        pytest.param(get("/repos/o/r%2Fissues/issues"), "odd", id="an escaped repository"),
        pytest.param(get("/repos/o/r/labels/é"), "odd", id="beyond ASCII"),
        pytest.param(get("/repos/o/r/labels/a b"), "odd", id="a space"),
        pytest.param(get("/meta?a#b"), "odd", id="a fragment"),
        pytest.param(get("/meta?access_token=x"), "credential", id="a token in the query"),
        pytest.param(get("/meta?a=1&client_secret=x"), "credential", id="a secret in the query"),
        pytest.param(get("/rate_limit"), "never", id="the quota"),
        pytest.param(get("/meta", x_http_method_override="DELETE"), "odd", id="another method in truth"),
        pytest.param(get("/meta", x_github_next_global_id="\xe9"), "odd", id="a field that is not ASCII"),
        pytest.param(get("/repos/o/r/zipball/main"), "never", id="an archive"),
        pytest.param(get("/repos/o/r/actions/jobs/5/logs"), "never", id="logs"),
        pytest.param(get("/repos/o/r/releases/assets/5", accept="application/octet-stream"), "redirect", id="an asset"),
        pytest.param(get("/nope"), "unknown", id="not documented"),
        pytest.param(get("/graphql"), "unknown", id="GET /graphql"),
        pytest.param(get("*"), "unknown", id="asterisk"),
        pytest.param(get(""), "unknown", id="empty"),
        pytest.param(get("http://example.com/user"), "unknown", id="absolute"),
        pytest.param(Request("HEAD", "/user"), "method", id="HEAD"),
        pytest.param(Request("OPTIONS", "/user"), "method", id="OPTIONS"),
        pytest.param(Request("BREW", "/pot"), "method", id="unknown method"),
        pytest.param(Request("POST", "/markdown"), "harmless", id="markdown"),
        pytest.param(Request("POST", "/markdown/raw"), "harmless", id="raw markdown"),
        pytest.param(Request("POST", "/app/installations/5/access_tokens"), "harmless", id="token minting"),
        pytest.param(Request("POST", "/repos/o/r/actions/runners/registration-token"), "harmless", id="runner token"),
        pytest.param(Request("POST", "/credentials/revoke"), "harmless", id="revocation, which needs no credential"),
        pytest.param(Request("PATCH", "/applications/x/token"), "harmless", id="token reset"),
        pytest.param(Request("POST", "/repos/o/r/releases/generate-notes"), "harmless", id="release notes"),
        pytest.param(Request("POST", "/graphql", {}, b"{"), "graphql", id="odd GraphQL"),
    ],
)
def test_bypass(request_: Request, reason: str) -> None:
    found = classify(request_)
    assert isinstance(found, Bypass)
    assert found.reason == reason


FIELDS = [
    {"x-github-next-global-id": "1"},
    {"x-github-next-global-id": "0"},
    {"graphql-features": "merge_queue"},
    {"graphql-features": "issue_types"},
    {"x-requested-with": "XMLHttpRequest"},
    {"x-github-anything": "graphql-features"},
    {"x-github-a": "b", "x-github-c": "d"},
    {"x-github-a": "bx-github-c", "x-github-d": ""},
    {},
]


@pytest.mark.parametrize("request_", [Request("GET", "/meta"), Request("POST", "/graphql", {}, b'{"query":"{a}"}')])
def test_fields_that_change_the_answer_are_in_the_key(request_: Request) -> None:
    found = [classify(dataclasses.replace(request_, headers=fields)) for fields in FIELDS]
    names = {read.resource.canonical() for read in found if isinstance(read, Read)}
    assert len(names) == len(FIELDS)


def test_names_of_what_has_no_such_field_stay_what_they_were() -> None:
    """Else every store would be cold after an update, and members of two versions have nothing for each other."""
    assert Resource("/meta", "a", None, "v").canonical() == b"5:/meta1:a-1:v0:"


def test_content_length_zero_is_no_body() -> None:
    assert isinstance(classify(get("/meta", content_length="0")), Read)


def test_an_assets_description_is_a_read() -> None:
    assert isinstance(classify(get("/repos/o/r/releases/assets/5", accept="application/json")), Read)


@pytest.mark.parametrize("method", sorted(WRITES))
def test_writes(method: str) -> None:
    write = classify(Request(method, "/repos/o/r/issues/5?x=1"))
    read = classify(get("/repos/O/R/issues/5"))
    assert isinstance(write, Write)
    assert isinstance(read, Read)
    assert set(write.drops) & set(read.topics)


@pytest.mark.parametrize(
    ("method", "target", "name"),
    [
        ("POST", "/repos/o/secret/issues", "POST /repos/{owner}/{repo}/issues"),
        ("PUT", "/repos/o/secret/issues/5/lock", "PUT /repos/{owner}/{repo}/issues/{issue_number}/..."),
        ("POST", "/secret", "POST other"),
        ("POST", "/", "POST /"),
        ("HEAD", "/user", "HEAD /user"),
        ("SECRET", "/user", "OTHER /user"),
        ("GET", "/secret", "GET other"),
        ("GET", "/repos/secret/secret/zipball/secret", "GET /repos/{owner}/{repo}/zipball/{ref}"),
    ],
)
def test_the_route_holds_no_value(method: str, target: str, name: str) -> None:
    assert classify(Request(method, target)).route == name


class TestGraphQL:
    def test_a_query_is_a_read_of_short_life(self) -> None:
        body = json.dumps({"query": '{repository(owner:"O",name:"r"){id}}'}).encode()
        read = classify(Request("POST", "/graphql?x", {"accept": "a", "x-github-api-version": "b"}, body))
        assert isinstance(read, Read)
        assert read.resource == Resource("/graphql", "x", "a", "b", read.resource.digest)
        assert len(read.resource.digest) == 64
        assert (read.lifetime, read.route, read.listing) == (Lifetime.LIVE, "POST /graphql", False)
        assert "graphql:o/r" in read.topics

    @pytest.mark.parametrize(
        ("headers", "reason"),
        [({"cache-control": "no-store"}, "no-store"), ({"x-github-otp": "1"}, "otp"), ({"accept": "\xe9"}, "odd")],
    )
    def test_a_personal_query_is_not_kept(self, headers: dict[str, str], reason: str) -> None:
        body = json.dumps({"query": "{viewer{login}}"}).encode()
        assert classify(Request("POST", "/graphql", headers, body)) == Bypass("POST /graphql", reason)

    def test_a_mutation_is_a_write(self) -> None:
        body = b'{"query":"mutation{x}"}'
        assert classify(Request("POST", "/graphql", {}, body)) == Write("POST /graphql", ("all",))


PARTS = st.sampled_from(
    ["repos", "repositories", "o", "5", "issues", "..", "%2e%2e", "", "%2F", "commits", SHA, "é", "\ud800"]
)
TARGETS = st.text() | st.lists(PARTS, max_size=8).map(lambda parts: "/" + "/".join(parts)) | st.just("/graphql")
METHODS = st.sampled_from(sorted(KNOWN)) | st.text()


@given(METHODS, TARGETS, st.none() | st.text(), st.binary())
@example("POST", "/repos/\ud800/x", None, b"")
@example("GET", "/repos/o/r?\ud800", None, b"")
def test_nothing_raises_and_what_is_kept_can_be_named(
    method: str, target: str, accept: str | None, body: bytes
) -> None:
    headers = {} if accept is None else {"accept": accept}
    found = classify(Request(method, target, headers, body if target == "/graphql" else b""))
    if isinstance(found, Read):
        assert found.lifetime is not Lifetime.NEVER
        assert found.resource.canonical()
        assert all(topic.encode() for topic in found.topics)
    if isinstance(found, Write):
        assert found.drops
        assert all(topic.encode() for topic in found.drops)


def raw(target: str, method: str = "GET", **headers: str) -> Request:
    return Request(method, target, {name.replace("_", "-"): value for name, value in headers.items()}, raw=True)


@pytest.mark.parametrize(
    ("ref", "lifetime"),
    [
        (SHA, Lifetime.IMMUTABLE),
        (SHA.upper(), Lifetime.IMMUTABLE),
        ("HEAD", Lifetime.NORMAL),
        ("main", Lifetime.NORMAL),
        ("refs/heads/main", Lifetime.NORMAL),
        (f"refs/heads/{SHA}", Lifetime.NORMAL),
        (SHA[:39], Lifetime.NORMAL),
    ],
)
def test_a_raw_file_lives_as_long_as_its_ref_names_it(ref: str, lifetime: Lifetime) -> None:
    read = raw_file(raw(f"/Octo/App/{ref}/src/a.py", accept="x"))
    assert isinstance(read, Read)
    assert (read.lifetime, read.tag, read.route) == (lifetime, TagKind.OPAQUE, "GET /raw/{owner}/{repo}/{ref}/{path}")
    assert read.topics == writes.topics("/repos/octo/app/contents/src/a.py")
    assert read.resource.accept == "x"


def test_a_raw_file_is_no_resource_of_the_api() -> None:
    read = raw_file(raw("/o/r/HEAD/a"))
    assert isinstance(read, Read)
    assert isinstance(classify(get(read.resource.path)), Bypass)


@pytest.mark.parametrize(
    "target",
    [
        *("/", "/o", "/o/r", "/o/r/HEAD", "/o/r/HEAD/", "/o/r//a", "//o/r/HEAD/a", "/o/r/HEAD/../a", "/o/r/HEAD/./a"),
        *("/o/r/HEAD/%2e%2e/a", "/o/r/HEAD/%2E/a", "/o/r/HEAD/a%2f..%2fb", "/o/r/HEAD/a%5cb", "/o%2fx/r/HEAD/a"),
        *("/../r/HEAD/a", "/o/../HEAD/a", "/o/./HEAD/a", "/o/%72/HEAD/a", "/o/r/HEAD/a\\b", "/o/r/HEAD/\x00"),
        *("o/r/HEAD/a", "", "/o/r/HEAD/a/", "/o/r/HEAD/a#b", "/o/r/HEAD/a\n", "/o/r/HEAD/\u00fc"),
    ],
)
def test_what_servers_may_read_in_two_ways_is_no_file(target: str) -> None:
    assert raw_file(raw(target)) is None


@pytest.mark.parametrize(
    "path", ["a b".replace(" ", "%20"), "a+b", "a%25b", "a;b", "%E2%82%AC.txt", "...", ".gitignore"]
)
def test_names_of_files_may_be_strange(path: str) -> None:
    assert isinstance(raw_file(raw(f"/o/r/HEAD/{path}")), Read)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (raw("/o/r/HEAD/a", "HEAD"), "method"),
        (raw("/o/r/HEAD/a?token=ABC"), "credential"),
        (raw("/o/r/HEAD/a", range="bytes=0-1"), "range"),
        (raw("/o/r/HEAD/a", cache_control="no-store"), "no-store"),
        (raw("/o/r/HEAD/a", accept="ü"), "odd"),
    ],
)
def test_a_raw_file_that_is_streamed(request_: Request, reason: str) -> None:
    bypass = raw_file(request_)
    assert isinstance(bypass, Bypass)
    assert bypass.reason == reason

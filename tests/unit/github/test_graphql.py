from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.github import graphql
from p2pcache.github.classify import classify
from p2pcache.github.graphql import GraphQLOdd, GraphQLRead, GraphQLWrite
from p2pcache.github.request import Read, Request
from p2pcache.github.writes import ALL


def body(query: str, **rest: Any) -> bytes:
    return json.dumps({"query": query, **rest}).encode()


def digest(query: str, **rest: Any) -> str:
    found = graphql.read(body(query, **rest))
    assert isinstance(found, GraphQLRead)
    return found.digest


@pytest.mark.parametrize(
    ("query", "own"),
    [
        ('{repository(owner:"o",name:"r"){issues(first:9){nodes{title}}}}', False),
        ('{repository(owner:"o",name:"r"){vulnerabilityAlerts(first:9){nodes{id}}}}', True),
        ('{repository(owner:"o",name:"r"){seen: collaborators(first:9){nodes{login}}}}', True),
        ('query{node(id:"x"){... on BranchProtectionRule{pattern}}}', True),
    ],
)
def test_what_depends_on_a_tokens_permissions_is_each_tokens_own(query: str, own: bool) -> None:
    read = classify(Request("POST", "/graphql", {}, body(query)))
    assert isinstance(read, Read)
    assert read.per_token is own


SAME = [
    pytest.param(body("{viewer{login}}"), body(" {\n viewer , { login } # mine\n}"), id="ignored tokens"),
    pytest.param(body("{viewer{login}}"), body("query {viewer{login}}"), id="shorthand"),
    pytest.param(body("{viewer{login}}"), body("{viewer{login}}", variables={}, operationName=None), id="nothing said"),
    pytest.param(
        body("query($a:Int,$b:Int){x(a:$a,b:$b)}", variables={"a": 1, "b": {"c": 1, "d": 2}}),
        body("query($a:Int,$b:Int){x(a:$a,b:$b)}", variables={"b": {"d": 2, "c": 1}, "a": 1}),
        id="order of variables",
    ),
    pytest.param(b'{"query":"{a}"}', b' { "variables" : null, "query" : "{\\u0061}" } ', id="JSON spelling"),
]
DIFFERENT = [
    pytest.param(body("{viewer{login}}"), body("{viewer{name}}"), id="fields"),
    pytest.param(body('{x(a:"b  c")}'), body('{x(a:"b c")}'), id="strings"),
    pytest.param(body("{a b}"), body("{b a}"), id="order of fields"),
    pytest.param(body("{x}", variables={"a": 1}), body("{x}", variables={"a": 2}), id="variables"),
    pytest.param(body("{x}", variables={"a": 1}), body("{x}", variables={"a": "1"}), id="types of variables"),
    pytest.param(
        body("query A{x} query B{y}", operationName="A"),
        body("query A{x} query B{y}", operationName="B"),
        id="operation",
    ),
]


@pytest.mark.parametrize(("a", "b"), SAME)
def test_one_question(a: bytes, b: bytes) -> None:
    first = graphql.read(a)
    assert isinstance(first, GraphQLRead)
    assert graphql.read(b) == first


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_two_questions(a: bytes, b: bytes) -> None:
    first, second = graphql.read(a), graphql.read(b)
    assert isinstance(first, GraphQLRead)
    assert isinstance(second, GraphQLRead)
    assert first.digest != second.digest


@pytest.mark.parametrize(
    ("asked", "operation"),
    [
        (body("mutation M{x}"), "M"),
        (body("mutation{x}"), ""),
        (body("subscription S{x}"), "S"),
        (body("query A{x} mutation B{y}", operationName="B"), "B"),
        (body("mutation{"), ""),
        (body("mutation{x}" + " " * graphql.MAX_DOCUMENT), ""),
        (b'[{"query":"mutation{x}"}]', ""),
        (body("query A{x} mutation B{y}"), ""),
    ],
)
def test_writes_and_what_could_be_one(asked: bytes, operation: str) -> None:
    assert graphql.read(asked) == GraphQLWrite(operation)


def test_the_chosen_operation_counts() -> None:
    found = graphql.read(body("query A{x} mutation B{y}", operationName="A"))
    assert isinstance(found, GraphQLRead)
    assert found.operation == "A"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        pytest.param(b"", "JSON", id="empty"),
        pytest.param(b"\xff", "JSON", id="bytes"),
        pytest.param(b'[{"query":"{x}"}]', "JSON", id="batch"),
        pytest.param(b'{"query":1}', "JSON", id="no text"),
        pytest.param(b'{"variables":{}}', "JSON", id="no query"),
        pytest.param(body("{x}", variables=[1]), "JSON", id="variables are a list"),
        pytest.param(body("{x}", extensions={}), "JSON", id="extensions"),
        pytest.param(b'{"query":"{x}","variables":{"a":' + b"[" * 100_000, "JSON", id="nested variables"),
        pytest.param(body("{x"), "syntax", id="syntax"),
        pytest.param(body(""), "syntax", id="empty document"),
        pytest.param(body("{x}" + "," * graphql.MAX_DOCUMENT), "large", id="large"),
        pytest.param(body("{x" * 100 + "}" * 100), "large", id="deep"),
        pytest.param(body("{x(a:" + "[" * 100), "large", id="deep and open"),
        pytest.param(body("{" + "x " * 10_000 + "}"), "syntax", id="many tokens"),
        pytest.param(body("query A{x} query B{y}"), "single", id="which of two"),
        pytest.param(body("query A{x}", operationName="B"), "single", id="none of that name"),
        pytest.param(body("{x}", operationName="B"), "single", id="no name"),
        pytest.param(body("fragment F on X{y}"), "single", id="no operation"),
        pytest.param(body("{rateLimit{remaining}}"), "quota", id="the quota"),
    ],
)
def test_odd(asked: bytes, reason: str) -> None:
    found = graphql.read(asked)
    assert isinstance(found, GraphQLOdd)
    assert reason in found.reason


@given(st.binary() | st.text().map(body) | st.text(alphabet='{}()[]x:$"#!@. \n').map(body))
def test_any_body_is_judged(asked: bytes) -> None:
    assert isinstance(graphql.read(asked), GraphQLRead | GraphQLWrite | GraphQLOdd)


@pytest.mark.parametrize("opened", ["{x", "{x(a:[", "{x(a:{a:", "query($a:["])
def test_the_deepest_document_that_is_parsed_fits_the_stack(opened: str) -> None:
    times = graphql.MAX_DEPTH // opened.count("{") if opened.count("{") else graphql.MAX_DEPTH
    assert isinstance(graphql.read(body(opened * (times // 2))), graphql.GraphQLOdd)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(body('{repository(owner:"O",name:"R"){id}}'), {"graphql:o/r"}, id="one repository"),
        pytest.param(
            body("query($o:String!,$n:String!){repository(owner:$o,name:$n){id}}", variables={"o": "o", "n": "r"}),
            {"graphql:o/r"},
            id="by variables",
        ),
        pytest.param(
            body(
                '{rateLimit{cost} __typename a:repository(owner:"o",name:"r"){id} b:repository(owner:"o",name:"s"){id}}'
            ),
            {"graphql:o/r", "graphql:o/s"},
            id="two repositories",
        ),
        pytest.param(body("{viewer{login}}"), {"graphql:*"}, id="something else"),
        pytest.param(
            body('{repository(owner:"o",name:"r"){id} viewer{login}}'), {"graphql:*"}, id="and something else"
        ),
        pytest.param(body("{...F} fragment F on Query{viewer{login}}"), {"graphql:*"}, id="a fragment"),
        pytest.param(body("query($o:String!){repository(owner:$o){id}}"), {"graphql:*"}, id="unknown variables"),
        pytest.param(body('{repository(owner:"o",name:5){id}}'), {"graphql:*"}, id="no text"),
        pytest.param(body('{repository(owner:"o",name:"r/s"){id}}'), {"graphql:*"}, id="no name"),
        pytest.param(
            body("{" + "".join(f'r{n}:repository(owner:"o",name:"r{n}"){{id}}' for n in range(20)) + "}"),
            {"graphql:*"},
            id="too many repositories",
        ),
    ],
)
def test_topics(asked: bytes, expected: set[str]) -> None:
    found = graphql.read(asked)
    assert isinstance(found, GraphQLRead)
    assert set(found.topics) == {"all", "graphql"} | expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b'{"data":{"viewer":{}}}', True),
        (b'{"data":{"errors":[]}}', True),
        (b'{"data":null}', False),
        (b'{"data":{},"errors":[{"message":"x"}]}', False),
        (b'{"errors":[{"type":"RATE_LIMITED"}]}', False),
        (b'{"message":"Bad credentials"}', False),
        (b"[]", False),
        (b"", False),
        (b"[" * 100_000, False),
    ],
)
def test_keepable(answer: bytes, expected: bool) -> None:
    assert graphql.keepable(answer) is expected


@pytest.mark.parametrize(
    ("asked", "answer", "repositories"),
    [
        pytest.param(b"", {"x": {"nameWithOwner": "O/R"}}, ["o/r"], id="by name"),
        pytest.param(b"", {"x": {"url": "https://github.com/o/r/issues/5"}}, ["o/r"], id="by URL"),
        pytest.param(b"", {"x": {"resourcePath": "/o/r/pull/7#x"}}, ["o/r"], id="by path"),
        pytest.param(
            b"", {"a": {"url": "https://github.com/o/r"}, "b": {"nameWithOwner": "o/s"}}, ["o/r", "o/s"], id="two"
        ),
        pytest.param(
            body("mutation($i:X!){x(input:$i)}", variables={"i": {"branch": {"repositoryNameWithOwner": "o/r"}}}),
            {"x": {"commit": {"oid": "1"}}},
            ["o/r"],
            id="the request says",
        ),
    ],
)
def test_a_mutation_drops_what_it_names(asked: bytes, answer: Any, repositories: list[str]) -> None:
    topics = graphql.drops(asked, json.dumps({"data": answer}).encode())
    assert {topic for topic in topics if topic.startswith("repo:")} == {f"repo:{name}" for name in repositories}
    assert {"graphql", "numeric", "across"} <= set(topics)


def test_a_mutation_that_names_very_many_drops_everything() -> None:
    named = [{"nameWithOwner": f"o/r{n}"} for n in range(graphql.MAX_NAMED + 1)]
    assert graphql.drops(b"", json.dumps({"data": named}).encode()) == ("all",)
    assert len(graphql.drops(b"", json.dumps({"data": named[:-1] * 9}).encode())) < 3 * graphql.MAX_NAMED


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b'{"data":{"x":{"id":"R_1"}}}', id="names nothing"),
        pytest.param(b'{"data":{"x":{"url":"https://github.com/o/r"}},"errors":[]}', id="partial"),
        pytest.param(b'{"data":{"x":{"body":"\\"nameWithOwner\\":\\"o/r\\""}}}', id="text that looks like a name"),
        pytest.param(b"", id="unreadable"),
    ],
)
def test_a_mutation_that_names_nothing_drops_everything(answer: bytes) -> None:
    said = body(
        'mutation($t:String){x(text:"repositoryNameWithOwner",t:$t){id}}', variables={"t": '"nameWithOwner":"o/r"'}
    )
    assert graphql.drops(said, answer) == ("all",)


def test_a_node_that_sees_no_query_never_loads_the_parser() -> None:
    code = "import sys, p2pcache.github.classify; sys.exit('graphql' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0


@pytest.mark.parametrize(
    "field", ["transferIssue(input:$i)", "updateRepository(input:$i)", "convertPullRequestToDraft(input:$i)"]
)
def test_what_has_another_place_or_name_now_is_forgotten_where_it_was(field: str) -> None:
    request = body(f"mutation($i:X!){{{field}{{issue{{url}}}}}}")
    answer = b'{"data":{"x":{"issue":{"url":"https://github.com/octo/lib/issues/9"}}}}'
    assert graphql.drops(request, answer) == (ALL,)


@pytest.mark.parametrize("field", ["releases(first:30){nodes{isDraft}}", 'release(tagName:"v1"){id}'])
def test_releases_are_each_tokens_own(field: str) -> None:
    assert graphql.per_token(body(f'query{{repository(owner:"o",name:"r"){{{field}}}}}'))

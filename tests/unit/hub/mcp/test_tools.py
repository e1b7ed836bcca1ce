"""The tools as a table: what clients are shown of them, and arguments that cannot be used."""

from typing import Any

import msgspec
import pytest

from p2pcache.hub.mcp import tools
from p2pcache.hub.mcp.tools import TOOLS
from tests.support.mcp import ScriptedApi, refused


@pytest.fixture
def api() -> ScriptedApi:
    return ScriptedApi()


def test_there_are_at_most_ten_tools_of_eight_kilobytes() -> None:
    shown = [[tool.name, tool.description, tool.input_schema, tool.output_schema] for tool in TOOLS]
    assert len(TOOLS) <= 10
    assert len(msgspec.json.encode(shown)) < 8000
    assert [tool.name for tool in TOOLS if tool.changes] == ["cache_purge"]
    assert tools.named("github_put") is None


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_schemas_name_what_is_taken_and_given(tool: tools.ToolRow) -> None:
    assert set(tool.input_schema["properties"]) == set(tool.takes.__struct_fields__)
    assert {"data", "source", "age_s", "fresh_for_s", "charged", "quota"} <= set(tool.output_schema["properties"])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("issues", {}),
        ("issues", {"repo": 5}),
        ("issues", {"repo": "octo/app", "number": "7"}),
        ("issues", {"repo": "octo/app", "state": "deleted"}),
        ("issues", {"repo": "octo/app", "unknown": 1}),
        ("search", {"kind": "users", "query": "x"}),
        ("github_graphql", {"query": "{a}", "variables": []}),
        ("github_get", {"path": ["/x"]}),
        ("cache_purge", {"all": "yes"}),
    ],
)
async def test_arguments_of_other_types_are_refused(api: ScriptedApi, name: str, arguments: dict[str, Any]) -> None:
    assert (await refused(api, name, **arguments)).startswith("arguments: ")
    assert api.asked == []


@pytest.mark.parametrize(
    "repo", ["octo", "octo/app/x", "../app", "octo/..", "octo/a b", "octo/app?x", "/octo/app", "a/" + "b" * 101]
)
async def test_a_repository_is_owner_and_name(api: ScriptedApi, repo: str) -> None:
    assert "OWNER/REPO" in await refused(api, "repository", repo=repo)
    assert api.asked == []


async def test_long_arguments_are_refused(api: ScriptedApi) -> None:
    assert "more than" in await refused(api, "search", kind="code", query="x" * 3000)
    assert "more than" in await refused(api, "files", repo="a/b", path="x" * 3000)
    assert "path:" in await refused(api, "files", repo="a/b", path="a/../../../user")


async def test_what_is_no_json_is_a_sentence(api: ScriptedApi) -> None:
    api.answers("/repos/octo/app", b"{", content_type="application/json")
    assert "not JSON" in await refused(api, "repository", repo="octo/app")


async def test_what_is_nested_deeply_is_a_sentence(api: ScriptedApi) -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"a": deep}
    assert "nested" in await refused(api, "github_graphql", query="{a}", variables=deep)


async def test_a_call_has_an_end(api: ScriptedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(api, "github", never)
    assert "no answer within" in await refused(api, "repository", repo="octo/app")

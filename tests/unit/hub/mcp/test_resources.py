"""Resources: which URIs there are, what they show, and how long."""

import json

import pytest

from p2pcache.hub.mcp import resources
from p2pcache.hub.mcp.asking import AskError
from p2pcache.hub.mcp.resources import MAX_RESOURCE, TEMPLATES, UnknownResourceError
from tests.support.mcp import ScriptedApi, file


@pytest.fixture
def api() -> ScriptedApi:
    return ScriptedApi()


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_each_template_names_a_read_of_the_api(template: resources.TemplateRow) -> None:
    uri = template.uri.format_map({"owner": "octo", "repo": "app", "+path": "src/a.py", "number": "7", "run_id": "9"})
    found, target, read = resources.located(uri)
    assert found is template
    assert uri == f"github:/{target}"
    assert "repo:octo/app" in read.topics


@pytest.mark.parametrize(
    "uri",
    [
        "github://repos/octo",
        "github://repos/octo/app/",
        "github://repos/octo/app/keys",
        "github://repos/octo/app/issues/x",
        "github://repos/octo/app/issues/7?per_page=1",
        "github://repos/../app",
        "github://repos/octo/../issues/1",
        "github://repos/octo/app/contents/../../vault",
        "github://repos/octo/app/contents/%2e%2e/a",
        "github://repos/octo/app/contents/a\n",
        "github://repos/octo/app/contents/" + "a" * 2000,
        "github://user",
        "/repos/octo/app",
        "https://api.github.com/repos/octo/app",
        "file:///etc/passwd",
        "",
    ],
)
async def test_other_uris_name_nothing(api: ScriptedApi, uri: str) -> None:
    with pytest.raises(UnknownResourceError):
        await resources.shown(api, uri)
    assert api.asked == []


async def test_an_issue_is_its_fields(api: ScriptedApi) -> None:
    api.answers("/repos/octo/app/issues/7", {"number": 7, "title": "A\u200b", "node_id": "x"})
    shown = await resources.shown(api, "github://repos/octo/app/issues/7")
    assert json.loads(shown.text) == {"number": 7, "title": "A\\u{200b}"}
    assert (shown.mime_type, shown.ttl_ms) == ("application/json", 42_000)
    assert (shown.about["untrusted"], shown.about["source"]) == (True, "memory")


async def test_a_file_is_its_text(api: ScriptedApi) -> None:
    api.answers("/repos/octo/app/readme", file("# naïve\u202e\n".encode()))
    shown = await resources.shown(api, "github://repos/octo/app/readme")
    assert (shown.text, shown.mime_type) == ("# naïve\\u{202e}\n", "text/plain")


@pytest.mark.parametrize("value", [[], {"type": "dir"}, file(b"\0"), file(b"a" * (MAX_RESOURCE + 1)), {"type": "file"}])
async def test_what_is_no_short_text_is_a_sentence(api: ScriptedApi, value: object) -> None:
    api.answers("/repos/octo/app/readme", value)
    with pytest.raises(AskError):
        await resources.shown(api, "github://repos/octo/app/readme")

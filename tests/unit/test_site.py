"""The site has every document, in its table of contents too, and links lead to pages, or to files on GitHub."""

import importlib.util
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_pages", ROOT / "docs/site_pages.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def listed(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        for target in entry.values():
            yield from listed(target) if isinstance(target, list) else [target]


def test_every_document_has_its_place_in_the_table_of_contents(site: ModuleType) -> None:
    contents = list(listed(tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]["nav"]))
    assert sorted(contents) == sorted(site.pages().values())


@pytest.mark.parametrize(
    ("source", "link", "becomes"),
    [
        ("README.md", "[a](docs/s3.md#policy)", "[a](s3.md#policy)"),
        ("README.md", "[a](bench/README.md)", "[a](benchmarks.md)"),
        ("README.md", "[![p](docs/page.png)](docs/operating.md#the-page)", "[![p](page.png)](operating.md#the-page)"),
        ("docs/mcp.md", "[a](../README.md#inputs)", "[a](index.md#inputs)"),
        ("docs/mcp.md", "[a](#tools) [b](https://x.example/y.md)", "[a](#tools) [b](https://x.example/y.md)"),
        ("docs/deploying.md", "[a](../Dockerfile)", "[a](https://github.com/p2pcache/p2pcache/blob/main/Dockerfile)"),
        ("docs/mcp.md", "[a](../examples)", "[a](https://github.com/p2pcache/p2pcache/tree/main/examples)"),
        ("docs/mcp.md", "```sh\n[a](gone.md)\n```\n", "```sh\n[a](gone.md)\n```\n"),
    ],
)
def test_links_lead_to_pages(site: ModuleType, source: str, link: str, becomes: str) -> None:
    assert site.page(source, link) == becomes


def test_a_link_that_leads_nowhere_is_refused(site: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"docs/mcp.md: gone.md is not in the tree"):
        site.page("docs/mcp.md", "[a](gone.md)")


def test_what_is_written_is_whole_and_new(site: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "old.md").touch()
    site.write(folder)
    assert {path.name for path in folder.iterdir()} == {*site.pages().values(), "page.png", "grafana.json"}
    assert not re.search(r"\]\(\.\./", "".join(path.read_text("utf-8") for path in folder.glob("*.md")))


def test_the_workflow_publishes_what_make_builds_with_rights_for_that_alone() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/site.yml").read_text("utf-8"))
    built, published = workflow["jobs"]["build"]["steps"], workflow["jobs"]["publish"]
    assert workflow["permissions"] == {"contents": "read"}
    assert published["permissions"] == {"pages": "write", "id-token": "write"}
    assert built[-1]["with"]["path"] == "build/site"
    for step in (*built, *published["steps"]):
        assert "uses" not in step or re.search(r"@[0-9a-f]{40}$", step["uses"])

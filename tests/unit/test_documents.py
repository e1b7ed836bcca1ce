"""What documents and docstrings refer to is there, and docs/interface.md says what the code has: no less, no more."""

from __future__ import annotations

import ast
import fnmatch
import functools
import io
import json
import os
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast, get_args, get_origin, get_type_hints

import click
import msgspec
import pytest
import yaml

from p2pcache.cli import main
from p2pcache.commands.explain import _FROM
from p2pcache.gateway.control import Gate
from p2pcache.gateway.endpoints import NodeEndpoints
from p2pcache.hub.page import PageSources, StatusPage
from p2pcache.ledger.stats import TIERS, Stats
from p2pcache.swarm.rules.config import PeerRow

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "p2pcache"
SKIPPED = {".git", ".venv", "node_modules", "__pycache__", "build", "dist"}


def tree() -> Iterator[str]:
    for folder, names, files in os.walk(ROOT):
        names[:] = [name for name in names if name not in SKIPPED and not name.endswith("_cache")]
        base = Path(folder).relative_to(ROOT)
        yield from (str(base / name) for name in (*names, *files))


TREE = sorted(tree())
DOCUMENTS = [*sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("*.md"))]
MODULES = sorted(PACKAGE.rglob("*.py"))

# Files of gh, uv and octokit, one of the repositories that the stand-in makes, and a project of that name.
ELSEWHERE = {"github3.py", "config.yml", "hosts.yml", "uv.toml", "octokit/plugin-throttling.js", "src/main.py"}
_FILE = re.compile(
    r"(?<![\w/.*{-])[\w.*-]*[\w*](?:/[\w.*-]+)*\.(?:py|md|yml|yaml|sh|js|graphql|lock|toml)(?:#[\w-]+)?(?![\w/-])"
)
_SECTION = re.compile(r"\bsections? \d|§")
_OUTSIDE = re.compile(r"RFC \d+|https?://")
_NAMED = re.compile(r'"([^"]+)"(?: says)? (?:below|above)')
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def without_code(text: str, language: str = r"\w*") -> str:
    return re.sub(rf"```{language}\n.*?```", "", text, flags=re.DOTALL)


def headings(document: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", without_code(document.read_text("utf-8")), re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """As GitHub makes them."""
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings(document)}


def missing(mention: str) -> str:
    """What is wrong with the mention of a file, by any tail of its path, perhaps with a heading; "" if it is there."""
    path, _, anchor = mention.partition("#")
    found = [name for name in TREE if fnmatch.fnmatchcase(name, path) or fnmatch.fnmatchcase(name, f"*/{path}")]
    if not found:
        return f"{path} is not in the tree"
    if anchor and not any(anchor in anchors(ROOT / name) for name in found):
        return f"{path} has no heading #{anchor}"
    return ""


def wrong(text: str) -> list[str]:
    """Mentions of files and sections in `text` that lead nowhere."""
    plain = re.sub(r"https?://\S+", "https://", text)
    mentions = [mention for mention in _FILE.findall(plain) if mention not in ELSEWHERE]
    problems = [problem for mention in mentions if (problem := missing(mention))]
    sections = [
        section.start() for section in _SECTION.finditer(plain) if not _OUTSIDE.search(plain[: section.start()])
    ]
    return problems + [f"of what is {plain[start : start + 20]!r}?" for start in sections]


def prose(module: Path) -> Iterator[str]:
    """Docstrings, and comments with those in the lines that follow as one."""
    source = module.read_text("utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value
    block, last = "", -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != last + 1:
                yield block
                block = ""
            block, last = f"{block} {token.string}", token.start[0]
    yield block


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_documents_links_lead_somewhere(document: Path) -> None:
    for link in _LINK.findall(document.read_text("utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), f"{link}: no such file"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_names_only_what_is_there(document: Path) -> None:
    # Code with a language is an example, which may have files of its own; without one it is a drawing.
    text = without_code(document.read_text("utf-8"), r"\w+")
    assert wrong(_LINK.sub("]", text)) == []
    for heading in _NAMED.findall(text):
        assert " ".join(heading.split()) in headings(document)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_docstrings_and_comments_name_only_what_is_there(module: Path) -> None:
    assert [problem for text in prose(module) for problem in wrong(text)] == []


# Names of PyGithub's, libp2p's, Python's and GitHub's, and those of an example.
FOREIGN = {
    *("base_url", "github.Github", "BasicHost", "ConnectionError"),
    *("GitHub", "github.token", "resourcePath", "api.github.com", "github.url"),
}
_REFERENCE = re.compile(r"(?<!`)`([A-Za-z_]\w*(?:\.\w+)*)`(?!`)")
_CLASS = re.compile(r"\b[A-Z][a-z]+[A-Z]\w+\b")


@functools.cache
def defined() -> dict[str, set[str]]:
    """The names in each module and room, by its name alone; those in all of them by ""."""
    found: dict[str, set[str]] = {"": set(FOREIGN)}
    for module in MODULES:
        room = module.parent.name
        here = found.setdefault(room if module.stem == "__init__" else module.stem, set())
        found.setdefault(room, set()).add(module.stem)
        found.setdefault(module.parent.parent.name, set()).add(room)
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            match node:
                case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    here.add(name)
                case ast.arg(arg=name) | ast.Name(id=name) | ast.Attribute(attr=name):
                    here.add(name)
                case ast.alias(name=name, asname=other):
                    here.update((other or name).split("."))
                case ast.Constant(value=str(text)):
                    found[""].update(re.findall(r"\w+", text) if len(text) < 60 else ())
    found[""].update(found, *found.values())
    return found


def unknown(reference: str) -> bool:
    """Whether a name in backticks is nowhere, or not in the module that stands before it."""
    *_, room, name = ("", *reference.split("."))
    if reference in FOREIGN:
        return False
    return name not in defined().get(room, set()) and (room in defined() or not {room, name} <= defined()[""])


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_names_in_docstrings_and_comments_are_there(module: Path) -> None:
    found = {name for text in prose(module) for name in _REFERENCE.findall(text)}
    assert [name for name in sorted(found) if unknown(name)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_classes_that_a_document_names_are_there(document: Path) -> None:
    quoted = " ".join(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", without_code(document.read_text("utf-8"))))
    assert [name for name in _CLASS.findall(quoted) if name not in defined()[""]] == []


@pytest.mark.parametrize("name", ["no_such_name", "tombstones.Forgotten", "cache.no_such_module"])
def test_a_name_that_is_nowhere_is_found(name: str) -> None:
    assert unknown(name)


@pytest.mark.parametrize(
    "text",
    ["see DESIGN section 4", "(docs/gone.md)", "docs/interface.md#gone", "`gateway/gone.py`", "INTERFACE §3"],
)
def test_what_leads_nowhere_is_found(text: str) -> None:
    assert len(wrong(text)) == 1


# docs/interface.md

INTERFACE = ROOT / "docs/interface.md"
TEXT = INTERFACE.read_text("utf-8")
QUOTED = re.findall(r"`([^`\n]+)`", without_code(TEXT))


def chapter(heading: str) -> str:
    """The text below a heading, up to the next one of any depth."""
    _, below = re.split(rf"^#+ {re.escape(heading)}$", TEXT, maxsplit=1, flags=re.MULTILINE)
    return re.split(r"^#", below, maxsplit=1, flags=re.MULTILINE)[0]


def named(text: str) -> list[str]:
    """What stands in backticks in the first column of the tables of `text`."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def sample(heading: str) -> Any:
    (block,) = re.findall(r"```json\n(.*?)```", chapter(heading), re.DOTALL)
    return json.loads(block)


def fields(shape: Any) -> Any:
    """The names of a struct's fields, and of those of the structs in it; None for anything else."""
    if get_origin(shape) is list:
        return [inner] if (inner := fields(get_args(shape)[0])) else None
    if not (isinstance(shape, type) and issubclass(shape, msgspec.Struct)):
        return None
    return {name: fields(hint) for name, hint in get_type_hints(shape).items()}


def names(value: Any, shape: Any) -> Any:
    """The same of a sample, as deep as `shape` goes."""
    if isinstance(shape, list):
        return [names(value[0], shape[0])]
    if isinstance(shape, dict):
        return {name: names(inner, shape.get(name)) for name, inner in value.items()}
    return None


COMMANDS = {name: command for name, command in main.commands.items() if not command.hidden}
FLAGS = {
    flag
    for command in (main, *COMMANDS.values())
    for option in command.params
    if isinstance(option, click.Option) and not option.hidden
    for flag in option.opts
    if flag.startswith("--")
}


def test_all_commands_and_flags_are_documented() -> None:
    assert set(named(chapter("Commands"))) == set(COMMANDS)
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", TEXT)) - {"--help"} == FLAGS


def strings(*modules: Path) -> set[str]:
    found = (node for module in modules for node in ast.walk(ast.parse(module.read_text("utf-8"))))
    return {node.value for node in found if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_all_variables_are_documented() -> None:
    variable = re.compile(r"[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+|ACT")
    documented = {name for name in QUOTED if variable.fullmatch(name)}
    read = {name for name in strings(PACKAGE / "settings.py") if variable.fullmatch(name)}
    assert read <= documented
    assert documented <= strings(*MODULES)


def test_all_inputs_and_outputs_are_documented() -> None:
    composite, docker = (
        yaml.safe_load((ROOT / name).read_text("utf-8")) for name in ("action.yml", "docker/action.yml")
    )
    above, _, outputs = chapter("The Action").partition("| output |")
    differences, _, inputs = above.partition("| input |")
    assert set(named(inputs)) == set(composite["inputs"])
    assert set(named(outputs)) == set(composite["outputs"])
    for kind in ("inputs", "outputs"):
        assert set(composite[kind]) ^ set(docker[kind]) <= set(re.findall(r"`([^`]+)`", differences))


def test_all_control_endpoints_are_documented() -> None:
    rows = re.findall(r"^\| `/-/(\w*)` \| (\w+) \|", chapter("Control endpoints"), re.MULTILINE)
    nothing = cast("Any", None)
    endpoints = NodeEndpoints(gate=Gate(None), stats=nothing, peers=nothing, purge=nothing, authorize=nothing, bases=())
    page = StatusPage(PageSources(nothing, nothing, nothing))
    assert rows == [(endpoint.name, *endpoint.methods) for endpoint in (*endpoints.all(), *page.endpoints())]


def test_all_fields_are_documented() -> None:
    ledger = sample("The ledger")
    assert names(ledger, fields(Stats)) == fields(Stats)
    assert set(ledger["hits"]) == set(TIERS)
    assert set(sample("Peers")) == set(PeerRow.__struct_fields__)


def test_the_samples_are_of_the_right_types_and_add_up() -> None:
    ledger = msgspec.convert(sample("The ledger"), Stats)
    assert ledger.requests == sum(ledger.hits.values()) + ledger.revalidated + ledger.misses + ledger.bypassed
    assert ledger.hit_rate == round(ledger.api_calls_saved / ledger.cacheable, 4)
    msgspec.convert(sample("Peers"), PeerRow)


def test_the_ready_file_is_documented() -> None:
    (ready,) = [
        node
        for node in ast.walk(ast.parse((PACKAGE / "node.py").read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name == "ready"
    ]
    (written,) = [node for node in ast.walk(ready) if isinstance(node, ast.Dict)]
    assert [key.value for key in written.keys if isinstance(key, ast.Constant)] == list(sample("The ready file"))


def test_what_cache_status_says_is_documented() -> None:
    sources = "".join(path.read_text("utf-8") for path in sorted((PACKAGE / "gateway").glob("*.py")))
    said = {*re.findall(r'"detail=(\w+)"', sources), *_FROM} - {"hit"}
    assert said == {name for name in said if re.search(rf"`(?:detail=)?{name}`", chapter("The gateway"))}

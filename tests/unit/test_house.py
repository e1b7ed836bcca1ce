"""Each row of the house stands on those below it and knows nothing of those above or beside it."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "p2pcache"
ROWS = (
    ("__version__", "addresses", "files", "bounded", "options", "exports", "wording"),
    ("backends",),
    ("declarations",),
    ("github", "settings", "values", "clock", "unknown", "proxies", "http_errors"),
    ("cache", "ledger", "interception"),
    ("gateway", "stores", "swarm", "testing"),
    ("runner", "client", "hub", "listening", "service_manager"),
    ("node", "peering", "keys", "health", "reporting", "participation"),
    ("doctor", "scenarios"),
    ("commands",),
    ("cli", "__init__"),
    ("__main__",),
)
LEVEL = {name: level for level, row in enumerate(ROWS) for name in row}
# settings reads GitHub's lifetimes; the lying member of the tests speaks the real protocol; the node's row is put
# together from its own parts; the ledger's shape is public.
BESIDE = {
    ("settings", "github"),
    ("settings", "values"),
    ("testing", "swarm"),
    ("client", "runner"),
    ("values", "github"),
    ("values", "settings"),
    ("node", "peering"),
    ("node", "participation"),
    ("participation", "peering"),
    ("participation", "keys"),
    ("node", "keys"),
    ("node", "health"),
    ("node", "reporting"),
    ("reporting", "health"),
}


def imports(path: Path) -> Iterator[str]:
    """Everything that a file imports, by its full name, whichever form of the statement names it."""
    package = ("p2pcache", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join((*above, *filter(None, [node.module])))
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def part(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_file_imports_only_from_the_rows_below_its_own(file: Path) -> None:
    here = file.parts[0].removesuffix(".py")
    for module in imports(PACKAGE / file):
        if not module.startswith("p2pcache."):
            continue
        there = part(module)
        allowed = there == here or LEVEL[there] < LEVEL[here] or (here, there) in BESIDE
        assert allowed, f"{here} stands beside or below {there}: {module}"


IN_RULES = {"directory.py": {"threading"}}
"""A lock, since two threads read it."""
WINGS = {"rules": 0, "protocol": 1, "services": 2}
"""Of the swarm: each knows those before it, and what stands beside them joins them."""


@pytest.mark.parametrize("file", [file for file in FILES if file.parts[0] == "swarm"], ids=str)
def test_a_wing_of_the_swarm_imports_only_from_those_before_it(file: Path) -> None:
    here = WINGS.get(file.parts[1], len(WINGS))
    for module in imports(PACKAGE / file):
        if module.startswith("p2pcache.swarm."):
            there = WINGS.get(module.split(".")[2], len(WINGS))
            assert there <= here, f"{file.parts[1]} stands before {module}"


@pytest.mark.parametrize("file", [file for file in FILES if file.parts[1:2] in (("rules",), ("protocol",))], ids=str)
def test_rules_and_protocol_of_the_swarm_wait_for_nothing(file: Path) -> None:
    known = {module.split(".")[0] for module in imports(PACKAGE / file)}
    assert known.isdisjoint({"trio", "asyncio", "socket", "threading"} - IN_RULES.get(file.name, set()))


OWN = [file for file in FILES if file.parts[0] != "testing"]


def test_no_file_name_has_two_meanings() -> None:
    # A backend's declaration is called as what it declares.
    named = Counter(file.name for file in OWN if not file.name.startswith("__") and file.parts[0] != "backends")
    assert {name for name, times in named.items() if times > 1} == set()


def test_no_class_name_has_two_meanings() -> None:
    classes = Counter(
        node.name
        for file in OWN
        for node in ast.walk(ast.parse((PACKAGE / file).read_text("utf-8")))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert {name for name, times in classes.items() if times > 1} == set()


@pytest.mark.parametrize("file", FILES, ids=str)
def test_only_one_file_knows_libp2p(file: Path) -> None:
    known = {module.split(".")[0] for module in imports(PACKAGE / file)}
    assert "libp2p" not in known or file == Path("swarm/host.py")


def test_no_file_is_too_long_to_read_in_one_sitting() -> None:
    files = [file for folder in ("p2pcache", "tests", "bench") for file in (PACKAGE.parent / folder).rglob("*.py")]
    lengths = {
        str(file): len(file.read_text("utf-8").splitlines()) for file in files if "node_modules" not in file.parts
    }
    assert {file: lines for file, lines in lengths.items() if lines > 400} == {}


# A script that runs outside the package's environment, and hands its own on to the node it keeps.
READERS = {Path("settings.py"), Path("runner/watch.py")}


@pytest.mark.parametrize("file", [file for file in FILES if file not in READERS], ids=str)
def test_only_settings_reads_the_environment(file: Path) -> None:
    text = (PACKAGE / file).read_text("utf-8")
    assert "os.environ" not in text
    assert "getenv" not in text

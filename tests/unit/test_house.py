"""Each row of the house stands on those below it and knows nothing of those above or beside it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "p2pcache"
ROWS = (
    ("__version__", "files", "bounded", "options", "exports"),
    ("backends",),
    ("declarations",),
    ("github", "settings", "values", "clock", "unknown"),
    ("cache", "ledger"),
    ("gateway", "swarm", "testing"),
    ("runner", "client"),
    ("node", "peering", "keys", "health", "reporting", "participation"),
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


@pytest.mark.parametrize("file", FILES, ids=str)
def test_only_one_file_knows_libp2p(file: Path) -> None:
    known = {module.split(".")[0] for module in imports(PACKAGE / file)}
    assert "libp2p" not in known or file == Path("swarm/host.py")


@pytest.mark.parametrize("file", FILES, ids=str)
def test_no_file_is_too_long_to_read_in_one_sitting(file: Path) -> None:
    assert len((PACKAGE / file).read_text("utf-8").splitlines()) <= 400


# A script that runs outside the package's environment, and hands its own on to the node it keeps.
READERS = {Path("settings.py"), Path("runner/watch.py")}


@pytest.mark.parametrize("file", [file for file in FILES if file not in READERS], ids=str)
def test_only_settings_reads_the_environment(file: Path) -> None:
    text = (PACKAGE / file).read_text("utf-8")
    assert "os.environ" not in text
    assert "getenv" not in text

"""Methods of HTTP, in the one place that names them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from p2pcache.github.methods import METHODS, SAFE, WRITES, label

PACKAGE = Path(__file__).parents[3] / "p2pcache"


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_method_is_either_safe_or_a_write(method: str) -> None:
    assert (method in SAFE) is not (method in WRITES)
    assert label(method) == method


@pytest.mark.parametrize("method", ["get", "", "PROPFIND", "GET\n"])
def test_other_methods_have_one_name_in_statistics(method: str) -> None:
    assert label(method) == "OTHER"


def test_no_other_module_lists_them() -> None:
    # The stand-in is a server of its own, and knows nothing of the node.
    own = [path for path in PACKAGE.rglob("*.py") if "testing" not in path.parts and path.name != "methods.py"]
    for path in own:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Tuple | ast.List | ast.Set):
                names = {item.value for item in node.elts if isinstance(item, ast.Constant)} & METHODS
                assert len(names) < 3, f"{path}:{node.lineno}"

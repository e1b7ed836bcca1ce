"""The file that any Python may meet: it is read by those that are far too old."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NEWER = (ast.AnnAssign, ast.AsyncFunctionDef, ast.JoinedStr, ast.FunctionDef, ast.Match, ast.NamedExpr, ast.Starred)
"""What Python 2.7 cannot read, and functions, whose signatures could have it."""


def test_an_old_python_can_read_it() -> None:
    tree = ast.parse((ROOT / "entrypoint.py").read_text())
    assert [node for node in ast.walk(tree) if isinstance(node, NEWER)] == []
    assert not any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in ast.walk(tree))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not any(isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls)


def test_what_has_no_environment_yet_needs_the_standard_library_alone() -> None:
    waiting = [ROOT / "entrypoint.py", *(ROOT / "action").glob("*.py")]
    seen = set()
    while waiting:
        seen.add(path := waiting.pop())
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
            else:
                continue
            assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names | {"action", "p2pcache"}, path
            shared = {ROOT / f"{name.replace('.', '/')}.py" for name in names if name.startswith("p2pcache.")}
            waiting += [file for file in shared - seen if file.is_file()]
    assert ROOT / "p2pcache/runner/direct.py" in seen


def test_an_isolated_interpreter_in_a_folder_with_a_namesake_finds_its_own(tmp_path: Path) -> None:
    """The step's folder is the job's repository, which may have an `action` of its own."""
    (tmp_path / "action").mkdir()
    (tmp_path / "action/__init__.py").write_text("raise SystemExit('the wrong one')")
    done = subprocess.run(
        [sys.executable, "-I", ROOT / "entrypoint.py"], cwd=tmp_path, env={"PATH": "/nonexistent"},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "RUNNER_TOOL_CACHE and RUNNER_TEMP name no folder" in done.stdout

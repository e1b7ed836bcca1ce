"""The Action's first program, run as the runner runs it; building an environment is measured in tests/e2e and bench."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "entrypoint.py"


@pytest.fixture
def entrypoint():
    spec = importlib.util.spec_from_file_location("entrypoint", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def runner(tmp_path, monkeypatch):
    for name in ("GITHUB_OUTPUT", "GITHUB_ENV"):
        (tmp_path / name).touch()
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("INPUT_STRICT", "INPUT_UPSTREAM", "GITHUB_API_URL", "GITHUB_GRAPHQL_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RUNNER_TOOL_CACHE", str(tmp_path / "tools"))
    monkeypatch.setenv("RUNNER_TEMP", str(tmp_path / "temp"))
    return monkeypatch


def said(path: Path) -> dict[str, str]:
    return {k: v for k, _, v in re.findall(r"^(\S+)<<(\S+)\n(.*?)\n\2$", path.read_text(), re.DOTALL | re.MULTILINE)}


def test_it_needs_nothing_but_an_old_python():
    tree = ast.parse(SCRIPT.read_text(), feature_version=(3, 8))
    names = {alias.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    names |= {n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert names <= sys.stdlib_module_names


def fake_environment(entrypoint, folder: Path, says: str) -> Path:
    """An environment whose Python is a script."""
    python = folder / entrypoint.environment_key(*entrypoint.find_python()[1]) / "bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\ncase \"$*\" in *version_info*) printf '3\\n12\\n1\\n/usr\\n';; *) {says};; esac\n")
    python.chmod(0o755)
    return python


def test_a_ready_environment_is_used_as_it_is(entrypoint, runner, tmp_path, capfd):
    fake_environment(entrypoint, tmp_path / "tools/p2pcache", 'echo "$*" "$PYTHONPATH"')
    assert entrypoint.main() == 0
    assert capfd.readouterr().out.strip() == f"-m p2pcache.runner.main start {ROOT}"


def test_a_reason_becomes_one_warning_and_the_job_goes_on(entrypoint, runner, tmp_path, capfd):
    fake_environment(entrypoint, tmp_path / "tools/p2pcache", "echo trace >&2; echo 'no::luck % here' >&2; exit 1")
    assert entrypoint.main() == 0
    assert capfd.readouterr().out == "::warning title=p2pcache::no::luck %25 here. The job goes on without the cache.\n"
    outputs, variables = said(tmp_path / "GITHUB_OUTPUT"), said(tmp_path / "GITHUB_ENV")
    assert outputs == {
        "api-url": "https://api.github.com", "graphql-url": "https://api.github.com/graphql", "p2p-connected": "false"
    }  # fmt: skip
    assert variables["P2PCACHE_API_URL"] == "https://api.github.com"


def test_strict_makes_it_fail(entrypoint, runner, tmp_path, capfd):
    runner.setenv("INPUT_STRICT", "true")
    fake_environment(entrypoint, tmp_path / "tools/p2pcache", "exit 3")
    assert entrypoint.main() == 1
    assert capfd.readouterr().out == "::error title=p2pcache::it ended with status 3.\n"


@pytest.mark.parametrize(
    ("variable", "api", "graphql"),
    [
        ("GITHUB_API_URL", "https://ghes.example/api/v3", "https://ghes.example/api/graphql"),
        ("INPUT_UPSTREAM", "http://127.0.0.1:8080", "http://127.0.0.1:8080/graphql"),
    ],
)
def test_outputs_lead_to_github_itself(entrypoint, runner, tmp_path, variable, api, graphql):
    runner.setenv(variable, api)
    entrypoint.fall_back("x")
    assert said(tmp_path / "GITHUB_OUTPUT")["graphql-url"] == graphql
    assert said(tmp_path / "GITHUB_OUTPUT")["api-url"] == api


def test_an_environment_whose_interpreter_is_gone_is_built_again(entrypoint, runner, tmp_path):
    python = fake_environment(entrypoint, tmp_path / "tools/p2pcache", "exit 0")
    python.unlink()
    built = []

    def build(base, folder):
        built.append(folder)
        (folder / "bin").mkdir(parents=True)

    runner.setattr(entrypoint, "build", build)
    assert entrypoint.environment() == str(python)
    assert built == [python.parents[1]]


def test_a_build_that_fails_leaves_nothing(entrypoint, runner, tmp_path):
    runner.setattr(entrypoint, "find_uv", lambda *_: None)
    runner.setattr(entrypoint, "run", lambda command, cwd=None: (_ for _ in ()).throw(entrypoint.SetupError("no pip")))
    with pytest.raises(entrypoint.SetupError, match="python3-venv"):
        entrypoint.build(sys.executable, tmp_path / "env")
    assert list(tmp_path.glob("*env*")) == []


def test_the_job_that_comes_second_uses_the_firsts_environment(entrypoint, runner, tmp_path):
    folder = tmp_path / "env"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").touch()

    def run(command, cwd=None):
        if "venv" in command:
            Path(command[-1], "bin").mkdir(parents=True)

    runner.setattr(entrypoint, "find_uv", lambda *_: "uv")
    runner.setattr(entrypoint, "run", run)
    entrypoint.build(sys.executable, folder)
    assert (folder / "bin/python").exists()
    assert list(tmp_path.glob(".env*")) == []


def test_a_tool_cache_that_cannot_be_written(entrypoint, runner, tmp_path):
    runner.setenv("RUNNER_TOOL_CACHE", "/proc/nowhere")
    assert entrypoint.store() == tmp_path / "temp/p2pcache"
    runner.delenv("RUNNER_TEMP")
    with pytest.raises(entrypoint.SetupError, match="set one of them"):
        entrypoint.store()


def test_the_key_names_lock_and_interpreter(entrypoint, tmp_path, monkeypatch):
    here = entrypoint.environment_key("3.12.1", "/usr")
    assert here == entrypoint.environment_key("3.12.1", "/usr")
    assert here != entrypoint.environment_key("3.12.2", "/usr")
    assert here != entrypoint.environment_key("3.12.1", "/opt")
    (tmp_path / "lock").write_text("x==1")
    monkeypatch.setattr(entrypoint, "LOCK", tmp_path / "lock")
    assert here != entrypoint.environment_key("3.12.1", "/usr")


def test_a_python_of_the_tool_cache_is_found_when_this_one_is_too_old(entrypoint, runner, tmp_path):
    runner.setattr(entrypoint, "OLDEST", (4, 0))
    runner.setenv("PATH", "/nonexistent")
    with pytest.raises(entrypoint.SetupError, match="actions/setup-python"):
        entrypoint.find_python()
    runner.setattr(entrypoint, "NEWEST", (4, 9))
    python = tmp_path / "tools/Python/3.12.9/x64/bin/python3"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nprintf '4\\n1\\n0\\n/opt\\n'\n")
    python.chmod(0o755)
    assert entrypoint.find_python() == (str(python), ("4.1.0", "/opt"))


def test_what_is_no_interpreter_is_none(entrypoint, tmp_path):
    assert entrypoint.describe("/nonexistent/python") is None
    (tmp_path / "python").write_text("#!/bin/sh\necho hello\n")
    (tmp_path / "python").chmod(0o755)
    assert entrypoint.describe(str(tmp_path / "python")) is None


def test_a_message_stays_one_command(entrypoint):
    assert entrypoint.escape("a\r\n::set-env name=X::y % \x1b[31m") == "a  ::set-env name=X::y %25  [31m"

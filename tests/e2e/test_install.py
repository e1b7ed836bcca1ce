"""p2pcache on a host that has Python and nothing else: no compiler, no pip, no network."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("docker")
ROOT = Path(__file__).parents[2]
IMAGE = "python:3.11-slim-bookworm"
PYTHON = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
# What Debian's python3 has no more of than this: https://packages.debian.org/bookworm/python3
BARE = """
for tool in gcc cc make; do ! command -v $tool || exit 9; done
rm -rf /usr/local/lib/python3.11/site-packages/* /usr/local/lib/python3.11/ensurepip
! python3 -m pip --version 2>/dev/null || exit 8
"""


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of this tree for this machine, as `make pyz` makes it."""
    out = tmp_path_factory.mktemp("dist") / "p2pcache"
    subprocess.run([PYTHON, ROOT / "release/pyz.py", out], check=True, timeout=500)
    return out


def test_one_file_runs_without_compiler_pip_and_network(pyz: Path, docker: Callable[..., str]) -> None:
    mounted = ["--network", "none", "-v", f"{pyz}:/usr/local/bin/p2pcache:ro"]
    said = docker("run", "--rm", *mounted, IMAGE, "sh", "-ec", BARE + "p2pcache demo", seconds=200)
    assert "API calls saved" in said


def test_an_ordinary_user_runs_a_command_through_a_supervised_node(pyz: Path, docker: Callable[..., str]) -> None:
    mounted = ["--network", "none", "-v", f"{pyz}:/usr/local/bin/p2pcache:ro", "--user", "1000", "-e", "HOME=/tmp"]
    asks = """
export CACHE_UPSTREAM=http://127.0.0.1:9
p2pcache run -- python3 -c 'import os, urllib.request as u
print(u.urlopen(os.environ["P2PCACHE_API_URL"] + "/-/healthz").read())
import importlib.util; assert importlib.util.find_spec("trio") is None'
"""
    said = docker("run", "--rm", *mounted, IMAGE, "sh", "-ec", asks, seconds=200)
    assert '"status"' in said, "and the command's own python is the system's, not p2pcache's"

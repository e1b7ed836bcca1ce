"""The commands, as processes and inside this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

from click.testing import CliRunner

from p2pcache.cli import main

MISSPELT = {"CACHE_BOOTSTRAP_PEER": "/ip4/127.0.0.1/tcp/9", "CACHE_VERSION": "5ecre7"}
NAMED = "p2pcache: ignored, no such setting: CACHE_BOOTSTRAP_PEER (did you mean CACHE_BOOTSTRAP_PEERS?), CACHE_VERSION"


def p2pcache(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **variables}
    command = [sys.executable, "-m", "p2pcache", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=50)


def inside(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """As `p2pcache`, but in this process: for what ends before a node would start."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **variables}
    with mock.patch.dict(os.environ, environ, clear=True):
        said = CliRunner().invoke(main, arguments, prog_name="p2pcache")
    return subprocess.CompletedProcess(arguments, said.exit_code, said.stdout, said.stderr)

"""A machine with loopback alone, and GitHub on it by its own names, over TLS, known to the system's store alone.

So a client that goes to GitHub past the cache meets what it meets on a runner: a name server that knows the address,
and a certificate that the system trusts. Programs with roots of their own (Java's, webpki's, Node.js') do not know it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from p2pcache.testing import control
from tests.support import world_machine
from tests.support.world_machine import CONTROL_PORT


class World:
    """Runs commands in that machine."""

    def __init__(self, pid: int, folder: Path) -> None:
        self.folder = folder
        self._prefix = ["nsenter", "-t", str(pid), "-m", "-n", "--wdns=/"]

    def run(
        self, *command: str, environ: Mapping[str, str], seconds: float = 20.0, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.command(*command, environ=environ, cwd=cwd),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def command(self, *command: str, environ: Mapping[str, str], cwd: Path | None = None) -> list[str]:
        """Return the words that run a command there, with these variables alone."""
        variables = [f"{name}={value}" for name, value in environ.items()]
        prefix = self._prefix if cwd is None else [*self._prefix[:-1], f"--wdns={cwd}"]
        return [*prefix, "env", "-i", *variables, *command]

    @property
    def hosts(self) -> str:
        """The hosts file of that machine."""
        return (self.folder / "hosts").read_text()

    def order(self, action: str, /, **what: object) -> Any:
        """Give GitHub's stand-in an order (`p2pcache.testing.control`)."""
        return self._control(action, "--data", json.dumps(what))

    def charged(self) -> int:
        """Calls that GitHub has charged so far."""
        return int(self._control("charged")["charged"])

    def calls(self) -> list[dict[str, Any]]:
        """What GitHub was asked, oldest first: `p2pcache.testing.faults.Call`s."""
        asked: list[dict[str, Any]] = self._control("calls")
        return asked

    def _control(self, action: str, *more: str) -> Any:
        url = f"http://127.0.0.1:{CONTROL_PORT}{control.PREFIX}/{action}"
        done = self.run("curl", "-sSf", *more, url, environ={"PATH": os.environ["PATH"]})
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@contextlib.contextmanager
def world(folder: Path) -> Iterator[World]:
    """Give the machine; nothing of it outlives the process that holds it."""
    command = [
        "unshare",
        "--net",
        "--mount",
        "--propagation",
        "private",
        sys.executable,
        world_machine.__file__,
        str(folder),
    ]
    with (folder / "world.log").open("wb") as log:
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environ)
        assert process.stdin
        assert process.stdout
        try:
            assert process.stdout.readline() == b"ready\n", (folder / "world.log").read_text()
            yield World(process.pid, folder)
        finally:
            process.stdin.close()
            process.stdout.close()
            process.wait(20)

"""A job with ``intercept: true`` in `tests.support.world`: the Action's own start, later steps, the Action's end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.support import command_files
from tests.support.world import World
from tests.support.world_machine import CERTIFICATES, TOKEN

ROOT = Path(__file__).parents[2]
API = "https://api.github.com"
AUTHORIZATION = f"Authorization: token {TOKEN}"
ANOTHER_UID = 65534
ANOTHER_USER = ("setpriv", f"--reuid={ANOTHER_UID}", "--regid=65534", "--clear-groups", "--")
NODE, INTERCEPTOR = "run", "intercept/run"
"""The folders of the two supervisors, below the job's own."""
COMMAND_FILES = ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STEP_SUMMARY")
_NONE: Mapping[str, str] = MappingProxyType({})


class InterceptedJob:
    """A job container's job, whose steps are commands.

    Attributes:
        bare: variables of a step that has none of ours.
        started: the Action's step.
    """

    def __init__(self, world: World, folder: Path) -> None:
        folder.mkdir(mode=0o755)
        self.world = world
        self.bare = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
        self._folder = folder
        self.started: subprocess.CompletedProcess[str] | None = None

    @property
    def directory(self) -> Path:
        """The job's files."""
        return self._folder / "temp" / "p2pcache"

    @property
    def outputs(self) -> dict[str, str]:
        """Of the Action's step."""
        return command_files.values(self._folder / "GITHUB_OUTPUT")

    @property
    def variables(self) -> dict[str, str]:
        """What later steps have in their environment beside their own."""
        return command_files.values(self._folder / "GITHUB_ENV")

    @property
    def trusting(self) -> dict[str, str]:
        """Variables of a later step."""
        return {**self.bare, **self.variables}

    @property
    def summary(self) -> str:
        """Of the job."""
        return (self._folder / "GITHUB_STEP_SUMMARY").read_text()

    @property
    def counts(self) -> dict[str, Any]:
        """What the interceptor has counted, and written."""
        counted: dict[str, Any] = json.loads((self.directory / INTERCEPTOR / "counts.json").read_bytes())
        return counted

    def leads(self) -> bool:
        """Whether the hosts file leads GitHub's API here."""
        return "api.github.com" in self.world.hosts

    def start(self, *prefix: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the Action's step; `prefix` are words before the command."""
        for name in COMMAND_FILES:
            (self._folder / name).write_text("")
        (self._folder / "temp").mkdir(exist_ok=True)
        if ANOTHER_USER[0] in prefix:
            for path in (self._folder, *self._folder.iterdir()):
                shutil.chown(path, ANOTHER_UID)
        self.started = self._action("start", *prefix, **variables)
        return self.started

    def finish(self, *prefix: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the Action's post step."""
        return self._action("finish", *prefix, **variables)

    def state(self, which: str) -> dict[str, int]:
        """What the supervisor in one of the two folders says: pids of itself and of what it keeps."""
        found: dict[str, int] = json.loads((self.directory / which / "supervisor.json").read_bytes())
        return found

    def kill(self, which: str, name: str = "node", number: signal.Signals = signal.SIGKILL) -> int:
        """End what a supervisor keeps, or itself (``pid``); returns the pid."""
        pid = self.state(which)[name]
        os.kill(pid, number)
        return pid

    def log(self, which: str = INTERCEPTOR) -> str:
        """The log of one of the two."""
        return (self.directory / which / "node.log").read_text()

    def curl(self, target: str, *more: str, environ: Mapping[str, str] | None = None) -> Answer:
        """Ask GitHub as a later step does."""
        command = ["curl", "-sS", "-D-", "-m", "20", "-H", AUTHORIZATION, *more, _url(target)]
        return only(self.world.run(*command, environ=self.trusting if environ is None else environ, seconds=40))

    def _action(self, verb: str, *prefix: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environ = {
            **self.bare,
            "PYTHONPATH": str(ROOT),
            "RUNNER_TEMP": str(self._folder / "temp"),
            "JOB_CONTAINER": "x",
            "GITHUB_ACTIONS": "true",
            "GITHUB_REPOSITORY": "octo/app",
            "GITHUB_API_URL": API,
            "INPUT_ENABLE_P2P": "false",
            "INPUT_INTERCEPT": "true",
            "INPUT_JOB-TOKEN": TOKEN,
            "INPUT_TOKEN": TOKEN,
            **{name: str(self._folder / name) for name in COMMAND_FILES},
            **variables,
        }
        command = [*prefix, sys.executable, "-m", "p2pcache.runner.main", verb]
        return self.world.run(*command, environ=environ, seconds=60)


class Answer:
    """The head of an answer, and what came after it.

    Attributes:
        status: 0 where there was none.
        headers: by lower-case names.
    """

    def __init__(self, head: str, body: str = "") -> None:
        lines = head.splitlines()
        self.status = int(lines[0].split()[1]) if lines else 0
        fields = (line.partition(":") for line in lines[1:])
        self.headers = {name.strip().lower(): value.strip() for name, _, value in fields}
        self.body = body

    @property
    def cached(self) -> str:
        """The cache's own words, empty where GitHub itself answered."""
        return self.headers.get("cache-status", "")

    @property
    def hit(self) -> bool:
        """Whether nothing was asked of GitHub."""
        return "; hit" in self.cached


_HEAD = re.compile(r"^ *HTTP/[0-9.]+ [0-9]{3}.*\n(?: *[A-Za-z0-9-]+:.*\n)*", re.MULTILINE)


def answers(text: str) -> list[Answer]:
    """Return the answers whose heads are in what a client printed."""
    return [Answer(head) for head in _HEAD.findall(text.replace("\r\n", "\n"))]


def only(done: subprocess.CompletedProcess[str]) -> Answer:
    """Return the last answer that ``curl -D-`` printed, with its body."""
    assert done.returncode == 0, (done.returncode, done.stderr)
    text = done.stdout.replace("\r\n", "\n")
    *_, last = _HEAD.finditer(text)
    return Answer(last[0], text[last.end() :].removeprefix("\n"))


def _url(target: str) -> str:
    return target if target.startswith("https:") else API + target


@contextlib.contextmanager
def intercepted(world: World, folder: Path, *prefix: str, **variables: str) -> Iterator[InterceptedJob]:
    """Start a job, and end what is left of it."""
    job = InterceptedJob(world, folder)
    try:
        job.start(*prefix, **variables)
        yield job
    finally:
        job.finish(*prefix)


def system_trust(*names: str) -> dict[str, str]:
    """Return variables by which programs with roots of their own know the world's CA."""
    bundle = CERTIFICATES / "ca-certificates.crt"
    return {name: str(CERTIFICATES / "world.pem" if name == "NODE_EXTRA_CA_CERTS" else bundle) for name in names}

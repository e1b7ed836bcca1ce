"""What the end-to-end tests share: this tree as a repository, a stand-in GitHub in a process, act."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TOKEN = "ghs_" + "e" * 36
ACT_SECONDS = 240
ACTIONS_CACHE = re.findall(r"uses: (actions/cache@\w+)", (ROOT / "action.yml").read_text())[0]


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This tree as a repository named octo/app, with what is not committed yet."""
    folder = tmp_path_factory.mktemp("checkout") / "p2pcache"
    folder.mkdir()
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "remote", "add", "origin", "https://github.com/octo/app")
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-q", "-m", "x")
    return folder


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


@dataclass(frozen=True)
class StandIn:
    """The stand-in GitHub: its port on every address of this machine."""

    url: str
    port: int

    def at(self, host: str) -> str:
        return f"http://{host}:{self.port}"


@pytest.fixture
def github(tmp_path: Path) -> Iterator[StandIn]:
    # On every address: containers reach it by the addresses of their networks.
    command = [sys.executable, "-m", "p2pcache.testing", "--host", "0.0.0.0", "--token", TOKEN]
    with background([*command, "--ready-file", str(tmp_path / "github.json")], tmp_path / "github.log"):
        url = ready(tmp_path / "github.json")["url"]
        port = int(url.rpartition(":")[2])
        yield StandIn(f"http://127.0.0.1:{port}", port)


@dataclass
class Hub:
    port: int
    peer_id: str
    secret: str
    api_url: str

    def learn(self, target: str) -> None:
        """Have the hub fetch what others will ask."""
        request = urllib.request.Request(self.api_url + target, headers={"Authorization": f"Bearer {TOKEN}"})
        urllib.request.urlopen(request, timeout=20).close()


@pytest.fixture
def hub(tmp_path: Path, github: StandIn) -> Callable[..., AbstractContextManager[Hub]]:
    """Start a hub bound to an address, on a free port; a context manager."""

    @contextmanager
    def start(address: str = "0.0.0.0", upstream: str = github.url) -> Iterator[Hub]:
        folder = tmp_path / f"hub-{secrets.token_hex(3)}"
        folder.mkdir()
        port = any_port()
        secret = secrets.token_hex(32)
        command = [
            sys.executable, "-m", "p2pcache", "serve", "--hub", "--dir", str(folder), "--upstream", upstream,
            "--listen", "127.0.0.1:0", "--p2p-listen", f"/ip4/{address}/tcp/{port}",
            "--ready-file", str(folder / "ready"),
        ]  # fmt: skip
        variables = {"CACHE_SECRET": secret, "GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORY": "octo/app"}
        with background(command, folder / "log", **variables):
            found = await_(lambda: (r := read(folder / "ready")).get("peer_id") and r, 20)
            yield Hub(port, found["peer_id"], secret, found["api_url"])

    return start


@pytest.fixture
def free_port() -> int:
    return any_port()


def any_port() -> int:
    with socket.create_server(("0.0.0.0", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def background(command: list[str], log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CACHE_", "GITHUB_", "P2PCACHE_"))}
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**clean, **variables}
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return {}


def ready(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = await_(lambda: read(path), 20)
    return found


def await_(condition: Callable[[], Any], seconds: float = 10) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
    return found


@dataclass
class Run:
    """What act printed."""

    code: int
    log: str
    lines: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.lines = [line.split("| ", 1)[1] for line in self.log.splitlines() if "   | " in line]

    @property
    def summary(self) -> str:
        """The last summary: act prints each nested step's again with its parent's."""
        return self.log.rpartition("Summary - ")[2]

    @property
    def saved(self) -> tuple[int, int]:
        """(calls saved, of how many), as the summary's first line says."""
        found = re.search(r"(\d+) of (\d+) API calls? saved", self.summary)
        assert found, self.log
        return int(found[1]), int(found[2])


@pytest.fixture(scope="session")
def act_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """act's own folder for this session: its tool cache, so one environment is built for all."""
    return tmp_path_factory.mktemp("act")


@pytest.fixture
def act(checkout: Path, act_home: Path, github: StandIn, tmp_path: Path) -> Callable[..., Run]:
    """Run a workflow on this machine, without containers, against the stand-in GitHub."""
    stub = tmp_path / "actions-cache"
    stub.mkdir()
    shutil.copy(Path(__file__).parent / "actions-cache.yml", stub / "action.yml")
    shutil.copy(Path(__file__).parent / "actions-cache.js", stub / "index.js")

    def run(workflow: str, *flags: str, platform: str = "-self-hosted", **variables: str) -> Run:
        # act names containers by the file: two of one name would remove each other's.
        file = tmp_path / f"workflow-{secrets.token_hex(4)}.yml"
        file.write_text(workflow)
        command = [
            "act", "push", "-W", str(file), "-P", f"ubuntu-latest={platform}", "--pull=false", "--no-cache-server",
            "--action-offline-mode", "-s", f"GITHUB_TOKEN={TOKEN}", "--var", f"UPSTREAM={github.url}",
            "--local-repository", f"p2pcache/p2pcache@v1={checkout}", "--local-repository", f"{ACTIONS_CACHE}={stub}",
            *flags,
        ]  # fmt: skip
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("CACHE_", "GITHUB_", "GH_", "P2PCACHE_"))}
        environ.update(XDG_CACHE_HOME=str(act_home), XDG_CONFIG_HOME=str(act_home / "config"), **variables)
        done = subprocess.run(
            command, cwd=checkout, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=ACT_SECONDS, check=False,
        )  # fmt: skip
        return Run(done.returncode, done.stdout)

    return run


@pytest.fixture
def nothing_left_behind(act_home: Path) -> Iterator[None]:
    """After the test no process that a job started lives on."""
    yield
    await_(lambda: not processes(str(act_home)))


def processes(marker: str) -> list[str]:
    """Command lines of living processes that mention `marker`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if marker in line and path.parent.name != str(os.getpid()):
            found.append(line)
    return found


IMAGE = "p2pcache:e2e"


@pytest.fixture(scope="session")
def image(checkout: Path) -> str:
    """The product's image, from this tree."""
    subprocess.run(["docker", "build", "-q", "-t", IMAGE, str(checkout)], check=True, capture_output=True, timeout=400)
    return IMAGE


def docker(*arguments: str, seconds: float = 90) -> str:
    """What a docker command says; its stderr is in the error when it fails."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="session", name="docker")
def docker_command() -> Callable[..., str]:
    return docker


@pytest.fixture
def network() -> Iterator[Callable[..., str]]:
    """Make a Docker network, removed after the test; its name begins so that no other's is touched."""
    made = []

    def create(suffix: str, *flags: str) -> str:
        name = f"p2pcache-e2e-{secrets.token_hex(3)}{suffix}"
        docker("network", "create", *flags, name)
        made.append(name)
        return name

    yield create
    for name in made:
        docker("network", "rm", name)


@pytest.fixture
def container() -> Iterator[Callable[..., str]]:
    """Start a container in the background, removed after the test; its id."""
    started = []

    def run(*arguments: str) -> str:
        started.append(docker("run", "-d", *arguments))
        return started[-1]

    yield run
    for name in started:
        docker("rm", "-f", name)

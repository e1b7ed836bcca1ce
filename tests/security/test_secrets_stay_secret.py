"""What a node knows and its callers must not: other tokens' repositories, the secret, the credentials it was given."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache import settings
from p2pcache.cache.sealing import generate_secret
from p2pcache.declarations import SETTINGS
from tests.support.processes import GitHub, environment, job
from tests.support.trust import APP, JOB, OTHER_JOB, PERSONAL, PRIVATE, Swarm, announced


class TestWhatOthersWereGiven:
    @pytest.mark.parametrize("shown", [(), ("--share", "verified")], ids=["scope", "verified"])
    def test_a_repository_that_is_hidden_looks_like_one_that_is_not_there(
        self, swarm: Swarm, shown: tuple[str, ...]
    ) -> None:
        """Whatever the node has of it; neither the answer nor what it counts tells the two apart."""
        node = swarm.alone("node", "--no-p2p", *shown, **job(JOB, APP))
        assert node.get(f"/repos/{PRIVATE}", PERSONAL)[0] == 200
        assert node.get(f"/repos/{PRIVATE}/issues?per_page=1&page=2", PERSONAL)[0] == 200
        seen = []
        for rest in ("", "/issues?per_page=1&page=2"):
            for repository in (PRIVATE, "octo/nothing"):
                before = node.control("stats")["rules"]
                status, headers, _ = node.get(f"/repos/{repository}{rest}", JOB, **{"P2pcache-Explain": "1"})
                after = node.control("stats")["rules"]
                counted = {rule for rule in after if after[rule] != before.get(rule)}
                told = {name: headers.get(name) for name in ("cache-status", "p2pcache-rule", "age", "etag")}
                seen.append((rest, status, sorted(headers), told, counted))
        assert seen[0] == seen[1]
        assert seen[2] == seen[3]

    def test_who_may_see_it_is_told(self, swarm: Swarm) -> None:
        node = swarm.alone("node", "--no-p2p", **job(JOB, APP))
        node.get(f"/repos/{APP}", PERSONAL)
        headers = node.get(f"/repos/{APP}", JOB, **{"P2pcache-Explain": "1"})[1]
        assert headers["p2pcache-rule"] == "proof of another scope's entry"

    def test_what_depends_on_permissions_is_asked_for_each_token(self, swarm: Swarm, trusted_github: GitHub) -> None:
        """Jobs of one repository; the second has no permission for it, as its `permissions:` may say."""
        hub = swarm.hub(**job(JOB, APP))
        member = swarm.member("member", hub, **job(OTHER_JOB, APP))
        target = f"/repos/{APP}/hooks"
        assert hub.get(target, JOB)[0] == 200
        announced(member)
        trusted_github.order("fault", match=target, status=403)
        assert member.get(target, OTHER_JOB)[0] == 403
        assert hub.get(target, JOB)[1]["cache-status"].endswith("; detail=memory"), "whose own answer stands"
        allowed = member.get(target, OTHER_JOB)
        assert (allowed[0], allowed[1]["cache-status"].endswith("; detail=revalidated")) == (200, True)
        assert member.get(target, OTHER_JOB)[1]["cache-status"].endswith("; detail=memory"), "then it is its own"


class TestWhatIsSaidOfSettings:
    """An error names what was read, and goes into logs; hypothesis writes the settings."""

    TEXT = st.text(max_size=60)
    VARIABLES = tuple(sorted({name for source in SETTINGS for name in source.variables}))
    FLAGS = tuple(source.field for source in SETTINGS if source.flag)

    @given(
        st.dictionaries(st.sampled_from(VARIABLES), TEXT | st.sampled_from(["true", "9", "a/b", "/x"])),
        st.dictionaries(st.sampled_from(FLAGS), TEXT),
    )
    def test_any_environment_is_read_or_refused_in_one_line_that_holds_no_secret(
        self, variables: dict[str, str], flags: dict[str, str]
    ) -> None:
        marked = {
            source.variables[0]: f"{variables.get(source.variables[0], '')} 5ecre7"
            for source in SETTINGS
            if source.secret
        }
        try:
            said = repr(settings.load(flags, {"XDG_CACHE_HOME": "/x", **variables, **marked}))
        except settings.SettingsError as error:
            said = str(error)
            assert said.isprintable()
            assert said.startswith(("--", *self.VARIABLES))
        assert "5ecre7" not in said

    @given(st.sampled_from(["http://", "https://", "//", "", "ftp://x/"]), TEXT, TEXT, TEXT)
    def test_a_url_is_shown_without_its_credentials(self, scheme: str, before: str, between: str, after: str) -> None:
        for url in (f"{scheme}{before}5ecre7{between}@{after}", f"{scheme}{before}?{between}5ecre7{after}"):
            try:
                said = repr(settings.load({"trusted_github": url}, {"XDG_CACHE_HOME": "/x"}))
            except settings.SettingsError as error:
                said = str(error)
            assert "5ecre7" not in said


# So that root is a user like any other here: without the right to trace or to profile whatever runs.
ORDINARY = ("setpriv", "--bounding-set", "-all", "--") if os.geteuid() == 0 else ()
SPY = """
import os, pathlib, sys
for pid in sys.argv[1:]:
    for name in ("environ", "fd", "mem", "maps", "auxv"):
        path = pathlib.Path("/proc", pid, name)
        try:
            (path / "0").readlink() if name == "fd" else path.open("rb").read(name != "mem")
            print(pid, name)
        except (PermissionError, FileNotFoundError):
            pass
"""
SECRETS = {
    "CACHE_SECRET": generate_secret(),
    "CACHE_CONTROL_TOKEN": "6c0n7r01Zq8Vw2Tm5Xk9Yb4Hd7Js3Lf1",
    "GITHUB_TOKEN": "ghs_g1venby7heu5er",
    "CACHE_JOB_TOKEN": "ghs_0f7herunner",
    "CACHE_S3_SECRET_ACCESS_KEY": "own0f7hecache",
    "CACHE_S3_SESSION_TOKEN": "5e5510n0f7hecache",
    "CACHE_IPFS_TOKEN": "0f7heda3m0n",
    "AWS_SECRET_ACCESS_KEY": "0f7hej0b0f7hej0b",
    "INPUT_SECRET": "1npu7",
    "HTTP_PROXY_PASSWORD": "pr0xypr0xy",
    "NO_NAME_THAT_TELLS": "h1ddenh1dden",
}


def run(*command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run((*ORDINARY, *command), capture_output=True, text=True, timeout=60, **options)


def spied(*pids: str | int) -> list[list[str]]:
    """What an ordinary process gets to see of these: lines of a pid and a name."""
    found = run(sys.executable, "-c", SPY, *map(str, pids))
    assert found.returncode == 0, found.stderr
    return [line.split() for line in found.stdout.splitlines()]


@pytest.fixture(scope="class")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="class")
def up(home: Path) -> Iterator[Callable[[], dict[str, int]]]:
    """A supervised node, started as a user does it; gives its state."""
    with supervised(home) as state:
        yield state


@contextlib.contextmanager
def supervised(home: Path) -> Iterator[Callable[[], dict[str, int]]]:
    variables = environment(home, **SECRETS, RUNNER_TRACKING_ID="github_1")
    command = (sys.executable, "-m", "p2pcache")
    started = run(*command, "up", "--no-p2p", "--dir", str(home / "node"), env=variables, cwd=home)
    assert started.returncode == 0, started.stderr
    yield lambda: json.loads((home / "node/run/supervisor.json").read_text())
    run(*command, "down", "--dir", str(home / "node"), env=variables, cwd=home)


def until(holds: Callable[[], Any], seconds: float = 20.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)
    return found


def environment_of(pid: str | int) -> bytes:
    """What /proc tells of it; to root, to whom nothing is forbidden."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return b""


def named(state: dict[str, int]) -> list[str]:
    return [str(state["pid"]), str(state["node"])]


@pytest.mark.needs("setpriv")
class TestOtherProcessesOfTheUser:
    """Later steps of a job, say, which have no business with the cache's secret."""

    def test_they_cannot_look_into_the_node_or_its_supervisor(self, up: Callable[[], dict[str, int]]) -> None:
        mine = subprocess.Popen((*ORDINARY, "sleep", "60"))
        try:
            until(lambda: spied(mine.pid))
            seen = spied(mine.pid, *named(up()))
        finally:
            mine.kill()
            mine.wait()
        assert [str(mine.pid), "environ"] in seen, "the spy can spy"
        assert {pid for pid, _ in seen} == {str(mine.pid)}

    def test_no_environment_and_no_command_line_holds_a_secret(self, up: Callable[[], dict[str, int]]) -> None:
        for pid in named(up()):
            text = environment_of(pid) + Path(f"/proc/{pid}/cmdline").read_bytes()
            assert [name for name, value in SECRETS.items() if value.encode() in text or name.encode() in text] == []

    def test_nor_that_of_a_node_that_has_just_been_started_again(self, up: Callable[[], dict[str, int]]) -> None:
        """A spy that kills a node may look into its successor before that has closed itself: nothing is there yet."""
        before = up()["node"]
        os.kill(before, signal.SIGKILL)
        after = until(lambda: (state := up())["node"] != before and state["node"])
        for _ in range(50):
            assert not any(value.encode() in environment_of(after) for value in SECRETS.values())
        until(lambda: not spied(after))

    def test_no_file_holds_one(self, up: Callable[[], dict[str, int]], home: Path) -> None:
        up()
        for path in filter(Path.is_file, home.rglob("*")):
            assert not any(value.encode() in path.read_bytes() for value in SECRETS.values()), path

    def test_the_node_has_them_all_the_same(self, up: Callable[[], dict[str, int]], home: Path) -> None:
        up()
        ready = json.loads((home / "node/run/ready.json").read_text())
        asked = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "X-Forwarded-For: 192.0.2.1")
        for token, status in ((SECRETS["CACHE_CONTROL_TOKEN"], "200"), ("another", "401")):
            sent = ("-H", f"Authorization: Bearer {token}", f"{ready['api_url']}/-/stats")
            assert subprocess.run((*asked, *sent), capture_output=True, text=True, timeout=30).stdout == status


@pytest.mark.needs("setpriv")
def test_a_runner_still_finds_what_a_job_left(tmp_path: Path) -> None:
    """It looks for its mark in environments, and kills: that ends the node, which it cannot see."""
    with supervised(tmp_path) as up:
        state = up()
        children = Path(f"/proc/{state['pid']}/task/{state['pid']}/children").read_text().split()
        (trace,) = set(children) - {str(state["node"])}
        assert b"RUNNER_TRACKING_ID=github_1" in environment_of(trace)
        assert [trace, "environ"] in spied(trace)
        os.kill(int(trace), signal.SIGKILL)
        until(lambda: not any(Path("/proc", pid, "exe").exists() for pid in named(state)))


@pytest.mark.needs("setpriv")
def test_a_command_gets_the_users_token_and_none_of_the_nodes_secrets(tmp_path: Path) -> None:
    home = tmp_path
    shown = run(
        *(sys.executable, "-m", "p2pcache", "run", "--no-p2p", "--dir", str(home / "node"), "--", "env"),
        env=environment(home, **SECRETS),
        cwd=home,
    )
    assert shown.returncode == 0, shown.stderr
    given = dict(line.split("=", 1) for line in shown.stdout.splitlines() if "=" in line)
    assert given["GITHUB_TOKEN"] == SECRETS["GITHUB_TOKEN"]
    assert given.keys().isdisjoint({"CACHE_SECRET", "CACHE_CONTROL_TOKEN", "CACHE_JOB_TOKEN"})
    assert given.keys().isdisjoint({"CACHE_S3_SECRET_ACCESS_KEY", "CACHE_S3_SESSION_TOKEN", "CACHE_IPFS_TOKEN"})
    assert given["AWS_SECRET_ACCESS_KEY"] == SECRETS["AWS_SECRET_ACCESS_KEY"], "the command's own, as its token"

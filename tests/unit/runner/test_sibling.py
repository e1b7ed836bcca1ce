"""What the Docker Action decides before and after it asks the engine; the containers themselves are in tests/e2e."""

from __future__ import annotations

import functools
import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from p2pcache.runner import docker, evidence, lifecycle, sibling, watch
from p2pcache.runner.docker import EngineError
from p2pcache.runner.job import Job
from p2pcache.runner.network import Evidence
from tests.support import command_files

ME = "a" * 64
RECORD = {
    "outputs": {
        "api-url": "http://127.0.0.1:1", "graphql-url": "http://127.0.0.1:1/graphql", "socket": "/inside/node.sock",
        "peer-id": "12D3", "multiaddr": "", "network-mode": "host", "bootstrap-peers": "", "p2p-connected": "false",
        "stats-file": "/inside/stats.json",
    },
    "p2p": True, "p2p-port": 9001, "gh": True, "report": True, "strict": False,
    "sentence": "no hub", "notes": [], "warnings": [], "facts": {"Network": "host network: x"},
}  # fmt: skip


class FakeEngine:
    """An engine whose siblings write `record` when they start."""

    def __init__(self, temp: Path) -> None:
        self.temp = temp
        self.record: dict[str, Any] | None = dict(RECORD)
        self.running: set[str] = set()
        self.created: dict[str, Any] = {}
        self.removed: list[str] = []
        self.mounts = [{"Source": "/home/runner/work/_temp", "Destination": str(temp)}]
        self.network = "bridge"

    def inspect(self, container: str) -> dict[str, Any]:
        if container == ME:
            config = {"Labels": {"runner": "1"}}
            return {
                "Image": "sha256:1",
                "Config": config,
                "Mounts": self.mounts,
                "HostConfig": {"NetworkMode": self.network},
            }
        if container == "job":
            return {"Mounts": [{"Source": "/home/runner/work", "Destination": "/__w"}]}
        if container not in self.running:
            raise EngineError("the Docker engine says: No such container: " + container)
        return {"State": {"Running": True}}

    def create(self, name: str, settings: dict[str, Any]) -> str:
        self.created = {"name": name, **settings}
        return "new"

    def start(self, container: str, given: bytes) -> None:
        self.given = json.loads(given)
        if self.record is not None:
            self.running.add(container)
            Job(self.temp / "p2pcache").remember(self.record)

    def stop(self, container: str, seconds: int) -> None:
        self.running.discard(container)

    def remove(self, container: str) -> None:
        if container not in self.running:
            raise EngineError("the Docker engine says: No such container: " + container)
        self.running.discard(container)
        self.removed.append(container)

    def last_line(self, container: str) -> str:
        return "no disk"


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    files = {name: str(tmp_path / name) for name in ("GITHUB_OUTPUT", "GITHUB_ENV")}
    for name, path in files.items():
        Path(path).touch()
        monkeypatch.setenv(name, path)
    (tmp_path / "temp").mkdir()
    (tmp_path / "docker.sock").touch()
    monkeypatch.setattr(docker, "SOCKET", tmp_path / "docker.sock")
    monkeypatch.setattr(evidence, "collect", lambda: Evidence(mount_id=ME))
    return {**files, "RUNNER_TEMP": str(tmp_path / "temp"), "INPUT_TOKEN": "t", "ACTIONS_RUNTIME_TOKEN": "no"}


@pytest.fixture
def engine(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine(Path(environ["RUNNER_TEMP"]))
    monkeypatch.setattr(sibling, "DockerEngine", lambda: fake)
    return fake


def test_the_sibling_is_the_runners_and_knows_no_more_than_it_must(engine: FakeEngine, environ: dict[str, str]) -> None:
    assert sibling.main(["start"], {**environ, "ACT": "true", "AWS_SESSION_TOKEN": "s3"}) == 0
    made = engine.created
    assert made["Image"] == "sha256:1"
    assert made["Labels"] == {"runner": "1"}, "by which the runner prunes"
    assert made["User"] == f"{os.getuid()}:{os.getgid()}"
    assert made["HostConfig"]["Binds"] == [f"/home/runner/work/_temp:{environ['RUNNER_TEMP']}"]
    assert {entry.partition("=")[0] for entry in made["Env"]} == {"RUNNER_TEMP", "HOME"}, "all that the engine tells"
    assert (made["OpenStdin"], made["StdinOnce"]) == (True, True)
    assert engine.given["INPUT_TOKEN"] == "t"
    assert engine.given["AWS_SESSION_TOKEN"] == "s3", "which a store may need, as a step of the job has it"
    assert engine.given["ACT"] == "true", "without which the sibling would take act for a runner"
    assert engine.given.keys().isdisjoint({"ACTIONS_RUNTIME_TOKEN", "GITHUB_OUTPUT", "GITHUB_ENV"})


@pytest.mark.parametrize(
    ("more", "passed"), [({}, True), ({"INPUT_SECRET": "s"}, False), ({"CACHE_SECRET": "s"}, False)]
)
def test_what_gives_oidc_tokens_is_passed_where_there_is_no_secret(
    engine: FakeEngine, environ: dict[str, str], more: dict[str, str], passed: bool
) -> None:
    assert sibling.main(["start"], {**environ, **dict.fromkeys(sibling.ID_TOKEN, "https://t"), **more}) == 0
    assert (set(sibling.ID_TOKEN) <= engine.given.keys()) is passed
    assert "https://t" not in json.dumps(engine.created), "any user of the engine could read it there"


@pytest.mark.parametrize(
    ("more", "passed"),
    [
        ({"INPUT_PERSIST": "true"}, True),
        ({"INPUT_BACKENDS": "disk,actions"}, True),
        ({"CACHE_BACKENDS": "actions"}, True),
        ({"INPUT_PERSIST": "false"}, False),
        ({}, False),
        ({"INPUT_PERSIST": "true", "ACT": "true"}, False),
        ({"INPUT_PERSIST": "true", "GITHUB_SERVER_URL": "https://ghes.example"}, False),
    ],
)
def test_the_credentials_of_the_actions_cache_are_passed_where_it_is_used(
    engine: FakeEngine, environ: dict[str, str], more: dict[str, str], passed: bool
) -> None:
    known = {"GITHUB_SERVER_URL": "https://github.com", "ACTIONS_RESULTS_URL": "https://results.example/"}
    assert sibling.main(["start"], {**environ, **known, **more}) == 0
    given = [engine.given[name] for name in sibling.CREDENTIALS if name in engine.given]
    assert given == (["https://results.example/", "no"] if passed else [])
    assert "results.example" not in json.dumps(engine.created), "any user of the engine could read it there"


def test_host_steps_get_host_paths(engine: FakeEngine, environ: dict[str, str]) -> None:
    assert sibling.main(["start"], environ) == 0
    assert engine.created["HostConfig"]["NetworkMode"] == "host"
    assert command_files.values(environ["GITHUB_OUTPUT"])["socket"] == "/home/runner/work/_temp/p2pcache/node.sock"
    assert command_files.values(environ["GITHUB_ENV"])["GH_CONFIG_DIR"] == "/home/runner/work/_temp/p2pcache/gh"
    config = Path(environ["RUNNER_TEMP"], "p2pcache/gh/config.yml").read_text()
    assert 'http_unix_socket: "/home/runner/work/_temp/p2pcache/node.sock"' in config


def test_a_job_containers_steps_get_its_paths_and_its_loopback(engine: FakeEngine, environ: dict[str, str]) -> None:
    assert sibling.main(["start"], {**environ, "INPUT_JOB-CONTAINER": "job"}) == 0
    assert engine.created["HostConfig"]["NetworkMode"] == "container:job"
    assert command_files.values(environ["GITHUB_OUTPUT"])["socket"] == "/__w/_temp/p2pcache/node.sock"


def test_a_network_that_was_given_is_given_on(engine: FakeEngine, environ: dict[str, str]) -> None:
    engine.network = "container:job"
    assert sibling.main(["start"], environ) == 0
    assert engine.created["HostConfig"]["NetworkMode"] == "container:job"


@pytest.mark.parametrize(
    ("mode", "network"), [("host", "host"), ("bridge", "bridge"), ("none", "none"), ("custom", "github_network_1")]
)
def test_a_network_the_user_insists_on(engine: FakeEngine, environ: dict[str, str], mode: str, network: str) -> None:
    more = {"INPUT_MODE": mode, "INPUT_JOB-NETWORK": "github_network_1", "INPUT_JOB-CONTAINER": "job"}
    assert sibling.main(["start"], {**environ, **more}) == 0
    assert engine.created["HostConfig"]["NetworkMode"] == network


def test_under_act_the_command_files_folder_is_what_the_job_shares(engine: FakeEngine, environ: dict[str, str]) -> None:
    engine.mounts = [{"Source": "/volumes/act", "Destination": str(Path(environ["GITHUB_OUTPUT"]).parent)}]
    engine.temp = Path(environ["GITHUB_OUTPUT"]).parent
    assert sibling.main(["start"], {**environ, "RUNNER_TEMP": "/tmp"}) == 0
    assert command_files.values(environ["GITHUB_OUTPUT"])["socket"] == "/volumes/act/p2pcache/node.sock"


def test_nothing_shared_is_told(
    engine: FakeEngine, environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    engine.mounts = []
    assert sibling.main(["start"], environ) == 0
    assert "::warning::p2pcache: no folder here is shared with the host" in capsys.readouterr().out
    assert command_files.values(environ["GITHUB_OUTPUT"])["api-url"] == "https://api.github.com"


def test_a_second_use(engine: FakeEngine, environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert sibling.main(["start"], environ) == 0
    engine.created = {}
    assert sibling.main(["start"], environ) == 0
    assert engine.created == {}
    assert "this second use changes nothing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        pytest.param({"error": "CACHE_SHARE: read 'x'"}, "input share: read 'x'", id="a reason of its own"),
        pytest.param(None, "ended before its node was ready: no disk", id="dead"),
        pytest.param({}, "not ready after 0.2 s", id="too slow"),
    ],
)
def test_a_sibling_that_does_not_work(
    engine: FakeEngine,
    environ: dict[str, str],
    record: dict[str, Any] | None,
    reason: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sibling, "start", functools.partial(sibling.start, seconds=0.2))
    engine.record = record
    assert sibling.main(["start"], environ) == 0
    out = capsys.readouterr().out
    assert out.count("::warning::") == 1
    assert reason in out
    assert engine.running == set(), "nothing is left"
    assert sibling.main(["start"], {**environ, "INPUT_STRICT": "true"}) == 1
    assert sibling.main(["start"], {**environ, "INPUT_STRICT": "yes"}) == 1


DIAGNOSIS = {"summary": "1 check: 1 passed", "checks": []}


@pytest.mark.parametrize(
    ("record", "shown"),
    [({"diagnosing": False, "diagnosis": DIAGNOSIS}, True), ({"diagnosing": True}, False)],
    ids=["in time", "too slow"],
)
def test_a_diagnosis_is_shown_in_the_step_where_it_comes_in_time(
    engine: FakeEngine,
    environ: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    record: dict[str, Any],
    shown: bool,
) -> None:
    monkeypatch.setattr(sibling, "start", functools.partial(sibling.start, seconds=0.2))
    engine.record = {**RECORD, **record}
    assert sibling.main(["start"], environ) == 0
    out = capsys.readouterr().out
    assert ("p2pcache doctor: 1 check: 1 passed" in out) is shown
    assert "::warning::" not in out, "the node runs, and the job with it"


def test_an_upstream_that_is_no_url_is_not_exported(engine: FakeEngine, environ: dict[str, str]) -> None:
    engine.record = {"error": "input upstream: read 'foo'"}
    wrong = {"INPUT_UPSTREAM": "foo", "GITHUB_API_URL": "https://ghes.example/api/v3"}
    assert sibling.main(["start"], {**environ, **wrong}) == 0
    assert command_files.values(environ["GITHUB_ENV"])["P2PCACHE_API_URL"] == "https://ghes.example/api/v3"
    assert command_files.values(environ["GITHUB_ENV"])["P2PCACHE_GRAPHQL_URL"] == "https://ghes.example/api/graphql"


def test_the_end(engine: FakeEngine, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    reported = []
    monkeypatch.setattr(lifecycle, "report", lambda job, record, _: reported.append(record["outputs"]["network-mode"]))
    assert sibling.main(["start"], environ) == 0
    assert sibling.main(["finish"], environ) == 0
    assert reported == ["host"]
    assert engine.running == set()
    assert sibling.main(["finish"], environ) == 0, "a second use's end finds nothing"
    assert reported == ["host"]


def test_the_end_without_an_engine(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "docker.sock").unlink()
    assert sibling.main(["finish"], environ) == 0


def test_the_siblings_failure_is_left_for_who_waits(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "pthread_sigmask", lambda *_: None)  # it would be this process's
    monkeypatch.setattr(watch, "conceal", lambda: None)

    def hide(given: dict[str, str]) -> None:
        for name, value in given.items():
            monkeypatch.setenv(name, value)

    monkeypatch.setattr(sibling, "hide", hide)
    Path(environ["RUNNER_TEMP"], "p2pcache").mkdir()
    for given, reason in ((b'{"INPUT_MODE": "docker"}', "input mode"), (b"", "without what the step knows")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        assert sibling.main(["run"], environ) == 1
        assert reason in json.loads(Path(environ["RUNNER_TEMP"], "p2pcache/job.json").read_text())["error"]


@pytest.mark.parametrize("uses", [True, False])
def test_the_siblings_node_alone_gets_the_credentials_of_the_actions_cache(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, uses: bool
) -> None:
    shown: dict[str, str] = {}
    given: list[list[str]] = []
    monkeypatch.setattr(signal, "pthread_sigmask", lambda *_: None)
    monkeypatch.setattr(signal, "sigwait", lambda _: signal.SIGTERM)
    monkeypatch.setattr(watch, "conceal", lambda: None)
    monkeypatch.setattr(sibling, "hide", shown.update)
    monkeypatch.setattr(sibling, "environment", lambda: {**environ, **shown})
    monkeypatch.setattr(lifecycle, "begin", lambda _job, inputs: shown.update(inputs.variables))
    monkeypatch.setattr(lifecycle, "authorize", lambda _job, *credentials: given.append([*credentials]))
    passed = {
        "ACTIONS_RESULTS_URL": "https://results.example/",
        "ACTIONS_RUNTIME_TOKEN": "the-token",
        **({"CACHE_BACKENDS": "disk,actions"} if uses else {}),
    }
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(passed).encode())))
    assert sibling.main(["run"], environ) == 0
    assert given == ([["https://results.example/", "the-token"]] if uses else [])
    assert "the-token" not in json.dumps(shown)

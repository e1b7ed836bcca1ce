"""The Action's two steps with everything real but the network: a node, its supervisor, the runner's files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from p2pcache.cache.sealing import generate_secret
from p2pcache.gateway.ask import NodeError, ask
from p2pcache.runner import lifecycle, main, supervisor
from p2pcache.runner.job import Job
from p2pcache.runner.supervisor import SupervisorError
from p2pcache.testing.actions_cache import READ, runtime_token
from tests.support import command_files
from tests.support.processes import running

PEER = "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"
FILES = ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STEP_SUMMARY")


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A runner's step: its files, its inputs; whatever was started is stopped."""
    for name in [
        n for n in os.environ if n.startswith(("INPUT_", "CACHE_", "P2PCACHE_", "GH_", "GITHUB_", "ACTIONS_ID_"))
    ]:
        monkeypatch.delenv(name)
    for name in FILES:
        (tmp_path / name).touch()
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("RUNNER_TEMP", str(tmp_path / "temp"))
    monkeypatch.setenv("PYTHONPATH", str(Path(main.__file__).parents[2]))
    monkeypatch.setenv("INPUT_ENABLE_P2P", "false")
    monkeypatch.setenv("INPUT_UPSTREAM", "http://127.0.0.1:9")
    yield monkeypatch
    supervisor.stop(Job(tmp_path / "temp/p2pcache").run, 3)


def run(command: str) -> int:
    return main.main([command], dict(os.environ))


def test_a_job_from_start_to_finish(
    step: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("start") == 0
    outputs, variables = command_files.values(tmp_path / "GITHUB_OUTPUT"), command_files.values(tmp_path / "GITHUB_ENV")
    assert set(outputs) == {
        "api-url", "graphql-url", "socket", "peer-id", "multiaddr", "network-mode", "bootstrap-peers", "p2p-connected",
        "stats-file", "environment",
    }  # fmt: skip
    assert set(variables) == {
        "P2PCACHE_API_URL", "P2PCACHE_GRAPHQL_URL", "P2PCACHE_SOCKET", "P2PCACHE_NETWORK_MODE", "CACHE_ENABLE_P2P",
        "GH_CONFIG_DIR",
    }, "what there is not (a peer id, a port) is not exported"  # fmt: skip
    assert outputs["p2p-connected"] == "false"
    assert json.loads(outputs["environment"])["path"] == os.environ["PYTHONPATH"]
    assert outputs["socket"] in Path(variables["GH_CONFIG_DIR"], "config.yml").read_text()
    assert ask(outputs["socket"], "/-/healthz") == {"status": "ok"}

    assert run("finish") == 0
    assert json.loads(Path(outputs["stats-file"]).read_text())["requests"] == 0
    summary = (tmp_path / "GITHUB_STEP_SUMMARY").read_text()
    assert "p2pcache" in summary
    assert "Node restarts" in summary
    assert not Path(variables["GH_CONFIG_DIR"], "config.yml").exists(), "posts still to come go to GitHub"
    assert supervisor.status(Job.from_env(os.environ).run) is None
    assert not [line for line in capfd.readouterr().out.splitlines() if line.startswith("::warning")]


def test_what_is_off_at_the_end_is_an_annotation_and_stands_in_the_summary(
    step: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("start") == 0
    socket_path = command_files.values(tmp_path / "GITHUB_OUTPUT")["socket"]
    with pytest.raises(NodeError):
        ask(socket_path, "/repos/octo/app")  # nothing listens at its upstream
    capfd.readouterr()
    assert run("finish") == 0
    [warning] = [line for line in capfd.readouterr().out.splitlines() if line.startswith("::warning")]
    assert warning.startswith("::warning::p2pcache: the cache is degraded: GitHub at 127.0.0.1 cannot be reached")
    assert (
        "- ⚠ the cache is degraded: GitHub at 127.0.0.1 cannot be reached"
        in (tmp_path / "GITHUB_STEP_SUMMARY").read_text()
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "CACHE_BOOTSTRAP_PEER",
            "::warning::p2pcache: ignored, no such setting: {} (did you mean CACHE_BOOTSTRAP_PEERS?)",
        ),
        ("CACHE_VERSION", "ignored, no such setting: {}"),
    ],
    ids=["misspelt", "another program's"],
)
def test_a_variable_that_nothing_reads_is_named_once(
    step: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    step.setenv(name, "5ecre7")
    assert run("start") == 0
    assert run("start") == 0
    printed = capfd.readouterr().out
    assert [line for line in printed.splitlines() if name in line] == [said.format(name)]
    assert "5ecre7" not in printed
    assert name not in (Job.from_env(os.environ).run / "node.log").read_text(), "the node says nothing of it again"


def test_an_input_of_a_store_that_is_not_used_is_named_once(
    step: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    step.setenv("INPUT_S3_BUCKET", "example")
    assert run("start") == 0
    named = [line for line in capfd.readouterr().out.splitlines() if "s3-bucket" in line]
    sentence = "ignored, since the backend is not used: input s3-bucket (of s3): set input backends to disk,p2p,s3"
    assert named == [f"::warning::p2pcache: {sentence}"]
    assert "CACHE_S3_BUCKET" not in (Job.from_env(os.environ).run / "node.log").read_text()


def test_a_second_use_changes_nothing_and_ends_nothing(
    step: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("start") == 0
    first = command_files.values(tmp_path / "GITHUB_OUTPUT")
    (tmp_path / "GITHUB_OUTPUT").write_text("")
    assert run("start") == 0
    second = command_files.values(tmp_path / "GITHUB_OUTPUT")
    assert "environment" not in second, "its post step has nothing to end"
    assert second == {name: value for name, value in first.items() if name != "environment"}
    assert "::notice::p2pcache runs in this job already" in capfd.readouterr().out


def test_a_diagnosis_is_shown_and_summed_up_after_the_report(
    step: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = {"verdict": "fail", "found": "nobody listens", "advice": "start a hub", "detail": []}
    diagnosis = {"summary": "1 check: 1 failed", "checks": [{"number": 4, "name": "peers", "findings": [found]}]}
    step.setattr(lifecycle, "diagnosed", lambda *_: diagnosis)
    step.setenv("INPUT_DIAGNOSE", "true")
    assert run("start") == 0
    printed = capfd.readouterr().out
    assert "::group::p2pcache doctor" in printed
    assert " 4 fail  peers: nobody listens" in printed
    assert run("finish") == 0
    before, _, after = (tmp_path / "GITHUB_STEP_SUMMARY").read_text().partition("### p2pcache doctor")
    assert "### p2pcache" in before
    assert "| nobody listens | start a hub |" in after


def test_without_gh_and_without_a_report(step: pytest.MonkeyPatch, tmp_path: Path) -> None:
    step.setenv("INPUT_GH", "false")
    step.setenv("INPUT_REPORT", "false")
    assert run("start") == 0
    assert "GH_CONFIG_DIR" not in command_files.values(tmp_path / "GITHUB_ENV")
    assert run("finish") == 0
    assert (tmp_path / "GITHUB_STEP_SUMMARY").read_text() == ""


def test_persist_without_a_secret_is_told(step: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    step.setenv("INPUT_PERSIST", "true")
    step.setenv("INPUT_ENABLE_P2P", "true")
    step.setattr(supervisor, "start", lambda *_, **__: (_ for _ in ()).throw(SupervisorError("stop here")))
    assert run("start") == 1
    out, err = capfd.readouterr()
    assert "persist needs `secret`" in out
    assert "without `secret` this job's answers stay in this job" in out
    assert err.splitlines()[-1] == "stop here"


def test_persist_has_the_node_use_the_actions_cache(
    step: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    step.setenv("INPUT_PERSIST", "true")
    step.setenv("INPUT_SECRET", hashlib.sha256(b"the tests of persist").hexdigest())
    step.setenv("GITHUB_SERVER_URL", "https://github.com")
    job = Job.from_env(os.environ)
    assert run("start") == 0
    told = json.loads(command_files.values(tmp_path / "GITHUB_OUTPUT")["environment"])
    assert (told["actions"], told["socket"]) == (True, str(job.socket))
    token = runtime_token("1", {"refs/heads/main": READ})
    with running("p2pcache.testing.actions_cache_server", home=tmp_path / "service") as service:
        lifecycle.authorize(job, service["url"], token)
        deadline = time.monotonic() + 20
        while not ask(str(job.socket), "/-/stats")["stores"][0]["calls"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert capfd.readouterr().out.count("the Actions cache is not used") == 0
    lifecycle.authorize(job, "", token)
    assert lifecycle.NO_CACHE_SERVICE in capfd.readouterr().out
    lifecycle.authorize(job, "http://results.example/", token)
    assert "the Actions cache is not used: the node answered /-/actions with status 400" in capfd.readouterr().out
    assert token not in "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())


def test_without_persist_the_post_step_gives_nothing_away(step: pytest.MonkeyPatch, tmp_path: Path) -> None:
    step.setenv("GITHUB_SERVER_URL", "https://github.com")
    assert run("start") == 0
    assert json.loads(command_files.values(tmp_path / "GITHUB_OUTPUT")["environment"])["actions"] is False


def test_what_is_kept_for_the_next_run_has_no_key_and_the_next_job_is_another_peer(
    step: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The store by itself: whoever reads a repository's caches must not become a member by its identity."""
    step.setenv("INPUT_ENABLE_P2P", "true")
    step.setenv("INPUT_PERSIST", "true")
    step.setenv("INPUT_SECRET", hashlib.sha256(b"the tests of persist").hexdigest())
    step.setenv("INPUT_LISTEN_PORT", "0")
    job = Job.from_env(os.environ)
    peers = []
    for _ in range(2):
        (tmp_path / "GITHUB_OUTPUT").write_text("")
        assert run("start") == 0
        peers.append(command_files.values(tmp_path / "GITHUB_OUTPUT")["peer-id"])
        assert run("finish") == 0
        kept = list((job.node / "store").iterdir())
        assert kept
        assert not any(b"PRIVATE KEY" in file.read_bytes() for file in kept)
        # What the runner does between jobs, and actions/cache at their beginning.
        (job.node / "store").rename(tmp_path / "kept")
        shutil.rmtree(job.directory)
        job.node.mkdir(parents=True)
        (tmp_path / "kept").rename(job.node / "store")
    assert all(peers)
    assert peers[0] != peers[1]


def test_a_mode_that_is_insisted_on_is_reported(
    step: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    step.setenv("INPUT_MODE", "none")
    assert run("start") == 0
    assert command_files.values(tmp_path / "GITHUB_OUTPUT")["network-mode"] == "none"
    assert "none network: as the input says" in capfd.readouterr().out


def test_a_bad_input_is_the_last_line_of_stderr(step: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    step.setenv("INPUT_SHARE", "everything")
    assert run("start") == 1
    assert capfd.readouterr().err.splitlines()[-1].startswith("input share: read 'everything'")


def test_finish_without_a_start(step: pytest.MonkeyPatch) -> None:
    assert run("finish") == 0


@pytest.mark.parametrize("strict", [False, True])
def test_a_node_that_is_gone_at_the_end(
    step: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str], strict: bool
) -> None:
    step.setenv("INPUT_STRICT", str(strict).lower())
    assert run("start") == 0
    supervisor.stop(Job.from_env(os.environ).run, 3)
    assert run("finish") == int(strict)
    out, err = capfd.readouterr()
    assert ("no report" in err) if strict else ("::warning::p2pcache: no report" in out)


def test_ask_a_node_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="does not answer"):
        ask(str(tmp_path / "s"), "/-/stats", 1)


def test_nothing_of_the_node_holds_the_steps_output(step: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A child that keeps the step's stdout open would stall the step: the pipe must end with the command."""
    command = [sys.executable, "-m", "p2pcache.runner.main", "start"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert "p2pcache answers at http://127.0.0.1:" in done.stdout


@pytest.fixture
def swarm(step: pytest.MonkeyPatch) -> list[Any]:
    """A job that is to meet others, its node replaced by what the ready file says of it."""
    step.setenv("INPUT_ENABLE_P2P", "true")
    step.setenv("INPUT_SECRET", "0123456789abcdef0123456789abcdef")
    ready = {"api_url": "http://x", "graphql_url": "http://x/graphql", "socket": "/nowhere", "p2p": "starting"}
    later: list[dict[str, object]] = []
    step.setattr(supervisor, "start", lambda *_, **__: ready)
    step.setattr(supervisor, "ready", lambda _: {**ready, **later[0]} if later else None)
    return later


def test_outputs_wait_for_the_swarm(swarm: list[Any], tmp_path: Path) -> None:
    swarm.append({"p2p": "ready", "peer_id": "12D3", "multiaddrs": ["/ip4/10.0.0.1/tcp/9000/p2p/12D3"]})
    assert run("start") == 0
    assert command_files.values(tmp_path / "GITHUB_OUTPUT")["multiaddr"] == "/ip4/10.0.0.1/tcp/9000/p2p/12D3"


@pytest.mark.parametrize("strict", [False, True])
def test_a_swarm_that_failed_is_a_warning_or_with_strict_an_error(
    swarm: list[Any], step: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], strict: bool
) -> None:
    step.setenv("INPUT_STRICT", str(strict).lower())
    swarm.append({"p2p": "failed: port 9000 is taken"})
    assert run("start") == int(strict)
    out, err = capfd.readouterr()
    assert (
        ("failed: port 9000 is taken" in err) if strict else ("::warning::p2pcache: peer to peer failed: port" in out)
    )


def test_a_strict_failure_leaves_no_process_behind(
    step: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The node runs already when its swarm fails: a file that is no key is in its directory."""
    store = Job.from_env(os.environ).node
    store.mkdir(parents=True)
    (store / "member.key").write_text("no key")
    for name, value in {"STRICT": "true", "ENABLE_P2P": "true", "SECRET": generate_secret()}.items():
        step.setenv(f"INPUT_{name}", value)
    assert run("start") == 1
    assert "is not an Ed25519 key" in capfd.readouterr().err
    assert supervisor.status(Job.from_env(os.environ).run) is None
    assert command_files.values(tmp_path / "GITHUB_OUTPUT") == {}
    step.setenv("INPUT_STRICT", "false")
    assert run("start") == 0
    [warning] = [line for line in capfd.readouterr().out.splitlines() if line.startswith("::warning")]
    assert "is not an Ed25519 key" in warning
    assert warning.endswith("This job's cache works alone.")
    assert command_files.values(tmp_path / "GITHUB_OUTPUT")["p2p-connected"] == "false"


def test_the_port_that_is_exported_is_the_one_that_is_listened_on(
    step: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("", 0)) as taken:
        port = str(taken.getsockname()[1])
        for name, value in {"LISTEN_PORT": port, "ENABLE_P2P": "true", "SECRET": generate_secret()}.items():
            step.setenv(f"INPUT_{name}", value)
        assert run("start") == 0
    variables = command_files.values(tmp_path / "GITHUB_ENV")
    bound = variables["CACHE_LISTEN_PORT"]
    assert bound != port
    assert f"/tcp/{bound}/p2p/{variables['P2PCACHE_PEER_ID']}" in variables["P2PCACHE_MULTIADDR"]
    assert f"port {port} cannot be had: peers reach this node at port {bound}" in capfd.readouterr().out
    socket.create_connection(("127.0.0.1", int(bound)), 5).close()


def test_a_hub_that_was_named_and_is_not_there_is_a_warning(
    swarm: list[Any], step: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    step.setenv("INPUT_BOOTSTRAP_PEERS", "/ip4/127.0.0.1/tcp/1")
    swarm.append({"p2p": "ready"})
    assert run("start") == 0
    assert "no hub reached (127.0.0.1:1 refused" in capfd.readouterr().out.split("::warning::p2pcache: ")[1]


BY_TOKEN = {"ACTIONS_ID_TOKEN_REQUEST_URL": "https://127.0.0.1:9/t?v=2", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "k"}
HUB = "/ip4/127.0.0.1/tcp/1"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"INPUT_BOOTSTRAP_PEERS": f"{HUB}/p2p/{PEER}"},
            "or give the job `id-token: write`, where the hub admits by OIDC",
        ),
        ({"INPUT_BOOTSTRAP_PEERS": HUB, **BY_TOKEN}, "end its address in /p2p/ and its peer id"),
    ],
    ids=["no id-token", "no peer id"],
)
def test_without_a_secret_what_is_missing_for_admission_is_named(
    step: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], given: dict[str, str], sentence: str
) -> None:
    step.setenv("INPUT_ENABLE_P2P", "true")
    for name, value in given.items():
        step.setenv(name, value)
    assert run("start") == 0
    assert sentence in capfd.readouterr().out


def test_with_both_the_hub_is_looked_for(step: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    step.setenv("INPUT_ENABLE_P2P", "true")
    for name, value in BY_TOKEN.items():
        step.setenv(name, value)
    step.setenv("INPUT_BOOTSTRAP_PEERS", f"{HUB}/p2p/{PEER}")
    assert run("start") == 0
    warnings = capfd.readouterr().out.split("::warning::p2pcache: ")[1:]
    assert any("no hub reached (127.0.0.1:1 refused" in warning for warning in warnings)
    assert any("this job's OIDC token opened no hub: 127.0.0.1:1" in w or "gives no OIDC token" in w for w in warnings)

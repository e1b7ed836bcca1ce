"""`p2pcache scenarios` as a person runs it: with Docker and the stores, without them, and ended by a signal."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import processes
from tests.support.programs import program
from tests.support.s3_server import s3_server

COMMAND = [sys.executable, "-m", "p2pcache", "scenarios", "--json"]
SECONDS = 580


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Where scenarios have their files; a test's own folder has too long a path for sockets."""
    with tempfile.TemporaryDirectory(prefix="p2p-") as short:
        yield Path(short)


@pytest.fixture
def environ(tmp_path: Path, temporary: Path) -> dict[str, str]:
    """A person's variables, with the programs that `.ci/programs` built, if any, on the PATH."""
    (tmp_path / "bin").mkdir()
    for name, called in (("kubo", "ipfs"), ("versitygw", "versitygw")):
        if program(name).exists():
            (tmp_path / "bin" / called).symlink_to(program(name))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CACHE_", "AWS_", "GITHUB_"))}
    return {**kept, "PATH": f"{os.environ['PATH']}:{tmp_path / 'bin'}", "TMPDIR": str(temporary)}


@pytest.fixture
def nothing_is_left(temporary: Path) -> Iterator[None]:
    yield
    assert [*temporary.iterdir()] == []
    assert processes(str(temporary)) == []


def run(environ: dict[str, str], *flags: str) -> dict[str, Any]:
    """What became of each scenario; all of them ran as expected."""
    done = subprocess.run([*COMMAND, *flags], env=environ, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {each["name"]: each for each in json.loads(done.stdout)["scenarios"]}


def only(*names: str) -> list[str]:
    return [part for name in names for part in ("--only", name)]


@pytest.mark.needs("docker")
@pytest.mark.usefixtures("nothing_is_left")
def test_jobs_in_containers_meet_in_every_network(environ: dict[str, str], image: str) -> None:
    found = run(environ, "--image", image, *only("no-p2p", "host-network", "bridge", "compose"))
    alone = found.pop("no-p2p")["figures"]
    assert len(found) == 3
    for name, outcome in found.items():
        figures = outcome["figures"]
        assert (figures["connected"], figures["requests"]) == (3, alone["requests"]), name
        assert figures["charged"] < alone["charged"], name
    left = ["docker", "ps", "-aq", "--filter", "label=p2pcache.scenarios"]
    assert subprocess.run(left, capture_output=True, check=True, timeout=60).stdout == b""
    made = ["docker", "network", "ls", "-q", "--filter", "label=p2pcache.scenarios"]
    assert subprocess.run(made, capture_output=True, check=True, timeout=60).stdout == b""


@pytest.mark.needs("kubo", "versitygw")
@pytest.mark.usefixtures("nothing_is_left")
def test_fleets_that_never_meet_share_over_stores(environ: dict[str, str], tmp_path: Path) -> None:
    """The bucket is one that the user named, and is left as it was."""
    with s3_server(tmp_path / "s3") as server:
        bucket = server.bucket()
        (server.folder / bucket / "mine").write_text("kept")
        found = run({**environ, **server.variables(bucket)}, *only("s3", "ipfs", "actions"))
        assert [*server.objects(bucket)] == ["mine"]
    assert {name: outcome["figures"]["connected"] for name, outcome in found.items()} == dict.fromkeys(
        ("s3", "ipfs", "actions"), 3
    )
    assert all(outcome["figures"]["charged"] < 10 for outcome in found.values())
    assert all(outcome["figures"]["not_modified"] for outcome in found.values())


@pytest.mark.usefixtures("nothing_is_left")
def test_what_is_missing_is_named(environ: dict[str, str], tmp_path: Path) -> None:
    found = run({**environ, "PATH": str(tmp_path)}, *only("compose", "s3", "ipfs"))
    assert {outcome["status"] for outcome in found.values()} == {"missing"}
    for name, how in (("compose", "docs.docker.com"), ("s3", "CACHE_S3_BUCKET"), ("ipfs", "docs.ipfs.tech")):
        assert how in found[name]["reason"]


@pytest.mark.parametrize("scenario", ["one-host", pytest.param("compose", marks=pytest.mark.needs("docker"))])
@pytest.mark.usefixtures("nothing_is_left")
def test_a_signal_leaves_nothing(
    scenario: str, environ: dict[str, str], temporary: Path, request: pytest.FixtureRequest
) -> None:
    """As Ctrl-C does in a terminal: once its nodes run."""
    flags = ["--image", request.getfixturevalue("image")] if scenario == "compose" else []
    # A shell that runs the tests in the background has Ctrl-C ignored.
    command = ["env", "--default-signal=INT", *COMMAND, *flags, *only(scenario)]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + SECONDS / 2
        while not running(scenario, temporary, process.pid):
            assert time.monotonic() < deadline, "nothing runs"
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=SECONDS / 2)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
    assert process.returncode == 128 + signal.SIGINT, said
    assert b"Traceback" not in said
    assert not running(scenario, temporary, process.pid)


def running(scenario: str, temporary: Path, pid: int) -> bool:
    """Whether a node runs that the command started."""
    if scenario != "compose":
        return any("serve" in line for line in processes(str(temporary)))
    listed = subprocess.run(
        ["docker", "ps", "-a", "--filter", "label=p2pcache.scenarios", "--format", "{{.Names}}"],
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    return b"-hub" in listed.stdout

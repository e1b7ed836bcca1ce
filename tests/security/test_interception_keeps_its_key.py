"""The key that speaks for GitHub to a job's programs is nowhere to be read; what they are called reaches no log."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from p2pcache.interception import certificate, counts, hosts_file
from p2pcache.interception.counts import Counts
from p2pcache.interception.interceptor import Answering, Interceptor
from p2pcache.interception.processes import Processes
from p2pcache.runner import as_root, intercepted_job, supervisor
from p2pcache.runner.intercepted_job import Interception
from tests.support.client_hellos import hello

ORDINARY = ("setpriv", "--bounding-set", "-all", "--") if os.geteuid() == 0 else ()
SPY = """
import pathlib, sys
for pid in sys.argv[1:]:
    for name in ("environ", "fd", "mem", "maps"):
        path = pathlib.Path("/proc", pid, name)
        try:
            (path / "0").readlink() if name == "fd" else path.open("rb").read(name != "mem")
            print(pid, name)
        except (PermissionError, FileNotFoundError):
            pass
"""


def until(holds: Callable[[], Any], seconds: float = 30.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)
    return found


class Job:
    """A job of which the API is intercepted; its key is known to the test."""

    def __init__(self, folder: Path, key: bytes) -> None:
        self.folder = folder
        self.lines = [line for line in key.splitlines() if line and not line.startswith(b"-----")]

    @property
    def state(self) -> dict[str, Any]:
        return supervisor.status(self.folder / "intercept" / "run") or {}

    @property
    def pids(self) -> list[str]:
        return [str(self.state["pid"]), str(self.state["node"])]

    def holds_the_key(self, content: bytes) -> bool:
        return b"PRIVATE KEY" in content or any(line in content for line in self.lines)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    folder = tmp_path_factory.mktemp("job")
    hosts = folder / "hosts"
    hosts.write_text("127.0.0.1 localhost\n")
    made: list[bytes] = []

    def issue(*arguments: Any) -> tuple[bytes, bytes]:
        signed, key = real(*arguments)
        made.append(key)
        return signed, key

    def find(name: str) -> list[str]:
        return [line.address for line in hosts_file.led(hosts) if line.name == name] or ["192.0.2.5"]

    real = certificate.issue
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.9", 0)) as free:
        patch.setattr(certificate, "issue", issue)
        patch.setattr(as_root, "allowed", lambda: True)
        port = free.getsockname()[1]
        free.close()
        environ = {"RUNNER_ENVIRONMENT": "github-hosted", "PATH": os.environ["PATH"], "HOME": str(folder)}
        place = Interception(folder / "intercept", folder / "s", "https://api.github.com", environ, hosts, port, find)
        found = intercepted_job.begin(place)
        assert found.notice == ""
        yield Job(folder, made[0])
        intercepted_job.end(place)


def content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_no_file_of_the_job_holds_it(job: Job) -> None:
    for path in filter(Path.is_file, job.folder.rglob("*")):
        assert not job.holds_the_key(content(path)), path


def nowhere_in_processes(job: Job) -> None:
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and folder.name != str(os.getpid()):
            for name in ("environ", "cmdline"):
                assert not job.holds_the_key(content(folder / name)), folder


def test_no_environment_and_no_command_line_holds_it_after_a_restart_either(job: Job) -> None:
    nowhere_in_processes(job)
    before = job.state
    os.kill(before["node"], signal.SIGKILL)
    until(lambda: job.state.get("restarts", 0) > before["restarts"])
    for _ in range(20):
        nowhere_in_processes(job)
    until(lambda: content(Path(f"/proc/{job.state['node']}/cmdline")))
    for path in filter(Path.is_file, job.folder.rglob("*")):
        assert not job.holds_the_key(content(path)), path


@pytest.mark.needs("setpriv")
def test_another_process_of_the_user_cannot_look_into_either(job: Job) -> None:
    def spied(*pids: str) -> list[list[str]]:
        command = (*ORDINARY, sys.executable, "-c", SPY, *pids)
        found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return [line.split() for line in found.stdout.splitlines()]

    mine = subprocess.Popen((*ORDINARY, "sleep", "60"))
    try:
        until(lambda: spied(str(mine.pid)))
        until(lambda: not spied(*job.pids))  # a process that has just been started holds nothing yet
    finally:
        mine.kill()
        mine.wait()


HOSTILE = "::error::x ##[error]\x1b[31m<b>\n::add-mask::a"


@pytest.mark.needs("bash")
async def test_a_program_with_a_hostile_name_is_shown_without_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program = tmp_path / HOSTILE
    shutil.copy(shutil.which("bash") or "", program)
    signed, key = certificate.issue(["api.github.com"], certificate.HOSTED_LIFE)
    (tmp_path / "own.pem").write_bytes(signed)
    counted = Counts()
    answering = Answering(tmp_path / "gone", certificate.context(signed, key), frozenset())
    looks = Interceptor(answering, Processes(os.geteuid(), tmp_path / "own.pem"), counted)

    async def nowhere() -> socket.socket:
        raise OSError(113, "No route to host")

    with socket.create_server(("127.0.0.1", 0)) as listener, caplog.at_level(logging.DEBUG):
        listener.setblocking(False)
        (tmp_path / "hello").write_bytes(hello("api.github.com", ["http/1.1"]))
        script = f"exec 3<>/dev/tcp/127.0.0.1/{listener.getsockname()[1]}; cat {tmp_path}/hello >&3; echo; read -r"
        pipe = subprocess.PIPE
        child = await asyncio.create_subprocess_exec(program, "-c", script, stdin=pipe, stdout=pipe)
        try:
            accepted, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(listener), 30)
            assert child.stdout
            assert (
                await asyncio.wait_for(child.stdout.readline(), 30) == b"\n"
            )  # cat, which had the socket too, is gone
            with accepted, pytest.raises(OSError, match="No route"):
                await looks.serve(accepted, "api.github.com", nowhere)
        finally:
            child.kill()
            await child.communicate()
            looks.close()
    (name,) = counted.passed_by
    assert name.startswith("??error??x????error?")
    told = f"{counts.passed(counted)}{caplog.text}"
    assert not any(part in told for part in ("::error", "##[", "\x1b", "<b>", "::add-mask"))

"""What goes wrong in a job with interception, and that no client fails for it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import await_
from tests.support.intercepted import (
    ANOTHER_USER,
    API,
    AUTHORIZATION,
    INTERCEPTOR,
    NODE,
    InterceptedJob,
    intercepted,
)
from tests.support.world import World

pytestmark = pytest.mark.needs("netns", "unshare", "openssl", "curl", "setpriv")

TARGET = "/repos/octo/app/labels"
SLOW_SECONDS = 1.5


@pytest.fixture
def fresh(world: World, folder: Path) -> Iterator[Callable[..., contextlib.AbstractContextManager[InterceptedJob]]]:
    """Makes jobs of this test's own, in which the name leads to GitHub before and afterwards."""

    def make(*prefix: str, **variables: str) -> contextlib.AbstractContextManager[InterceptedJob]:
        return intercepted(world, folder / f"job-{os.urandom(3).hex()}", *prefix, **variables)

    yield make
    assert world.hosts.count("p2pcache") == 0


@contextlib.contextmanager
def slow_request(job: InterceptedJob, path: str) -> Iterator[subprocess.Popen[str]]:
    """A request that is on its way to GitHub, which takes its time."""
    job.world.order("fault", match=f"{path}*", delay=SLOW_SECONDS)
    command = ["curl", "-svS", "-m", "30", "-H", AUTHORIZATION, "-w", "%{http_code}", "-o", "/dev/null", API + path]
    words = job.world.command(*command, environ=job.trusting)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asking:
        assert asking.stderr
        for line in asking.stderr:
            if line.startswith("> GET"):
                break
        yield asking
        asking.communicate(timeout=40)


def assert_passed_by(job: InterceptedJob) -> None:
    answer = job.curl(TARGET)
    assert (answer.status, answer.cached) == (200, "")


def assert_cached(job: InterceptedJob) -> None:
    # curl would not take another certificate than the one that it was told of when the job began.
    answer = job.curl(TARGET)
    assert answer.status == 200
    assert answer.cached.startswith("p2pcache")


def assert_off(job: InterceptedJob, *said: str) -> None:
    """The step went well, sets outputs for single steps, and leads no name and no client here."""
    assert job.started
    assert job.started.returncode == 0, job.started.stderr
    for words in said:
        assert words in job.started.stdout, job.started.stdout
    assert {"proxy", "certificate"} <= job.outputs.keys()
    assert "SSL_CERT_DIR" not in job.variables
    assert_passed_by(job)


def test_the_interceptor_killed_between_requests(job: InterceptedJob) -> None:
    assert_cached(job)
    before = job.kill(INTERCEPTOR)
    assert_cached(job)
    assert job.state(INTERCEPTOR)["node"] != before


def test_the_interceptor_killed_in_mid_request(job: InterceptedJob) -> None:
    with slow_request(job, "/repos/octo/app/branches") as asking:
        job.kill(INTERCEPTOR)
    assert asking.returncode in (52, 56), "its connection broke, and was not left hanging"
    assert_cached(job)
    assert job.curl("/repos/octo/app/branches").status == 200


def test_the_node_killed_between_requests(job: InterceptedJob) -> None:
    job.kill(NODE)
    assert_cached(job)


def test_the_node_killed_in_mid_request(job: InterceptedJob) -> None:
    with slow_request(job, "/repos/octo/app/releases") as asking:
        job.kill(NODE)
    assert asking.returncode == 0, "another node answered on the same connection"


def test_a_node_that_hangs_holds_nobody_for_long(job: InterceptedJob) -> None:
    command = ["curl", "-sS", "-D-", "-o", "/dev/null", "-m", "2", "-H", AUTHORIZATION, API + TARGET]

    def passed_by() -> bool:
        said = job.world.run(*command, environ=job.trusting).stdout
        return " 200 " in said and "cache-status" not in said

    node = job.state(NODE)["node"]
    os.kill(node, signal.SIGSTOP)
    try:
        await_(passed_by, 40)
    finally:
        os.kill(node, signal.SIGCONT)
    await_(lambda: job.curl(TARGET).cached != "", 40)


def test_another_user_is_passed_by(job: InterceptedJob) -> None:
    done = job.world.run(*ANOTHER_USER, "curl", "-sS", "-D-", "-H", AUTHORIZATION, API + TARGET, environ=job.trusting)
    assert " 200 " in done.stdout.splitlines()[0], done.stderr
    assert "cache-status" not in done.stdout.lower()


def test_a_node_that_is_gone_for_good(job: InterceptedJob) -> None:
    pid = job.kill(NODE, "pid", signal.SIGTERM)
    await_(lambda: not alive(pid), 20)
    assert job.leads()
    assert_passed_by(job)
    ended = job.finish()
    assert ended.returncode == 0, "a job does not fail for its cache"
    assert not job.leads()
    assert_passed_by(job)


def test_an_interceptor_whose_supervisor_is_killed_takes_the_names_along(
    fresh: Callable[..., contextlib.AbstractContextManager[InterceptedJob]],
) -> None:
    with fresh() as job:
        process = job.state(INTERCEPTOR)["node"]
        job.kill(INTERCEPTOR, "pid")
        await_(lambda: not job.leads(), 10)
        assert_passed_by(job)
        await_(lambda: not alive(process), 10)
        assert_passed_by(job)


def test_a_line_of_a_job_that_was_killed_is_taken_out_by_the_next(
    fresh: Callable[..., contextlib.AbstractContextManager[InterceptedJob]],
) -> None:
    with fresh() as killed:
        process = killed.kill(INTERCEPTOR, "node", signal.SIGSTOP)  # or it would take its lines out
        killed.kill(INTERCEPTOR, "pid")
        os.kill(process, signal.SIGKILL)
        await_(lambda: not alive(process), 10)
        assert killed.leads()
        with fresh() as job:
            assert job.started
            assert "led to a cache that is gone: taken out of the hosts file" in job.started.stdout
            assert_cached(job)
        assert not killed.leads()


def test_a_hosts_file_that_cannot_be_written(
    world: World, fresh: Callable[..., contextlib.AbstractContextManager[InterceptedJob]]
) -> None:
    root = {"PATH": os.environ["PATH"]}
    for command in ("mount --bind /etc/hosts /etc/hosts", "mount -o remount,ro,bind /etc/hosts"):
        assert world.run(*command.split(), environ=root).returncode == 0
    try:
        with fresh() as job:
            assert_off(job, "::warning::", "/etc/hosts: Read-only file system")
    finally:
        world.run("umount", "/etc/hosts", environ=root)


LISTEN = """
import socket, sys
held = [socket.create_server((f"127.0.0.{number}", 443)) for number in range(int(sys.argv[1]), int(sys.argv[2]))]
print("listening", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def taken(world: World, first: int, end: int) -> Iterator[None]:
    """Another program has port 443 of addresses of the loopback."""
    words = world.command(sys.executable, "-c", LISTEN, str(first), str(end), environ={})
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holding:
        assert holding.stdout
        assert holding.stdout.readline() == b"listening\n"
        yield
        holding.communicate(timeout=20)


def test_a_port_that_is_taken_at_one_address(
    world: World, fresh: Callable[..., contextlib.AbstractContextManager[InterceptedJob]]
) -> None:
    with taken(world, 9, 10), fresh() as job:
        assert "127.0.0.10 api.github.com" in world.hosts
        assert "127.0.0.11 uploads.github.com" in world.hosts
        assert_cached(job)
        # What a runner leaves running until it has ended the job: who has the address still is passed on.
        job.finish(RUNNER_TRACKING_ID="x")
        assert not job.leads()
        assert_passed_by(job)
        late = job.curl(TARGET, "--resolve", "api.github.com:443:127.0.0.10")
        assert (late.status, late.cached) == (200, "")


def test_a_port_that_is_taken_everywhere(
    world: World, fresh: Callable[..., contextlib.AbstractContextManager[InterceptedJob]]
) -> None:
    with taken(world, 9, 60), fresh() as job:
        assert_off(job, "::warning::", "port 443 cannot be had")


def test_a_name_that_the_hosts_file_has_already(
    world: World, fresh: Callable[..., contextlib.AbstractContextManager[InterceptedJob]]
) -> None:
    before = world.hosts
    file = world.folder / "hosts"
    file.write_text(before + "10.9.0.2\tapi.github.com\n")
    try:
        with fresh() as job:
            assert_off(job, "::notice::", "/etc/hosts has api.github.com already")
            assert world.hosts == before + "10.9.0.2\tapi.github.com\n"
    finally:
        file.write_text(before)


def test_a_job_container_without_root(
    world: World, folder: Path, fresh: Callable[..., contextlib.AbstractContextManager[InterceptedJob]]
) -> None:
    # It may read everything, since this machine's interpreter may be in root's own folder.
    user = (*ANOTHER_USER[:-1], "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--")
    job = InterceptedJob(world, folder / "without-root")
    try:
        job.start(*user)
        assert_off(job, "::notice::", "this job's container does not run as root")
    finally:
        job.finish(*user)


def alive(pid: int) -> bool:
    """Whether a process runs, and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_the_names_go_at_the_end_though_their_supervisor_hangs(
    fresh: Callable[..., contextlib.AbstractContextManager[InterceptedJob]],
) -> None:
    with fresh() as made:
        made.kill(INTERCEPTOR, "pid", signal.SIGSTOP)
        assert made.finish().returncode == 0
        assert not made.leads()
        assert_passed_by(made)

"""The outputs `proxy` and `certificate`, which one step names in its own ``env``, where no name may lead here."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.interception.table import ask, rows
from tests.support.intercepted import ANOTHER_USER, API, AUTHORIZATION, InterceptedJob, answers, intercepted
from tests.support.world import World

pytestmark = pytest.mark.needs("netns", "unshare", "openssl", "curl", "setpriv")

CERTIFICATE_VARIABLES = ("NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
TARGET = "/repos/octo/app/labels"
CLIENTS = (
    "curl",
    "gh by name",
    "requests",
    "PyGithub",
    "urllib",
    "httpx",
    "@actions/github",
    "axios",
    "fetch of Node 24",
)
CREDENTIALS = "someone:pass-word"
CHAINED_PORT = 3128


@pytest.fixture(scope="module")
def job(world: World, folder: Path) -> Iterator[InterceptedJob]:
    """A job on a machine that other jobs use as well."""
    with intercepted(world, folder / "job", JOB_CONTAINER="") as made:
        assert made.started
        assert made.started.returncode == 0, made.started.stderr
        yield made


def of_one_step(job: InterceptedJob, *, trusting: bool = True) -> dict[str, str]:
    """The environment of a step that names the outputs."""
    outputs = job.outputs
    trust = dict.fromkeys(CERTIFICATE_VARIABLES, outputs["certificate"]) if trusting else {}
    return {**job.trusting, **trust, "HTTPS_PROXY": outputs["proxy"], "NODE_USE_ENV_PROXY": "1"}


def test_the_job_itself_is_as_it_was(job: InterceptedJob) -> None:
    assert job.started
    assert "::notice::" in job.started.stdout
    assert "other jobs share this machine's hosts file" in job.started.stdout
    assert not job.leads()
    assert job.variables.keys().isdisjoint({*CERTIFICATE_VARIABLES, "SSL_CERT_DIR", "HTTPS_PROXY"})
    answer = job.curl(TARGET)
    assert (answer.status, answer.cached) == (200, "")


@pytest.mark.parametrize("name", rows(CLIENTS))
def test_a_step_that_names_both(job: InterceptedJob, name: str) -> None:
    before = job.world.charged()
    done = ask(job.world, name, of_one_step(job))
    found = answers(done.stdout.replace("HTTP/1.1 200 Connection established", "") + done.stderr)
    assert (done.returncode, [each.status for each in found]) == (0, [200, 200]), done.stderr
    assert [each.hit for each in found] == [False, True]
    assert job.world.charged() - before == 1


def test_a_step_that_names_the_proxy_alone(job: InterceptedJob) -> None:
    answer = job.curl(TARGET, environ=of_one_step(job, trusting=False))
    assert (answer.status, answer.cached) == (200, "")


def test_other_hosts_through_the_proxy(job: InterceptedJob) -> None:
    answer = job.curl("https://codeload.github.com/", environ=of_one_step(job))
    assert (answer.status, answer.cached) == (404, "")


def test_what_is_no_tunnel_is_refused(job: InterceptedJob) -> None:
    done = job.world.run("curl", "-sS", "-D-", "-x", job.outputs["proxy"], "http://api.github.com/", environ=job.bare)
    assert answers(done.stdout)[0].status == 405
    assert "name this address in HTTPS_PROXY alone" in done.stdout


def test_another_user_gets_no_tunnel(job: InterceptedJob) -> None:
    command = ["curl", "-sS", "-D-", "-H", AUTHORIZATION, API + TARGET]
    done = job.world.run(*ANOTHER_USER, *command, environ=of_one_step(job))
    assert done.returncode == 56
    assert "403" in done.stdout + done.stderr


@contextlib.contextmanager
def chained_proxy(world: World) -> Iterator[list[str]]:
    """A proxy with a password; gives the targets that it was asked for."""
    script = str(Path(__file__).parent / "chained_proxy.py")
    words = world.command(sys.executable, script, str(CHAINED_PORT), CREDENTIALS, environ={})
    asked: list[str] = []
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout
        assert proxy.stdin
        assert proxy.stdout.readline() == "listening\n"
        read = threading.Thread(target=lambda: asked.extend(map(str.strip, proxy.stdout or ())))
        read.start()
        yield asked
        proxy.terminate()
        read.join(20)


def test_a_job_that_has_a_proxy_with_a_password_already(world: World, folder: Path) -> None:
    own = {"HTTPS_PROXY": f"http://{CREDENTIALS}@127.0.0.1:{CHAINED_PORT}", "JOB_CONTAINER": ""}
    with chained_proxy(world) as asked, intercepted(world, folder / "proxied", **own) as job:
        passed = job.curl(TARGET, environ=of_one_step(job, trusting=False))
        assert (passed.status, passed.cached) == (200, "")
        assert job.curl("https://codeload.github.com/", environ=of_one_step(job)).status == 404
        assert job.curl(TARGET, environ=of_one_step(job)).cached.startswith("p2pcache")
        assert job.curl(TARGET, environ=of_one_step(job)).hit
    assert asked.count("codeload.github.com:443") == 1
    assert asked.count("api.github.com:443") == 2, "of the tunnel, and of the node"

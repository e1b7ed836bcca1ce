"""A job container without Python, under act: the composite Action hands over to the Docker Action by itself."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.e2e.conftest import Run, StandIn

pytestmark = pytest.mark.needs("act", "docker")

SECRET = "9e107d9d372bb6826bd81d3542a419d6e4d909c290d0fb1ca068ffaddf22cbd0"
TAG = "p2pcache-e2e-without-python:1"
DOCKERFILE = """
FROM python:3.11-slim-bookworm
RUN rm -r /usr/local/bin/python* /usr/local/lib/python3*
"""
JOB = """
on: push
jobs:
  one:
    runs-on: ubuntu-latest
    container: IMAGE
    defaults:
      run:
        shell: bash
    steps:
      - uses: actions/checkout@v5
      - run: BEFORE
      - id: cache
        uses: ACTION
        with:
          upstream: ${{ vars.UPSTREAM }}
          secret: ${{ secrets.CACHE_SECRET }}
          strict: STRICT
      - env:
          OUTPUTS: ${{ toJSON(steps.cache.outputs) }}
          TOKEN: ${{ github.token }}
        run: |
          ! command -v python3
          echo "$OUTPUTS"
          address=${P2PCACHE_API_URL#http://}
          for i in 1 2; do
            exec 3<>"/dev/tcp/${address%:*}/${address#*:}"
            printf '%s\\r\\n' >&3 "GET /repos/octo/app HTTP/1.0" "Host: $address" "Authorization: Bearer $TOKEN" ""
            sed -n '1p; /^[Cc]ache-[Ss]tatus/p' <&3
          done
          echo "socket: ${P2PCACHE_SOCKET:-none}"
"""


@pytest.fixture(scope="session")
def without_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("without-python")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    subprocess.run(["docker", "build", "-q", "-t", TAG, str(folder)], check=True, capture_output=True, timeout=100)
    return TAG


Job = Callable[..., Run]


@pytest.fixture
def job(act: Callable[..., Run], github: StandIn, without_python: str) -> Job:
    def run(action: str, before: str = "true", strict: bool = False) -> Run:
        text = JOB.replace("IMAGE", without_python).replace("ACTION", action).replace("BEFORE", before)
        return act(
            text.replace("STRICT", str(strict).lower()),
            *("-s", f"CACHE_SECRET={SECRET}", "--var", f"UPSTREAM={github.at('172.17.0.1')}"),
        )

    return run


def test_the_cache_runs_in_a_container_beside_the_jobs(job: Job) -> None:
    run = job("p2pcache/p2pcache@v1", strict=True)
    assert run.code == 0, run.log
    assert "no Python 3.11 to 3.14 is in this job's container, so the cache runs in a container of its own" in run.log
    assert [line for line in run.lines if line.startswith("HTTP/")] == ["HTTP/1.1 200 OK"] * 2
    assert any("p2pcache; hit" in line for line in run.lines), run.log
    assert any('"network-mode": "container"' in line for line in run.lines), run.log
    assert any(line.startswith("socket: /var/run/act/") for line in run.lines), run.log
    assert run.saved == (1, 2)


def test_where_it_cannot_be_started_the_job_goes_on_without_the_cache(job: Job) -> None:
    run = job("./", before="rm -r docker")
    assert run.code == 0, run.log
    assert "the container that was to run the cache beside the job's failed" in run.log
    assert "The job goes on without the cache." in run.log
    assert [line for line in run.lines if line.startswith("HTTP/")], "the API itself answered"
    assert "socket: none" in run.lines


def test_where_it_cannot_be_started_a_strict_job_fails(job: Job) -> None:
    run = job("./", before="rm -r docker", strict=True)
    assert run.code != 0, run.log
    assert "so the cache runs in a container of its own" in run.log
    assert "The job goes on without the cache." not in run.log

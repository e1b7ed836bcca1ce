"""Through the name everything is as at GitHub: bodies, links, redirects, validators, many requests and connections."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.intercepted import API, AUTHORIZATION, InterceptedJob
from tests.support.world_machine import ADDRESS, TOKEN

pytestmark = pytest.mark.needs("netns", "unshare", "openssl", "curl")

APP = "/repos/octo/app"
HERE = Path(__file__).parent / "clients"
UPLOAD_BYTES = 5 << 20


def curl(job: InterceptedJob, *words: str) -> subprocess.CompletedProcess[str]:
    done = job.world.run("curl", "-sS", "-m", "60", "-H", AUTHORIZATION, *words, environ=job.trusting, seconds=90)
    assert done.returncode == 0, done.stderr
    return done


def test_an_upload_of_megabytes_is_seen_by_the_next_read(job: InterceptedJob, tmp_path: Path) -> None:
    before = json.loads(job.curl(f"{APP}/releases").body)
    assert job.curl(f"{APP}/releases").hit
    content = os.urandom(UPLOAD_BYTES)
    (tmp_path / "asset").write_bytes(content)
    url = before[0]["upload_url"].partition("{")[0] + "?name=asset.bin"
    assert url.startswith("https://uploads.github.com/")
    more = ("-H", "Content-Type: application/octet-stream", "--data-binary", f"@{tmp_path / 'asset'}")
    made = job.curl(url, "-w", "\n%{remote_ip}", *more)
    answer, _, address = made.body.rpartition("\n")
    assert (made.status, json.loads(answer)["digest"]) == (201, f"sha256:{hashlib.sha256(content).hexdigest()}")
    assert f"{address} uploads.github.com" in job.world.hosts, "it went the way of the cache"
    assert [each["name"] for each in json.loads(job.curl(f"{APP}/releases").body)[0]["assets"]] == ["asset.bin"]


def test_a_body_that_waits_for_100_continue(job: InterceptedJob, tmp_path: Path) -> None:
    issue = tmp_path / "issue"
    issue.write_text(json.dumps({"title": "Waited", "body": "x" * 100_000}))
    # Without the interim answer it would wait for a minute, and be ended.
    words = ("-D-", "-H", "Expect: 100-continue", "--expect100-timeout", "60", "--data-binary", f"@{issue}")
    done = curl(job, *words, f"{API}{APP}/issues")
    statuses = re.findall(r"^HTTP/1.1 (\d+)", done.stdout, re.MULTILINE)
    assert statuses == ["100", "201"]


def pages(job: InterceptedJob, target: str) -> list[int]:
    found: list[int] = []
    while target:
        answer = job.curl(target)
        assert answer.status == 200
        found += [each["number"] for each in json.loads(answer.body)]
        following = re.search(r'<([^>]+)>; rel="next"', answer.headers.get("link", ""))
        target = following[1] if following else ""
        assert not target or target.startswith(f"{API}/"), "a link leads where GitHub's own does"
    return found


def test_pages_by_their_links(job: InterceptedJob) -> None:
    first = pages(job, f"{APP}/issues?state=all&per_page=20")
    assert len(first) == len(set(first)) >= 48
    before = job.world.charged()
    assert pages(job, f"{APP}/issues?state=all&per_page=20") == first
    assert job.world.charged() == before


def test_a_redirect_of_a_renamed_repository(job: InterceptedJob) -> None:
    job.world.order("repository", name="octo/old")
    job.world.order("rename", old="octo/old", new="octo/new")
    moved = job.curl("/repos/octo/old")
    assert moved.status == 301
    assert moved.headers["location"].startswith(f"{API}/repositories/")
    followed = job.curl("/repos/octo/old", "-L")
    assert (followed.status, json.loads(followed.body)["full_name"]) == (200, "octo/new")
    before = job.world.charged()
    assert job.curl("/repos/octo/old", "-L").hit
    assert job.world.charged() == before


def test_graphql(job: InterceptedJob) -> None:
    query = json.dumps({"query": 'query { repository(owner: "octo", name: "app") { name } }'})
    answer = job.curl("/graphql", "--data", query)
    assert json.loads(answer.body) == {"data": {"repository": {"name": "app"}}}
    before = job.world.charged()
    again = job.curl("/graphql", "--data", query)
    assert (again.body, again.hit) == (answer.body, True)
    assert job.world.charged() == before


def test_a_validator_and_a_head(job: InterceptedJob) -> None:
    answer = job.curl(f"{APP}/labels")
    before = job.world.charged()
    unchanged = job.curl(f"{APP}/labels", "-H", f"If-None-Match: {answer.headers['etag']}")
    assert (unchanged.status, unchanged.body) == (304, "")
    assert job.world.charged() == before
    head = job.curl(f"{APP}/labels", "-I")
    assert (head.status, head.body.strip()) == (200, "")


def test_a_hundred_requests_on_one_connection(job: InterceptedJob) -> None:
    # A fragment is not sent.
    written = ("-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n")
    done = curl(job, *written, f"{API}{APP}/branches#[1-100]")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [status for status, _ in rows] == ["200"] * 100
    assert sum(int(made) for _, made in rows) == 1


def test_a_hundred_connections_at_once(job: InterceptedJob) -> None:
    before = job.world.charged()
    crowd = [sys.executable, str(HERE / "crowd.py"), "100", f"{APP}/tags", TOKEN]
    done = job.world.run(*crowd, environ=job.trusting, seconds=90)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"statuses": [200] * 100, "cached": [True] * 100}
    assert job.world.charged() - before == 1


def test_the_gateways_own_pages_are_not_behind_githubs_name(job: InterceptedJob) -> None:
    assert job.curl("/-/stats").status == 404


def test_other_hosts_of_github_are_not_touched(job: InterceptedJob) -> None:
    for host in ("github.com", "codeload.github.com"):
        done = curl(job, "-o", "/dev/null", "-w", "%{remote_ip}", f"https://{host}/")
        assert done.stdout == ADDRESS


def test_the_summary_names_what_was_saved_and_who_was_passed_by(job: InterceptedJob) -> None:
    job.curl(f"{APP}/labels", environ=job.bare)
    ended = job.finish()
    assert ended.returncode == 0, ended.stderr
    assert job.counts["failed"] == {}
    saved = job.summary.partition("**Clients without a base URL**")[2]
    assert re.search(r"^\| curl \| \d+ \| [1-9]\d* \|", saved, re.MULTILINE)
    assert "1 connection (curl 1: its variables do not name our certificate)" in job.summary

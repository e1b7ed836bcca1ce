"""Check 10 of the doctor over a real server: what a bucket does, and each thing that can be wrong with it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from aiohttp import web

from p2pcache.doctor import s3_examination
from p2pcache.doctor.finding import CheckFinding, CheckVerdict
from p2pcache.doctor.s3_examination import FOLDER, examine
from tests.support.patients import findings, patient
from tests.support.s3_server import SECRET, Answer, Fault, FaultProxy, S3Server, refusing

pytestmark = [pytest.mark.needs("versitygw"), pytest.mark.timeout(120)]

PASS, WARN, FAIL = CheckVerdict.PASS, CheckVerdict.WARN, CheckVerdict.FAIL


async def found(
    directory: Path, server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch, url: str = "", **changed: str
) -> list[CheckFinding]:
    variables = {**server.variables(bucket, url), "CACHE_BACKENDS": "s3", **changed}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)  # the client library reads some by itself
    found = await findings(examine, patient(directory, {}, **variables))
    assert SECRET not in repr(found)
    return found


def worst(found: list[CheckFinding]) -> CheckFinding:
    return max(found, key=lambda finding: list(CheckVerdict).index(finding.verdict))


async def test_a_bucket_that_does_what_the_cache_needs(
    server: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = await found(tmp_path, server, bucket, monkeypatch, CACHE_S3_REGION="us-east-1")
    assert {finding.verdict for finding in seen} == {PASS}, seen
    text = "\n".join(finding.found for finding in seen)
    assert f"the bucket {bucket} at {server.url}, region us-east-1" in text
    assert "credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in text
    assert "the clocks of this machine and the endpoint agree" in text
    assert "conditional put, get and delete work" in text
    assert server.objects(bucket) == {}, "nothing stays"


@pytest.mark.parametrize(
    ("changed", "said", "advice"),
    [
        ({"CACHE_S3_BUCKET": ""}, "no bucket is named", "CACHE_S3_BUCKET"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "no credentials", "docs/s3.md"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY is not set", "docs/s3.md"),
        ({"AWS_SECRET_ACCESS_KEY": "another"}, "does not belong to the access key", "docs/s3.md"),
        ({"AWS_REGION": "eu-central-1"}, "in another region: set CACHE_S3_REGION", "docs/s3.md"),
        ({"AWS_REGION": "no region"}, "AWS_REGION is no name of a region", "docs/s3.md"),
        ({"CACHE_S3_BUCKET": "b-nosuch"}, "there is no such bucket", "docs/s3.md"),
        ({"CACHE_S3_ENDPOINT": "http://127.0.0.1:1"}, "it cannot be reached", "docs/s3.md"),
        ({"AWS_SERVER_SIDE_ENCRYPTION": "nonsense"}, "a value cannot be used", "docs/s3.md"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
async def test_what_a_user_can_get_wrong(
    server: S3Server,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, str],
    said: str,
    advice: str,
) -> None:
    finding = worst(await found(tmp_path, server, bucket, monkeypatch, **changed))
    assert (finding.verdict, said in finding.found, advice in finding.advice) == (FAIL, True, True), finding


def below_doctor(fault: Fault) -> Fault:
    async def only(request: web.Request, answer: Answer) -> Answer:
        return await fault(request, answer) if f"/{FOLDER}" in request.path else answer

    return only


async def test_credentials_that_only_read(
    server: S3Server, bucket: str, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.fault = below_doctor(refusing(403, "AccessDenied", "PUT"))
    finding = worst(await found(tmp_path, server, bucket, monkeypatch, proxy.address))
    assert (finding.verdict, "nothing may be written below doctor/" in finding.found) == (WARN, True)
    assert "s3:PutObject" in finding.advice
    assert "POST" not in proxy.asked, "nothing is to be deleted"


async def test_credentials_that_may_not_list(
    server: S3Server, bucket: str, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.fault = refusing(403, "AccessDenied", "GET")
    finding = worst(await found(tmp_path, server, bucket, monkeypatch, proxy.address))
    assert (finding.verdict, "the credentials do not allow it" in finding.found) == (FAIL, True)


async def test_an_object_that_may_not_be_deleted_is_named(
    server: S3Server, bucket: str, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.fault = refusing(403, "AccessDenied", "POST")
    finding = worst(await found(tmp_path, server, bucket, monkeypatch, proxy.address))
    assert (finding.verdict, "cannot be deleted, and stays" in finding.found) == (WARN, True), finding
    assert "s3:DeleteObject" in finding.advice


async def test_a_store_without_conditional_puts(
    server: S3Server, bucket: str, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = refusing(501, "NotImplemented", "PUT")

    async def unconditional(request: web.Request, answer: Answer) -> Answer:
        conditional = {"If-Match", "If-None-Match"} & set(request.headers)
        return await refuse(request, answer) if conditional else answer

    proxy.fault = unconditional
    finding = worst(await found(tmp_path, server, bucket, monkeypatch, proxy.address))
    assert (finding.verdict, "conditional puts are not honoured" in finding.found) == (WARN, True), finding
    assert server.objects(bucket) == {}


async def test_other_bytes_than_were_put(
    server: S3Server, bucket: str, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def flipped(request: web.Request, answer: Answer) -> Answer:
        return Answer(answer.status, bytes(64)) if request.method == "GET" else answer

    proxy.fault = below_doctor(flipped)
    finding = worst(await found(tmp_path, server, bucket, monkeypatch, proxy.address))
    assert (finding.verdict, "other bytes than were put" in finding.found) == (FAIL, True)
    assert server.objects(bucket) == {}


@pytest.mark.parametrize(
    ("skew", "verdict", "said"),
    [
        (None, WARN, "does not tell its time"),
        (300.0, WARN, "300 s ahead of this machine's: beyond 900 s"),
        (-1000.0, FAIL, "1000 s behind this machine's: it refuses every request"),
    ],
)
async def test_clocks_that_differ(
    server: S3Server,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    skew: float | None,
    verdict: CheckVerdict,
    said: str,
) -> None:
    async def measured(url: str, seconds: float) -> float | None:
        return skew

    monkeypatch.setattr(s3_examination, "skew_of", measured)
    finding = worst(await found(tmp_path, server, bucket, monkeypatch))
    assert (finding.verdict, said in finding.found) == (verdict, True), finding
    assert finding.advice


async def test_an_endpoint_that_anybody_can_listen_to(
    server: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = await found(tmp_path, server, bucket, monkeypatch, "http://nosuch.invalid:9000")
    (plain,) = [finding for finding in seen if "on the way" in finding.found]
    assert (plain.verdict, "https:" in plain.advice) == (WARN, True)
    assert "at http://nosuch.invalid:9000" in seen[0].found


async def test_a_put_that_fails(
    server: S3Server, bucket: str, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.fault = below_doctor(refusing(400, "InvalidRequest", "PUT"))
    finding = worst(await found(tmp_path, server, bucket, monkeypatch, proxy.address))
    assert (finding.verdict, "it answers with status 400" in finding.found) == (FAIL, True), finding


async def test_the_client_library_is_missing(
    server: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "p2pcache.stores.s3.object_driver", None)
    finding = worst(await found(tmp_path, server, bucket, monkeypatch))
    assert (finding.verdict, "obstore is missing" in finding.found) == (FAIL, True), finding
    assert finding.advice == "pip install 'p2pcache[s3]'"

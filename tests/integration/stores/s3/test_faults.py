"""A bucket that is slow, broken, forbidden or lying: a line of the log and a state in the statistics, no wrong byte."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import hmac
import logging
import urllib.error
import urllib.request

import pytest

from p2pcache.stores.store_tier import StoreTier
from p2pcache.testing.conformance import Stored, make
from tests.integration.stores.s3.conftest import Open, written
from tests.support.fleet import until
from tests.support.s3_server import (
    ACCESS,
    SECRET,
    FaultProxy,
    S3Server,
    cut,
    flipped,
    hanging,
    passing,
    refusing,
    slow,
)

pytestmark = pytest.mark.needs("versitygw")
CALLER_SECONDS = 0.3
"""What a caller waits for a tier, as the library bounds it."""


async def stored(open_tier: Open, resource: str = "/repos/octo/hello", body: bytes = b"body of it") -> Stored:
    kept = make(resource, body=body)
    tier = open_tier()
    await tier.store(kept.pointer, kept.sealed)
    await tier.close()
    return kept


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "the secret access key does not belong to the access key"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "it does not know this access key"),
        ({"AWS_SESSION_TOKEN": "gone"}, "the session token is not valid for this access key"),
        ({"CACHE_S3_REGION": "eu-west-1"}, "the bucket is in another region: set CACHE_S3_REGION"),
        ({"CACHE_S3_BUCKET": "b-nowhere"}, "there is no such bucket"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY is not set, AWS_ACCESS_KEY_ID is"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "no credentials: set AWS_ACCESS_KEY_ID"),
        ({"CACHE_S3_ENDPOINT": "http://127.0.0.1:9"}, "it cannot be reached"),
        ({"CACHE_S3_ENDPOINT": "http://nowhere.invalid"}, "it cannot be reached"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
async def test_what_is_configured_wrongly_is_one_sentence(
    open_tier: Open, caplog: pytest.LogCaptureFixture, changed: dict[str, str], sentence: str
) -> None:
    tier = open_tier(**changed)
    for _ in range(4):  # a name that is not found may be there the next time, so only some failures are lasting
        await tier.find(make().pointer.name)
    assert tier.report()["state"] == "open"
    assert sentence in tier.report()["why"]
    (line,) = warnings(caplog)
    assert sentence in line
    assert "tester-secret" not in caplog.text


@pytest.mark.parametrize(
    ("status", "code", "sentence", "lasting"),
    [
        (400, "ExpiredToken", "the credentials have expired", True),
        (403, "RequestTimeTooSkewed", "this machine's clock is too far from the service's", True),
        (403, "AccessDenied", "the credentials do not allow it", True),
        (503, "SlowDown", "it asks for fewer requests", False),
        (500, "InternalError", "it answers with status 500", False),
    ],
)
async def test_what_the_service_refuses_is_one_sentence(
    open_tier: Open,
    proxy: FaultProxy,
    caplog: pytest.LogCaptureFixture,
    status: int,
    code: str,
    sentence: str,
    lasting: bool,
) -> None:
    kept = await stored(open_tier)
    tier = open_tier(proxy.address)
    await tier.open()
    proxy.fault = refusing(status, code)
    calls = 1 if lasting else 3
    for _ in range(calls):
        assert list(await tier.find(kept.pointer.name)) == []
    assert tier.report()["state"] == "open"
    asked = sum(proxy.asked.values())
    assert list(await tier.find(kept.pointer.name)) == []
    assert sum(proxy.asked.values()) == asked, "it is left alone"
    (line,) = warnings(caplog)
    assert sentence in line


async def test_gone_and_back(open_tier: Open, proxy: FaultProxy, caplog: pytest.LogCaptureFixture) -> None:
    kept = await stored(open_tier)
    tier = open_tier(proxy.address)
    await tier.open()
    port = await proxy.away()
    for _ in range(3):
        assert list(await tier.find(kept.pointer.name)) == []
    assert "it cannot be reached" in tier.trouble
    await proxy.serve(port)

    async def found() -> bool:
        return list(await tier.find(kept.pointer.name)) == [kept.pointer]

    await until(found, "found again")
    assert tier.trouble == ""
    assert len(warnings(caplog)) == 1


async def test_what_could_not_be_written_is_written_when_it_is_back(open_tier: Open, proxy: FaultProxy) -> None:
    tier = open_tier(proxy.address)
    await tier.open()
    proxy.fault = refusing(503, "SlowDown", "PUT")
    kept = make()
    await tier.store(kept.pointer, kept.sealed)
    await until(lambda: proxy.asked["PUT"], "a try")
    proxy.fault = passing
    await written(tier)
    assert tier.report()["lost"] == 0
    assert await open_tier().block(kept.pointer) == kept.sealed


async def test_a_caller_does_not_wait_for_a_service_that_hangs(open_tier: Open, proxy: FaultProxy) -> None:
    kept = await stored(open_tier)
    tier = open_tier(proxy.address)
    await tier.open()
    proxy.fault = hanging
    for call in (tier.find(kept.pointer.name), tier.block(kept.pointer)):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call, CALLER_SECONDS)
    proxy.fault = passing
    assert list(await tier.find(kept.pointer.name)) == [kept.pointer]


async def test_a_slow_answer_is_an_answer(open_tier: Open, proxy: FaultProxy) -> None:
    kept = await stored(open_tier)
    tier = open_tier(proxy.address)
    await tier.open()
    proxy.fault = slow(0.5)
    assert list(await tier.find(kept.pointer.name)) == [kept.pointer]
    assert await tier.block(kept.pointer) == kept.sealed


async def test_a_flipped_bit_is_refused_and_counted(open_tier: Open, proxy: FaultProxy) -> None:
    kept = await stored(open_tier)
    tier = open_tier(proxy.address)
    await tier.open()
    proxy.fault = flipped
    assert list(await tier.find(kept.pointer.name)) == []
    assert await tier.block(kept.pointer) is None
    assert tier.report()["refused"] == 2
    proxy.fault = passing
    assert await tier.block(kept.pointer) == kept.sealed


async def test_a_body_that_ends_early_is_no_answer(open_tier: Open, proxy: FaultProxy) -> None:
    kept = await stored(open_tier)
    tier = open_tier(proxy.address)
    await tier.open()
    proxy.fault = cut
    assert await tier.block(kept.pointer) is None
    assert list(await tier.find(kept.pointer.name)) == []
    proxy.fault = passing
    assert await tier.block(kept.pointer) == kept.sealed


async def test_a_full_store_is_still_read(open_tier: Open, proxy: FaultProxy) -> None:
    kept = await stored(open_tier)
    tier = open_tier(proxy.address)
    await tier.open()
    proxy.fault = refusing(507, "InsufficientStorage", "PUT")
    other = make("/other", body=b"other")
    await tier.store(other.pointer, other.sealed)
    await until(lambda: proxy.asked["PUT"], "a try")
    assert list(await tier.find(kept.pointer.name)) == [kept.pointer]
    proxy.fault = passing
    await written(tier)


async def test_read_only_credentials_read(open_tier: Open, proxy: FaultProxy, caplog: pytest.LogCaptureFixture) -> None:
    kept = await stored(open_tier)
    tier = open_tier(proxy.address)
    await tier.open()
    proxy.fault = refusing(403, "AccessDenied", "PUT")
    other = make("/other", body=b"other")
    await tier.store(other.pointer, other.sealed)
    await written(tier)
    asked = proxy.asked["PUT"]
    await tier.store(other.pointer, other.sealed)
    await written(tier)
    assert proxy.asked["PUT"] == asked
    assert list(await tier.find(kept.pointer.name)) == [kept.pointer]
    assert tier.report()["state"] == "closed"
    (line,) = warnings(caplog)
    assert "the credentials do not allow to write" in line


async def test_an_object_larger_than_any_block_is_not_taken_in(
    open_tier: Open, server: S3Server, bucket: str, proxy: FaultProxy
) -> None:
    kept = await stored(open_tier)
    for path in server.objects(bucket).values():
        with path.open("r+b") as file:
            file.truncate(64 << 20)
    tier = open_tier()
    assert list(await tier.find(kept.pointer.name)) == []
    assert await tier.block(kept.pointer) is None
    assert tier.report()["refused"] == 2


async def test_another_fleets_record_is_none(open_tier: Open, server: S3Server, bucket: str) -> None:
    kept = await stored(open_tier)
    other = await stored(open_tier, resource="/other", body=b"other")
    objects = {key.rpartition("/")[2]: path for key, path in server.objects(bucket).items()}
    objects[kept.pointer.name.hex()].write_bytes(objects[other.pointer.name.hex()].read_bytes())
    tier = open_tier()
    assert list(await tier.find(kept.pointer.name)) == []
    assert tier.report()["refused"] == 1


async def test_many_calls_that_are_cancelled_leave_it_well(open_tier: Open, proxy: FaultProxy) -> None:
    kept = await stored(open_tier)
    tier: StoreTier = open_tier(proxy.address)
    await tier.open()
    proxy.fault = slow(0.2)
    calls = [asyncio.create_task(tier.block(kept.pointer)) for _ in range(50)]
    await until(lambda: sum(proxy.asked.values()) > 10, "under way")
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    proxy.fault = passing
    assert await tier.block(kept.pointer) == kept.sealed


def test_the_server_calls_a_clock_that_is_wrong_as_amazon_does(server: S3Server, bucket: str) -> None:
    """So that the sentence about clocks rests on what a server answers: a request of yesterday, signed well."""
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    day, moment = then.strftime("%Y%m%d"), then.strftime("%Y%m%dT%H%M%SZ")
    host = server.url.removeprefix("http://")
    empty = hashlib.sha256(b"").hexdigest()
    headers = f"host:{host}\nx-amz-content-sha256:{empty}\nx-amz-date:{moment}\n"
    names = "host;x-amz-content-sha256;x-amz-date"
    canonical = f"GET\n/{bucket}\nlist-type=2\n{headers}\n{names}\n{empty}"
    scope = f"{day}/us-east-1/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{SECRET}".encode()
    for part in (day, "us-east-1", "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    signed = f"AWS4-HMAC-SHA256 Credential={ACCESS}/{scope}, SignedHeaders={names}, Signature={signature}"
    request = urllib.request.Request(f"{server.url}/{bucket}?list-type=2", headers={
        "X-Amz-Date": moment, "X-Amz-Content-Sha256": empty, "Authorization": signed})  # fmt: skip
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    with caught.value as answer:
        assert b"<Code>RequestTimeTooSkewed</Code>" in answer.read()

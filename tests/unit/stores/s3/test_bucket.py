"""How the backend s3 is opened: from settings and the job's variables; what is missing is one line of the log."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from p2pcache.backends import named
from p2pcache.cache.tiers import Opening
from p2pcache.settings import load
from p2pcache.stores.driver import StoreError
from p2pcache.stores.s3.bucket import HONOURED
from p2pcache.stores.store_tier import StoreTier
from p2pcache.testing.conformance import KEYRING

KEYS = {"AWS_ACCESS_KEY_ID": "job", "AWS_SECRET_ACCESS_KEY": "job-secret"}


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("p2pcache.stores.s3.s3_credentials.VENDOR", tmp_path / "none")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the client library is given."""
    given: dict[str, Any] = {}

    def make(bucket: str, **arguments: Any) -> dict[str, Any]:
        given.update(arguments, bucket=bucket)
        return given

    monkeypatch.setattr("obstore.store.S3Store", make)
    return given


def opened(monkeypatch: pytest.MonkeyPatch, **variables: str) -> StoreTier | None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = load({}, {"XDG_CACHE_HOME": "/var/cache", **variables})
    tier = named("s3").open(Opening(settings.options, Path("/"), KEYRING))
    assert tier is None or isinstance(tier, StoreTier)
    return tier


async def connected(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    tier = opened(monkeypatch, **{**KEYS, **variables})
    assert tier is not None
    async with tier._driver._connect():  # type: ignore[attr-defined]  # what the driver calls when it opens
        pass


async def test_amazons_store(monkeypatch: pytest.MonkeyPatch, store: dict[str, Any]) -> None:
    await connected(monkeypatch, CACHE_S3_BUCKET="example")
    assert (store["bucket"], store["prefix"], store["region"]) == ("example", "p2pcache", "us-east-1")
    assert store["virtual_hosted_style_request"]
    assert store["aws_endpoint_url_s3"] == "https://example.s3.us-east-1.amazonaws.com"
    assert not store["client_options"]["allow_http"]


async def test_a_name_with_dots_is_no_host_of_amazons(monkeypatch: pytest.MonkeyPatch, store: dict[str, Any]) -> None:
    await connected(monkeypatch, CACHE_S3_BUCKET="example.org")
    assert not store["virtual_hosted_style_request"]
    assert store["aws_endpoint_url_s3"] == "https://s3.us-east-1.amazonaws.com"


async def test_another_store(monkeypatch: pytest.MonkeyPatch, store: dict[str, Any]) -> None:
    await connected(
        monkeypatch,
        CACHE_S3_BUCKET="s3://example/ci",
        CACHE_S3_PREFIX="cache",
        CACHE_S3_ENDPOINT="http://minio:9000",
        CACHE_S3_REGION="here",
        AWS_ENDPOINT_URL_S3="http://not-this",
        AWS_REGION="not-this",
    )
    assert (store["prefix"], store["region"]) == ("ci/cache", "here")
    assert store["aws_endpoint_url_s3"] == "http://minio:9000"
    assert store["client_options"]["allow_http"]


async def test_the_jobs_variables_count(monkeypatch: pytest.MonkeyPatch, store: dict[str, Any]) -> None:
    await connected(monkeypatch, CACHE_S3_BUCKET="example", AWS_ENDPOINT_URL="https://r2.example", AWS_REGION="auto")
    assert (store["aws_endpoint_url_s3"], store["region"]) == ("https://r2.example", "auto")


async def test_the_library_never_tries_for_long(monkeypatch: pytest.MonkeyPatch, store: dict[str, Any]) -> None:
    await connected(monkeypatch, CACHE_S3_BUCKET="example")
    assert store["retry_config"]["max_retries"] <= 1
    assert store["retry_config"]["retry_timeout"].total_seconds() <= 2
    assert store["client_options"]["timeout"].total_seconds() <= 5
    assert store["client_options"]["connect_timeout"].total_seconds() <= 2


async def test_empty_keys_do_not_hide_a_role(monkeypatch: pytest.MonkeyPatch, store: dict[str, Any]) -> None:
    role = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials"}
    await connected(monkeypatch, CACHE_S3_BUCKET="example", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", **role)
    assert "credential_provider" not in store
    assert os.environ.keys().isdisjoint({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"})


LIBRARYS_OWN = (
    "AWS_CONDITIONAL_PUT",
    "AWS_COPY_IF_NOT_EXISTS",
    "AWS_DISABLE_BULK_DELETE",
    "AWS_DISABLE_TAGGING",
    "AWS_IMDSV1_FALLBACK",
    "AWS_S3_EXPRESS",
    "AWS_SKIP_SIGNATURE",
    "AWS_TIMEOUT",
    "AWS_UNSIGNED_PAYLOAD",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
)


@pytest.mark.parametrize("name", LIBRARYS_OWN)
async def test_a_variable_of_the_librarys_own_has_no_effect(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    # A value that counted would be refused when the store is made.
    await connected(monkeypatch, CACHE_S3_BUCKET="example", **{name: "garbage"})


@pytest.mark.parametrize("name", [*HONOURED, "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"])
async def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    await connected(monkeypatch, CACHE_S3_BUCKET="example", **{name: " "})
    assert name not in os.environ


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"AWS_CHECKSUM_ALGORITHM": "md5"}, "a value cannot be used: AWS_CHECKSUM_ALGORITHM (docs/s3.md#variables)"),
        ({"AWS_REQUEST_PAYER": "me"}, "a value cannot be used: AWS_REQUEST_PAYER (docs/s3.md#variables)"),
        (
            {"AWS_SERVER_SIDE_ENCRYPTION": "aws:kms", "AWS_SSE_KMS_KEY_ID": "a\nb"},
            "a value cannot be used: AWS_SERVER_SIDE_ENCRYPTION, AWS_SSE_KMS_KEY_ID (docs/s3.md#variables)",
        ),
        ({"AWS_REGION": "eu\r\nX-Evil: 1"}, "AWS_REGION is no name of a region: set CACHE_S3_REGION"),
        ({"AWS_DEFAULT_REGION": "somewhere else"}, "AWS_DEFAULT_REGION is no name of a region: set CACHE_S3_REGION"),
    ],
)
async def test_a_value_that_cannot_be_used_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], sentence: str
) -> None:
    with pytest.raises(StoreError) as caught:
        await connected(monkeypatch, CACHE_S3_BUCKET="example", **variables)
    assert str(caught.value) == sentence
    assert caught.value.lasting


def test_it_says_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    tier = opened(monkeypatch, CACHE_S3_BUCKET="example", CACHE_S3_ENDPOINT="https://account.r2.example")
    assert tier is not None
    assert tier._driver.where == "the bucket example at account.r2.example"


async def test_without_credentials_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    tier = opened(monkeypatch, CACHE_S3_BUCKET="example")
    assert tier is not None
    await tier.open()
    assert "s3: the bucket example: no credentials: set AWS_ACCESS_KEY_ID" in tier.trouble
    await tier.close()


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({}, "s3: no bucket is named: set CACHE_S3_BUCKET; the cache goes on without it"),
        ({"CACHE_S3_BUCKET": "example", "AWS_ENDPOINT_URL": "minio:9000"}, "s3: AWS_ENDPOINT_URL is no http(s) URL"),
        ({"CACHE_S3_BUCKET": "example", "AWS_ENDPOINT": "minio:9000"}, "s3: AWS_ENDPOINT is no http(s) URL"),
    ],
)
def test_what_is_missing_is_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variables: dict[str, str], sentence: str
) -> None:
    assert opened(monkeypatch, **variables) is None
    assert [message for message in caplog.messages if message.startswith(sentence)] == caplog.messages != []

"""Where credentials come from, in which order; where there are none, no machine is asked for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from p2pcache.stores.driver import StoreError
from p2pcache.stores.s3.s3_credentials import credential_services, credential_source, credentials
from p2pcache.values import Secret

KEYS = {"AWS_ACCESS_KEY_ID": "job", "AWS_SECRET_ACCESS_KEY": "job-secret"}


def options(access: str = "", secret: str = "", token: str = "") -> dict[str, Any]:
    names = ("s3_access_key_id", "s3_secret_access_key", "s3_session_token")
    return dict(zip(names, map(Secret, (access, secret, token)), strict=True))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    vendor = tmp_path / "sys_vendor"
    vendor.write_text("QEMU\n")
    return vendor


def shown(found: dict[str, Any]) -> tuple[str, str, str | None]:
    given = found["credential_provider"]()
    assert given["expires_at"] is None
    return given["access_key_id"], given["secret_access_key"], given["token"]


def test_the_jobs_keys(elsewhere: Path) -> None:
    assert shown(credentials(options(), KEYS, elsewhere)) == ("job", "job-secret", None)


def test_a_session_token_comes_along(elsewhere: Path) -> None:
    assert shown(credentials(options(), {**KEYS, "AWS_SESSION_TOKEN": "t"}, elsewhere)) == ("job", "job-secret", "t")


def test_the_caches_own_keys_beat_the_jobs_and_take_nothing_of_them(elsewhere: Path) -> None:
    environ = {**KEYS, "AWS_SESSION_TOKEN": "t"}
    assert shown(credentials(options("own", "own-secret"), environ, elsewhere)) == ("own", "own-secret", None)
    assert shown(credentials(options("own", "own-secret", "own-t"), environ, elsewhere))[2] == "own-t"


@pytest.mark.parametrize(
    ("given", "environ", "sentence"),
    [
        (("own", ""), {}, "CACHE_S3_SECRET_ACCESS_KEY is not set, CACHE_S3_ACCESS_KEY_ID is"),
        (("", "own"), KEYS, "CACHE_S3_ACCESS_KEY_ID is not set, CACHE_S3_SECRET_ACCESS_KEY is"),
        (("", ""), {"AWS_ACCESS_KEY_ID": "x"}, "AWS_SECRET_ACCESS_KEY is not set, AWS_ACCESS_KEY_ID is"),
        (("", ""), {"AWS_WEB_IDENTITY_TOKEN_FILE": "/x"}, "AWS_ROLE_ARN is not"),
        (("", ""), {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere/x", "AWS_ROLE_ARN": "arn"}, "is not there"),
        (("", ""), {"AWS_PROFILE": "ci"}, "AWS_PROFILE is not read"),
        (("", ""), {}, "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (("", ""), {"AWS_ROLE_ARN": "arn"}, "no credentials"),
    ],
)
def test_what_is_missing_is_one_sentence(
    elsewhere: Path, given: tuple[str, str], environ: dict[str, str], sentence: str
) -> None:
    with pytest.raises(StoreError) as caught:
        credentials(options(*given), environ, elsewhere)
    assert sentence in str(caught.value)
    assert caught.value.lasting


BAD = "has a character that no credential has, such as a line break"


@pytest.mark.parametrize("character", ["\n", "\r\nX-Evil: 1", "\0", "\x7f", "é", "\udcff"])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_what_no_header_takes_is_named_and_not_shown(elsewhere: Path, at: int, character: str) -> None:
    values = ["key", "secret", "token"]
    values[at] = f"s3cret{character}x"
    own = ("CACHE_S3_ACCESS_KEY_ID", "CACHE_S3_SECRET_ACCESS_KEY", "CACHE_S3_SESSION_TOKEN")
    jobs = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    for names, given, environ in ((own, values, {}), (jobs, (), dict(zip(jobs, values, strict=True)))):
        with pytest.raises(StoreError) as caught:
            credentials(options(*given), environ, elsewhere)
        assert str(caught.value) == f"{names[at]} {BAD}"
        assert caught.value.lasting


def test_a_bad_key_of_the_job_does_not_matter_beside_the_caches_own(elsewhere: Path) -> None:
    environ = dict.fromkeys(KEYS, "a\nb")
    assert shown(credentials(options("own", "own-secret"), environ, elsewhere)) == ("own", "own-secret", None)


def test_a_role_is_left_to_the_library(elsewhere: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("jwt")
    role = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "AWS_ROLE_ARN": "arn:aws:iam::1:role/ci"}
    assert credentials(options(), role, elsewhere) == {}
    for kind in ("RELATIVE", "FULL"):
        assert credentials(options(), {f"AWS_CONTAINER_CREDENTIALS_{kind}_URI": "/v2/x"}, elsewhere) == {}


def test_a_machine_is_asked_where_it_is_amazons(tmp_path: Path) -> None:
    vendor = tmp_path / "sys_vendor"
    vendor.write_text("Amazon EC2\n")
    assert credentials(options(), {}, vendor) == {}
    with pytest.raises(StoreError, match="no credentials"):
        credentials(options(), {"AWS_EC2_METADATA_DISABLED": "true"}, vendor)
    with pytest.raises(StoreError, match="no credentials"):
        credentials(options(), {}, tmp_path / "not there")


def test_the_services_that_give_a_roles_credentials() -> None:
    usual = ["https://sts.eu-west-1.amazonaws.com", "http://169.254.169.254", "http://169.254.170.2"]
    assert credential_services({}, "eu-west-1") == usual
    own = {
        "AWS_ENDPOINT_URL_STS": "https://sts.example",
        "AWS_METADATA_ENDPOINT": " ",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
    }
    named = ["https://sts.example", "http://169.254.170.23/v1/credentials"]
    assert credential_services(own, "eu-west-1") == [*usual, *named]


def test_no_secret_is_shown(elsewhere: Path) -> None:
    assert "job-secret" not in repr(credentials(options(), KEYS, elsewhere))


@pytest.mark.parametrize(
    ("given", "environ", "named"),
    [
        (("own", "own-secret"), KEYS, "CACHE_S3_ACCESS_KEY_ID and CACHE_S3_SECRET_ACCESS_KEY"),
        ((), KEYS, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ((), {"AWS_WEB_IDENTITY_TOKEN_FILE": __file__, "AWS_ROLE_ARN": "arn"}, "the role of AWS_ROLE_ARN"),
        ((), {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://x"}, "the role of this container"),
    ],
)
def test_their_source_is_named_without_them(
    given: tuple[str, ...], environ: dict[str, str], named: str, elsewhere: Path
) -> None:
    source = credential_source(options(*given), environ, elsewhere)
    assert named in source
    assert "secret" not in source


def test_the_source_may_be_the_machine_or_none(elsewhere: Path) -> None:
    with pytest.raises(StoreError, match="no credentials"):
        credential_source(options(), {}, elsewhere)
    elsewhere.write_text("Amazon EC2\n")
    assert "virtual machine" in credential_source(options(), {}, elsewhere)

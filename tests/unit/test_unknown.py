from __future__ import annotations

import pytest

from p2pcache.declarations import SETTINGS
from p2pcache.unknown import unknown, unused


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("CACHE_BOOTSTRAP_PEER", "CACHE_BOOTSTRAP_PEERS"),
        ("CACHE_BOOTSTRAP", "CACHE_BOOTSTRAP_PEERS"),
        ("CACHE_P2P_BOOTSTRAPS", "CACHE_BOOTSTRAP_PEERS"),
        ("CACHE_SECRETS", "CACHE_SECRET"),
        ("CACHE_SECERT", "CACHE_SECRET"),
        ("CACHE_BACKENDZ", "CACHE_BACKENDS"),
        ("CACHE_LISTENPORT", "CACHE_LISTEN_PORT"),
        ("CACHE_ENABLEP2P", "CACHE_ENABLE_P2P"),
        ("CACHE_DISK_BYTE", "CACHE_DISK_BYTES"),
    ],
)
def test_a_misspelt_variable_is_named_with_the_right_one(name: str, right: str) -> None:
    found = unknown([name, "PATH"])
    assert found is not None
    assert found.sentence == f"ignored, no such setting: {name} (did you mean {right}?)"
    assert found.mistaken


def test_names_that_are_known_are_no_matter_and_aliases_are_known() -> None:
    assert unknown(variable for setting in SETTINGS for variable in setting.variables) is None


@pytest.mark.parametrize("name", ["PATH", "ACTIONS_CACHE_URL", "XDG_CACHE_HOME", "CACHE_", "cache_secre"])
def test_what_does_not_begin_as_ours_do_is_no_matter(name: str) -> None:
    assert unknown([name]) is None


@pytest.mark.parametrize("name", ["CACHE_VERSION", "CACHE_KEY", "CACHE_NUMBER", "CACHE_HIT", "CACHE_URL"])
def test_another_programs_variable_is_no_mistake(name: str) -> None:
    assert unknown([name]) == (f"ignored, no such setting: {name}", False)


def test_what_only_the_action_sets_is_never_advised() -> None:
    found = unknown(["CACHE_JOB_TOKENS"])
    assert found is not None
    assert "CACHE_JOB_TOKEN?" not in found.sentence


def test_many_are_one_line_the_likely_mistakes_first() -> None:
    found = unknown([*(f"CACHE_Q{number}X" for number in range(9)), "CACHE_SECRE"])
    assert found is not None
    assert found.sentence.startswith("ignored, no such setting: CACHE_SECRE (did you mean CACHE_SECRET?), CACHE_Q0X, ")
    assert found.sentence.endswith(" and 5 more")


@pytest.mark.parametrize("name", ["CACHE_SECRE\n::error::x", "CACHE_SECRE T", "CACHE_SECRÉ", "CACHE_" + "A" * 100])
def test_a_name_that_no_user_writes_is_not_repeated(name: str) -> None:
    assert unknown([name]) is None


@pytest.mark.parametrize(
    ("environ", "chosen", "sentence"),
    [
        (
            {"CACHE_S3_BUCKET": "example", "CACHE_S3_REGION": "eu"},
            ("disk", "p2p"),
            "CACHE_S3_BUCKET, CACHE_S3_REGION (of s3): set CACHE_BACKENDS to disk,p2p,s3",
        ),
        (
            {"CACHE_IPFS_GATEWAY": "https://a", "CACHE_DISK_BYTES": "1"},
            ("p2p", "storacha"),
            "CACHE_DISK_BYTES (of disk); CACHE_IPFS_GATEWAY (of ipfs): set CACHE_BACKENDS to p2p,disk,ipfs",
        ),
        ({"CACHE_IPFS_API": "http://a"}, (), "CACHE_IPFS_API (of ipfs): set CACHE_BACKENDS to ipfs"),
    ],
)
def test_a_setting_of_a_backend_that_is_not_used_is_named(
    environ: dict[str, str], chosen: tuple[str, ...], sentence: str
) -> None:
    assert unused(environ, chosen) == f"ignored, since the backend is not used: {sentence}"


@pytest.mark.parametrize(
    ("environ", "chosen"),
    [
        ({"CACHE_S3_BUCKET": "example"}, ("disk", "s3")),
        ({"CACHE_S3_BUCKET": " "}, ("disk",)),
        ({"IPFS_API": "/ip4/127.0.0.1/tcp/5001", "WEB3_STORAGE_TOKEN": "x", "CACHE_STORACHA_URL": "x"}, ("disk",)),
        ({}, ()),
    ],
    ids=["used", "empty", "another program's, or of one that ended", "none"],
)
def test_nothing_is_said_of_what_is_used_or_not_ours(environ: dict[str, str], chosen: tuple[str, ...]) -> None:
    assert unused(environ, chosen) == ""

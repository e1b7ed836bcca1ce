"""What `p2pcache doctor` prints is pasted into issues and stands in the logs of jobs: no secret is in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pcache.cache.sealing import generate_secret
from p2pcache.declarations import SETTINGS
from p2pcache.doctor.checks import CHECKS
from tests.support.commands import inside

HEAVY = {2, 3}
"""Checks that have a process or a node of their own, which the environment says nothing to."""
LIGHT = ",".join(str(check.number) for check in CHECKS if check.number not in HEAVY)
MARK = "c4nary"
STRONG = {"CACHE_SECRET": f"{MARK}{generate_secret()}", "CACHE_WEBHOOK_SECRET": f"{MARK}{generate_secret()}"}
OF_OTHERS = {
    "AWS_ACCESS_KEY_ID": f"{MARK}-aws-id",
    "AWS_SECRET_ACCESS_KEY": f"{MARK}-aws-secret",
    "AWS_SESSION_TOKEN": f"{MARK}-aws-session",
    "GH_TOKEN": f"ghp_{MARK}",
    "ACTIONS_RUNTIME_TOKEN": f"{MARK}-runtime",
    "HTTP_PROXY": f"http://user:{MARK}@127.0.0.1:9",
}
NOWHERE = {
    "CACHE_UPSTREAM": "http://127.0.0.1:9",
    "CACHE_S3_ENDPOINT": "http://127.0.0.1:9",
    "CACHE_S3_BUCKET": "example",
    "CACHE_IPFS_API": "http://127.0.0.1:9",
    "CACHE_BACKENDS": "disk,p2p,s3,ipfs,actions",
}


def secrets() -> Iterator[tuple[str, str]]:
    """Each variable that a setting takes a secret from, with a canary."""
    for setting in SETTINGS:
        if setting.secret:
            yield from ((name, f"{MARK}-{name.lower()}") for name in setting.variables)


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize("strong", [True, False], ids=["usable", "unusable"])
def test_no_canary_is_printed(tmp_path: Path, form: tuple[str, ...], strong: bool) -> None:
    variables = {**dict(secrets()), **OF_OTHERS, **NOWHERE, **(STRONG if strong else {})}
    ended = inside(tmp_path, "doctor", "--only", LIGHT, *form, "--hub", **variables)
    assert "CACHE_SECRET" in ended.stdout, "something was examined"
    assert MARK not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    "variables",
    [
        {"CACHE_UPSTREAM": f"ftp://user:{MARK}@host"},
        {"CACHE_S3_ENDPOINT": f"http://user:{MARK}@host?x={MARK}"},
        {"CACHE_SECRET": f"{MARK}\n{MARK}", "CACHE_SECRET_FILE": "/nowhere"},
        {"CACHE_TTL": "soon", "GITHUB_TOKEN": MARK},
        {"CACHE_SECRT": f"{MARK}-misspelt"},
    ],
    ids=lambda variables: "-".join(variables),
)
def test_a_setting_that_cannot_be_read_is_named_without_its_secret(tmp_path: Path, variables: dict[str, str]) -> None:
    ended = inside(tmp_path, "doctor", "--only", "6,7", **variables)
    assert "CACHE_" in ended.stdout
    assert MARK not in ended.stdout + ended.stderr


def test_control_characters_and_commands_of_a_setting_stay_in_their_line(tmp_path: Path) -> None:
    ended = inside(tmp_path, "doctor", "--only", "7", CACHE_SHARE="x\x1b[31m\n::error::y")
    assert "\x1b" not in ended.stdout
    assert not any(line.lstrip().startswith("::") for line in ended.stdout.splitlines())

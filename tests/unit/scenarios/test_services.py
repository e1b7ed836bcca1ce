"""What is said where a service is missing, and what nodes get of one that is there."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import pytest

from p2pcache.scenarios import services
from p2pcache.scenarios.places import Machine, MissingError, UnexpectedError
from p2pcache.scenarios.services import actions_cache, bucket, daemon

OWN = {
    "CACHE_S3_BUCKET": "mine",
    "CACHE_S3_PREFIX": "production",
    "CACHE_S3_ENDPOINT": "https://s3.example.org",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "5ecre7",
}


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in OWN:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("nothing_installed")
async def test_without_a_bucket_or_a_server_it_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"set CACHE_S3_BUCKET .*, or install versitygw"):
        async with bucket(Machine(tmp_path)):
            pytest.fail("there is none")


@pytest.mark.usefixtures("nothing_installed")
async def test_without_the_client_library_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingError, match=r"pip install 'p2pcache\[s3\]'"):
        async with bucket(Machine(tmp_path)):
            pytest.fail("there is none")


async def test_the_users_bucket_is_used_in_a_folder_of_the_runs_own_which_is_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied = []

    async def empty(variables: Mapping[str, str]) -> None:
        emptied.append(variables["CACHE_S3_PREFIX"])

    monkeypatch.setattr(services, "emptied", empty)
    for name, value in OWN.items():
        monkeypatch.setenv(name, value)
    async with bucket(Machine(tmp_path)) as first, bucket(Machine(tmp_path)) as second:
        folder = first["CACHE_S3_PREFIX"]
        assert {**first, "CACHE_S3_PREFIX": "production"}.items() >= OWN.items()
        assert folder.startswith("p2pcache-scenarios/")
        assert folder != second["CACHE_S3_PREFIX"]
        assert not any(name.startswith("GITHUB_") for name in first)
        assert emptied == []
    assert sorted(emptied) == sorted([folder, second["CACHE_S3_PREFIX"]])


async def test_a_users_bucket_that_cannot_be_used_is_explained_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**OWN, "CACHE_S3_BUCKET": "x"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UnexpectedError, match="CACHE_S3_BUCKET: read 'x': expected the name of a bucket"):
        async with bucket(Machine(tmp_path)):
            pytest.fail("it has no such name")


async def test_of_two_reasons_the_first_one_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(variables: Mapping[str, str]) -> None:
        raise UnexpectedError("it could not be emptied")

    monkeypatch.setattr(services, "emptied", fails)
    for name, value in OWN.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UnexpectedError, match="nothing came of it"):
        async with bucket(Machine(tmp_path)):
            raise UnexpectedError("nothing came of it")
    with pytest.raises(UnexpectedError, match="could not be emptied"):
        async with bucket(Machine(tmp_path)):
            pass


@pytest.mark.usefixtures("nothing_installed")
async def test_without_kubo_it_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="ipfs is not on the PATH: install Kubo"):
        async with daemon(Machine(tmp_path)):
            pytest.fail("there is none")


def program(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


@pytest.mark.usefixtures("nothing_installed")
async def test_a_daemon_that_cannot_start_says_why(tmp_path: Path) -> None:
    program(tmp_path, "ipfs", "echo 'Error: no space left' >&2; exit 1")
    (tmp_path / "scratch").mkdir()
    with pytest.raises(UnexpectedError, match="ipfs init: Error: no space left"):
        async with Machine(tmp_path / "scratch") as machine, daemon(machine):
            pytest.fail("it does not run")


@pytest.mark.usefixtures("nothing_installed")
async def test_a_server_that_ends_says_why(tmp_path: Path) -> None:
    program(tmp_path, "versitygw", "echo 'flag provided but not defined' >&2; exit 1")
    (tmp_path / "scratch").mkdir()
    with pytest.raises(UnexpectedError, match="versitygw ended: flag provided but not defined"):
        async with Machine(tmp_path / "scratch") as machine, bucket(machine):
            pytest.fail("it does not run")


async def test_the_actions_cache_is_a_stand_in_on_this_machine() -> None:
    async with actions_cache() as credentials:
        assert credentials["results_url"].startswith("http://127.0.0.1:")
        assert credentials["token"].count(".") == 2

"""What a job had stays in force, and ours is added, in files of ours."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import certifi
import pytest

from p2pcache.interception import certificate, trust_files
from p2pcache.interception.trust_files import CURL, FILE, FOLDER, NODE, REQUESTS, TrustFiles

OURS, _ = certificate.issue(["api.github.com"], certificate.HOSTED_LIFE)
THEIRS, _ = certificate.issue(["company.example"], certificate.HOSTED_LIFE)
SYSTEMS, _ = certificate.issue(["system.example"], certificate.HOSTED_LIFE)
OTHER_FILES = {NODE: "node.pem", REQUESTS: "requests.pem", FILE: "file.pem", CURL: "curl.pem"}


@pytest.fixture
def theirs(tmp_path: Path) -> str:
    path = tmp_path / "company.pem"
    path.write_bytes(THEIRS.rstrip())  # without a newline at its end
    return str(path)


def written(folder: Path, environ: Mapping[str, str] | None = None) -> TrustFiles:
    system = folder / "system.crt"
    system.write_bytes(SYSTEMS)
    hashed = folder / "hashed"
    hashed.mkdir(exist_ok=True)
    (hashed / "0123abcd.0").write_bytes(SYSTEMS)
    (hashed / "README").touch()
    bundles = ["/nowhere.crt", str(system), certifi.where()]
    return trust_files.write(folder / "tls", OURS, environ or {}, bundles, ["/nowhere", str(hashed)])


PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\n.*?\n-----END CERTIFICATE-----", re.DOTALL)
KNOWN = {OURS.strip(): "ours", THEIRS.strip(): "theirs", SYSTEMS.strip(): "the system's"}


def certificates(path: str | Path) -> list[str]:
    return [KNOWN.get(block, "another") for block in PEM.findall(Path(path).read_bytes())]


def test_where_nothing_was_set_three_variables_are(tmp_path: Path) -> None:
    found = written(tmp_path)
    tls = tmp_path / "tls"
    assert set(found.variables) == {NODE, REQUESTS, FOLDER}
    assert Path(found.variables[NODE]).read_bytes() == OURS, "a bundle would cost each start of Node.js"
    assert certificates(found.variables[REQUESTS])[0] == "the system's"
    assert certificates(found.variables[REQUESTS])[-1] == "ours"
    assert len(certificates(found.variables[REQUESTS])) == 2 + len(certificates(certifi.where())), (
        "requests had certifi's"
    )
    assert certificates(found.bundle) == certificates(found.variables[REQUESTS])
    folder = found.variables[FOLDER]
    names = {each.name for each in Path(folder).iterdir()}
    assert names == {f"{certificate.subject_hash(OURS)}.0", "0123abcd.0"}, "one folder: some programs take no list"
    named = {found.bundle, found.variables[NODE], found.variables[REQUESTS], folder}
    assert found.paths == named
    assert all(Path(path).is_relative_to(tls) for path in named)


@pytest.mark.parametrize("variable", [NODE, REQUESTS, FILE, CURL])
def test_a_file_of_the_jobs_is_extended_in_one_of_ours(tmp_path: Path, theirs: str, variable: str) -> None:
    found = written(tmp_path, {variable: theirs})
    assert Path(theirs).read_bytes() == THEIRS.rstrip(), "which itself stays as it was"
    extended = found.variables[variable]
    assert extended == str(tmp_path / "tls" / OTHER_FILES[variable])
    assert extended in found.paths
    assert certificates(extended) == ["theirs", "ours"]


def test_requests_takes_curls_where_it_has_none_of_its_own(tmp_path: Path, theirs: str) -> None:
    found = written(tmp_path, {CURL: theirs})
    assert certificates(found.variables[REQUESTS]) == ["theirs", "ours"]
    assert set(found.variables) == {NODE, REQUESTS, CURL, FOLDER}
    both = written(tmp_path, {CURL: "/nowhere", REQUESTS: theirs})
    assert certificates(both.variables[REQUESTS]) == ["theirs", "ours"]
    assert CURL not in both.variables


def odd_files(folder: Path) -> dict[str, str]:
    os.mkfifo(folder / "pipe")
    (folder / "directory").mkdir()
    return {
        "gone": "/nowhere.pem",
        "directory": str(folder / "directory"),
        "pipe": str(folder / "pipe"),
        "zero": "/dev/zero",
    }


@pytest.mark.parametrize("odd", ["gone", "directory", "pipe", "zero"])
@pytest.mark.parametrize("variable", [NODE, REQUESTS, FILE, CURL])
def test_what_is_no_file_is_left_alone(tmp_path: Path, variable: str, odd: str) -> None:
    found = written(tmp_path, {variable: odd_files(tmp_path)[odd]})
    assert variable not in found.variables
    assert not any(Path(path).name == OTHER_FILES[variable] for path in found.paths)


def test_a_file_that_this_user_may_not_read_is_left_alone(
    tmp_path: Path, theirs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bytes:
        if path == Path(theirs):
            raise PermissionError(13, "Permission denied")
        return read(path)

    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert FILE not in written(tmp_path, {FILE: theirs}).variables


def test_folders_of_the_jobs_are_linked_in_ours(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "89abcdef.0").write_bytes(THEIRS)
    found = written(tmp_path, {FOLDER: f"/nowhere:{mine}"})
    assert found.folders == ("/nowhere", str(mine))
    names = {each.name for each in Path(found.variables[FOLDER]).iterdir()}
    assert names == {f"{certificate.subject_hash(OURS)}.0", "89abcdef.0"}, "in place of the system's, as they were"


def test_where_a_system_keeps_nothing_by_hash_the_variable_is_not_set(tmp_path: Path) -> None:
    found = trust_files.write(tmp_path / "tls", OURS, {}, [], ["/nowhere"])
    assert FOLDER not in found.variables, "programs that look there would trust nobody but us"


def test_a_second_certificate_takes_the_place_of_the_first(tmp_path: Path) -> None:
    first = written(tmp_path)
    other, _ = certificate.issue(["api.octo.ghe.com"], certificate.HOSTED_LIFE)
    again = trust_files.write(tmp_path / "tls", other, {}, [])
    assert again.paths == first.paths
    folder = Path(first.variables[FOLDER])
    assert not (folder / f"{certificate.subject_hash(OURS)}.0").exists()
    assert (folder / f"{certificate.subject_hash(other)}.0").read_bytes() == other


def test_everybody_may_read_them_and_they_are_certificates_alone(tmp_path: Path) -> None:
    for path in map(Path, written(tmp_path).paths):
        assert path.stat().st_mode & 0o444 == 0o444
        assert path.is_dir() or b"PRIVATE" not in path.read_bytes()


@pytest.mark.needs("openssl")
def test_openssl_finds_it_in_the_folder(tmp_path: Path) -> None:
    found = written(tmp_path)
    command = ["openssl", "verify", "-no-CAfile", "-no-CAstore", found.variables[NODE]]
    for folders, status in ((found.variables[FOLDER], 0), ("/etc/ssl/certs", 2)):
        environ = {"PATH": os.environ["PATH"], FOLDER: folders}
        assert subprocess.run(command, capture_output=True, timeout=30, check=False, env=environ).returncode == status


def test_where_nothing_can_be_written_the_caller_learns_of_it(tmp_path: Path) -> None:
    (tmp_path / "tls").touch()
    with pytest.raises(OSError):
        written(tmp_path)

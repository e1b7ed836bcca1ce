"""Check 7: what was read, and what cannot have been meant."""

from pathlib import Path

import pytest

from p2pcache.backends import ended
from p2pcache.doctor.finding import CheckFinding, CheckVerdict, Patient
from p2pcache.doctor.settings_read import examine
from tests.support.patients import SECRET, patient

PEER = "/ip4/127.0.0.1/tcp/9100"


def wrong(examined: Patient) -> CheckFinding:
    """The one finding that does not pass."""
    (found,) = [each for each in examine(examined) if each.verdict in (CheckVerdict.WARN, CheckVerdict.FAIL)]
    return found


def test_what_was_read_is_listed_with_its_origin_and_no_secret(tmp_path: Path) -> None:
    examined = patient(
        tmp_path, {"share": "verified"}, CACHE_SECRET=SECRET, CACHE_BACKEND="disk", CACHE_TTL="60", GITHUB_TOKEN="ghp_x"
    )
    (finding,) = examine(examined)
    assert finding.verdict is CheckVerdict.PASS
    assert finding.found.startswith("settings read: 6; ")
    assert finding.detail == (
        f"CACHE_DIR: {tmp_path}",
        "CACHE_BACKENDS: disk (as CACHE_BACKEND)",
        "CACHE_SHARE: verified (flag --share)",
        "CACHE_TTL: 60",
        "CACHE_SECRET: set, not shown",
        "GITHUB_TOKEN: set, not shown",
    )


def test_settings_that_cannot_be_read_are_a_failure(tmp_path: Path) -> None:
    first, second = examine(Patient({"CACHE_SHAR": "all"}, problem="--share: read 'all': expected scope, ..."))
    assert (first.verdict, first.found) == (CheckVerdict.FAIL, "--share: read 'all': expected scope, ...")
    assert "docs/settings.md" in first.advice
    assert "did you mean CACHE_SHARE?" in second.found


def test_a_misspelt_variable_is_named_with_the_right_one(tmp_path: Path) -> None:
    found = wrong(patient(tmp_path, CACHE_BOOTSTRAP_PEER=PEER))
    assert found.verdict is CheckVerdict.WARN
    assert "CACHE_BOOTSTRAP_PEER (did you mean CACHE_BOOTSTRAP_PEERS?)" in found.found
    assert "rename" in found.advice


def test_a_variable_of_another_program_is_no_mistake(tmp_path: Path) -> None:
    _, finding = examine(patient(tmp_path, CACHE_VERSION="7"))
    assert finding.verdict is CheckVerdict.SKIP
    assert "CACHE_VERSION" in finding.found


@pytest.mark.parametrize(
    ("flags", "variables", "found", "advice"),
    [
        ({}, {"CACHE_BACKENDS": "disk", "CACHE_BACKEND": "disk,p2p"}, "CACHE_BACKENDS counts", "CACHE_BACKENDS"),
        ({"share": "off"}, {"CACHE_SHARE": "scope"}, "--share and CACHE_SHARE differ: --share counts", "--share"),
        ({}, {"CACHE_S3_BUCKET": "example"}, "CACHE_S3_BUCKET (of s3)", "set CACHE_BACKENDS to disk,p2p,s3"),
        (
            {"p2p": "false"},
            {"CACHE_BOOTSTRAP_PEERS": PEER, "CACHE_SECRET": SECRET},
            "peer to peer is off",
            "name no bootstrap peers",
        ),
        ({}, {"MCP_PEER_ID": "12D3KooWPHVHa65ejyE1E3a1pMSai541WLWqbM7XYhW5inqnib9R"}, "MCP_PEER_ID", "CACHE_BOOTSTRAP"),
        ({"p2p_listen": PEER}, {"CACHE_LISTEN_PORT": "9000"}, "the flag counts", "unset CACHE_LISTEN_PORT"),
    ],
)
def test_what_contradicts_or_has_no_effect_is_a_warning(
    tmp_path: Path, flags: dict[str, str], variables: dict[str, str], found: str, advice: str
) -> None:
    finding = wrong(patient(tmp_path, flags, **variables))
    assert finding.verdict is CheckVerdict.WARN
    assert found in finding.found
    assert advice in finding.advice


@pytest.mark.parametrize(
    ("flags", "variables", "advice"),
    [
        ({}, {"CACHE_OIDC_OWNERS": "1"}, "add --hub"),
        ({"hub": "true", "p2p": "false"}, {"CACHE_SECRET": SECRET}, "change one of the two"),
    ],
)
def test_what_no_node_could_do_is_a_failure(
    tmp_path: Path, flags: dict[str, str], variables: dict[str, str], advice: str
) -> None:
    finding = wrong(patient(tmp_path, flags, **variables))
    assert finding.verdict is CheckVerdict.FAIL
    assert advice in finding.advice


def test_a_hub_without_a_secret_makes_one(tmp_path: Path) -> None:
    found = examine(patient(tmp_path, {"hub": "true"}, CACHE_OIDC_OWNERS="1"))
    assert [each.verdict for each in found] == [CheckVerdict.PASS]
    assert not any(tmp_path.iterdir())


def test_the_names_of_other_programs_may_differ(tmp_path: Path) -> None:
    examined = patient(
        tmp_path, CACHE_UPSTREAM="https://ghes.example.org/api/v3", GITHUB_API_URL="https://api.github.com"
    )
    assert [each.verdict for each in examine(examined)] == [CheckVerdict.PASS]


def test_a_service_that_ended_is_named_in_the_words_of_its_declaration(tmp_path: Path) -> None:
    (backend,) = ended()
    finding = wrong(patient(tmp_path, WEB3_STORAGE_TOKEN="5ecre7"))
    assert finding.verdict is CheckVerdict.WARN
    assert f"{finding.found}: {finding.advice}" == f"{backend.name}: {backend.ended}"
    assert finding.advice.startswith("use s3, or ipfs") or "use s3" in finding.advice

"""Check 6: what is wrong with a secret, or with what it seals."""

from pathlib import Path
from typing import Any

import pytest

from p2pcache.cache.sealing import Keyring, SealedKind, generate_secret
from p2pcache.doctor.encryption import KEYGEN, examine, round_trip
from p2pcache.doctor.finding import CheckFinding, CheckVerdict, Patient
from tests.support.patients import SECRET, patient


def wrong(examined: Patient) -> CheckFinding:
    (found,) = [each for each in examine(examined) if each.verdict in (CheckVerdict.WARN, CheckVerdict.FAIL)]
    return found


def test_a_secret_as_it_should_be_passes_with_its_key_id(tmp_path: Path) -> None:
    trip, strength = examine(patient(tmp_path, CACHE_SECRET=SECRET))
    assert trip.verdict is strength.verdict is CheckVerdict.PASS
    key_id = Keyring.from_secrets([SECRET], "https://api.github.com").key_id.hex()
    assert key_id in trip.detail[0]
    assert SECRET not in repr((trip, strength))


@pytest.mark.parametrize(
    ("secret", "found"),
    [("short1", "too short"), ("0123456789abcdef" * 4, "repeats itself"), ("a" * 64, "letters and digits")],
)
def test_a_weak_secret_is_a_failure(tmp_path: Path, secret: str, found: str) -> None:
    finding = wrong(patient(tmp_path, CACHE_SECRET=secret))
    assert finding.verdict is CheckVerdict.FAIL
    assert found in finding.found
    assert finding.advice == "make one with: p2pcache keygen"
    assert secret not in finding.found


def test_without_a_secret_nothing_is_shared(tmp_path: Path) -> None:
    finding = wrong(patient(tmp_path))
    assert (finding.verdict, finding.advice) == (CheckVerdict.WARN, KEYGEN)


def test_a_personal_token_stands_in(tmp_path: Path) -> None:
    _, source = examine(patient(tmp_path, GITHUB_TOKEN="ghp_" + "aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5"))
    assert source.verdict is CheckVerdict.PASS
    assert "stands in" in source.found


def test_a_rotation_shows_which_key_seals(tmp_path: Path) -> None:
    trip, _, rotation = examine(patient(tmp_path, CACHE_SECRET=f"{generate_secret()}\n{SECRET}"))
    assert [line.partition(": ")[2].partition(",")[0] for line in trip.detail] == [
        "seals and opens",
        "opens what an older secret sealed",
    ]
    assert (rotation.verdict, rotation.found.startswith("a rotation")) == (CheckVerdict.PASS, True)


def test_secrets_that_no_rotation_needs_are_a_warning(tmp_path: Path) -> None:
    finding = wrong(patient(tmp_path, CACHE_SECRET="\n".join(generate_secret() for _ in range(3))))
    assert finding.verdict is CheckVerdict.WARN
    assert "rotating-the-secret" in finding.advice


def test_one_secret_given_twice_is_a_warning(tmp_path: Path) -> None:
    finding = wrong(patient(tmp_path, CACHE_SECRET=f"{SECRET}\n{SECRET}"))
    assert finding.found == "2 secrets are given, 1 of them different"
    assert finding.advice


@pytest.mark.parametrize(("mode", "wrong_mode"), [(0o600, False), (0o644, True), (0o640, True)])
def test_a_file_that_others_read_is_a_warning(tmp_path: Path, mode: int, wrong_mode: bool) -> None:
    path = tmp_path / "secret.txt"
    path.write_text(SECRET)
    path.chmod(mode)
    verdicts = [each.verdict for each in examine(patient(tmp_path, CACHE_SECRET_FILE=str(path)))]
    assert (CheckVerdict.WARN in verdicts) is wrong_mode
    if wrong_mode:
        assert wrong(patient(tmp_path, CACHE_SECRET_FILE=str(path))).advice == f"chmod 600 {path}"


def test_a_hub_makes_its_own(tmp_path: Path) -> None:
    (finding,) = examine(patient(tmp_path, {"hub": "true"}))
    assert finding.verdict is CheckVerdict.SKIP
    assert list(tmp_path.iterdir()) == [], "none is made by the doctor"
    path = tmp_path / "secret"
    path.write_text(SECRET)
    path.chmod(0o600)
    assert {each.verdict for each in examine(patient(tmp_path, {"hub": "true"}))} == {CheckVerdict.PASS}


@pytest.mark.parametrize("broken", ["changed", "moved", "lost"])
def test_sealing_that_does_not_protect_is_a_failure(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    keyring = Keyring.from_secrets([SECRET])
    real = Keyring.open

    def opens(self: Keyring, sealed: bytes, kind: SealedKind, *place: bytes) -> Any:
        if broken == "lost":
            return b""
        try:
            return real(self, sealed, kind, *place)
        except ValueError:
            if (place == (b"place",)) is (broken == "changed"):
                return b"anything"
            raise

    monkeypatch.setattr(Keyring, "open", opens)
    finding = round_trip(keyring)
    assert finding.verdict is CheckVerdict.FAIL
    assert "--force-reinstall cryptography" in finding.advice

"""Check 1: what is missing is named, with the setting that wants it and the command that installs it."""

from importlib import metadata
from pathlib import Path

import pytest

from p2pcache.doctor import dependencies
from p2pcache.doctor.dependencies import Requirement, examine, fits, problems, requirements
from p2pcache.doctor.finding import CheckVerdict, Patient
from tests.support.patients import patient


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """As if these packages were not installed."""
    real = metadata.version

    def version(name: str) -> str:
        if name in packages:
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)


def test_here_all_is_installed(tmp_path: Path) -> None:
    (finding,) = examine(patient(tmp_path))
    assert finding.verdict is CheckVerdict.PASS
    assert "packages are there" in finding.found


def test_what_is_missing_or_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "msgspec", "trio")
    monkeypatch.setattr(
        dependencies,
        "requirements",
        lambda: (Requirement("msgspec", ">=0.20"), Requirement("trio", ">=0.3"), Requirement("click", ">=99")),
    )
    (finding,) = examine(Patient())
    assert finding.verdict is CheckVerdict.FAIL
    assert "missing: msgspec, trio; click is " in finding.found
    assert "needed is >=99" in finding.found
    assert "requirements.lock" in finding.advice


@pytest.mark.parametrize(
    ("variables", "flags", "extra", "verdict", "setting"),
    [
        (
            {"CACHE_BACKENDS": "disk,s3", "CACHE_S3_BUCKET": "example"},
            {},
            "s3",
            CheckVerdict.FAIL,
            "CACHE_BACKENDS names s3",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
            {},
            "otel",
            CheckVerdict.FAIL,
            "OTEL_EXPORTER_OTLP_ENDPOINT is set",
        ),
        ({}, {"hub": "true"}, "mcp", CheckVerdict.WARN, "a hub answers MCP"),
    ],
)
def test_an_extra_is_asked_for_by_the_setting_that_wants_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    flags: dict[str, str],
    extra: str,
    verdict: CheckVerdict,
    setting: str,
) -> None:
    examined = patient(tmp_path, flags, **variables)
    _, there = examine(examined)
    assert there.verdict is CheckVerdict.PASS
    without(monkeypatch, *(each.package for each in requirements() if each.extra == extra))
    base, missing = examine(examined)
    assert (base.verdict, missing.verdict) == (CheckVerdict.PASS, verdict)
    assert setting in missing.found
    assert missing.advice == f"pip install 'p2pcache[{extra}]'"


def test_an_installed_package_says_itself_what_it_needs(tmp_path: Path) -> None:
    names = {each.package for each in requirements(tmp_path / "no.toml") if not each.extra}
    assert {"msgspec", "multiaddr"} <= names
    assert "libp2p" not in names, "a wheel has it inside"
    assert "libp2p" in {each.package for each in requirements()}, "a checkout has not"
    assert {each.extra for each in requirements(tmp_path / "no.toml")} == {"", "mcp", "s3", "otel"}


def test_a_file_of_another_project_is_no_list(tmp_path: Path) -> None:
    other = tmp_path / "pyproject.toml"
    for text in ('[project]\nname = "other"\ndependencies = ["x"]', "[tool.x]", "no toml"):
        other.write_text(text)
        assert "x" not in {each.package for each in requirements(other)}


def test_without_any_list_nothing_is_judged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert requirements(tmp_path / "no.toml", "no-such-distribution") == ()
    monkeypatch.setattr(dependencies, "requirements", tuple)
    (finding,) = examine(Patient())
    assert finding.verdict is CheckVerdict.SKIP


@pytest.mark.parametrize(
    ("installed", "versions", "fit"),
    [
        ("2.3", ">=2.3,<3", True),
        ("3.0", ">=2.3,<3", False),
        ("2.10", ">=2.9", True),
        ("0.8.1", "==0.8.1", True),
        ("0.8.2", "==0.8.1", False),
        ("1", ">=1.0.0", True),
        ("1.2.3.post1", ">1.2", True),
        ("1.2", "!=1.2", False),
        ("1.2", "<=1.1", False),
        ("5.0", "", True),
        ("5.0", "===5.0", True),
    ],
)
def test_versions_are_compared_as_numbers(installed: str, versions: str, fit: bool) -> None:
    assert fits(installed, versions) is fit


def test_a_long_list_is_cut() -> None:
    found = problems(Requirement(f"no-such-package-{i}", "") for i in range(20))
    assert found.endswith("and 14 more")

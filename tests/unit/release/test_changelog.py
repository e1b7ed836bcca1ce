"""One version everywhere, and the text of a release."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from release import changelog

ROOT = Path(__file__).parents[3]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
CHANGELOG = "# Changelog\n\n## [1.2.3] - 2026-01-02\n\n### Fixed\n\n- This.\n\n## [1.2.2] - 2025-12-31\n\n- That.\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "p2pcache").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (tmp_path / "p2pcache/__init__.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    return tmp_path


def test_the_trees_own_versions_are_one() -> None:
    assert changelog.problems(ROOT) == []
    assert changelog.newest((ROOT / "CHANGELOG.md").read_text())[2].startswith("The first release.\n")


def test_the_major_version_is_the_tag_that_documents_name() -> None:
    named = set(re.findall(r"p2pcache/p2pcache(?:/docker)?@(\S+?)[`\s)]", (ROOT / "README.md").read_text()))
    assert named == {f"v{VERSION.split('.')[0]}"}


def test_a_tag_of_that_form_starts_the_release_and_a_moving_one_does_not() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    (pattern,) = workflow[True]["push"]["tags"]  # YAML reads `on` so
    assert pattern == "v*.*.*"


def test_a_tree_that_agrees_is_released_by_its_tag(tree: Path) -> None:
    assert changelog.problems(tree, "v1.2.3") == []
    assert changelog.newest(CHANGELOG) == ("1.2.3", "2026-01-02", "### Fixed\n\n- This.")


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("pyproject.toml", "1.2.3", "1.2", "1.2 in pyproject.toml is not a semantic version"),
        ("pyproject.toml", "1.2.3", "1.2.4", "the newest section of CHANGELOG.md is 1.2.3, pyproject.toml has 1.2.4"),
        ("p2pcache/__init__.py", "1.2.3", "1.2.2", "p2pcache/__init__.py has 1.2.2, pyproject.toml 1.2.3"),
        ("p2pcache/__init__.py", "__version__", "version", "p2pcache/__init__.py has no version, pyproject.toml 1.2.3"),
        ("CHANGELOG.md", "## [1.2.3]", "## [1.3.0]", "the newest section of CHANGELOG.md is 1.3.0"),
        ("CHANGELOG.md", "2026-01-02", "Unreleased", "CHANGELOG.md dates 1.2.3 as 'Unreleased': write the day"),
    ],
)
def test_what_differs_is_said(tree: Path, file: str, old: str, new: str, problem: str) -> None:
    path = tree / file
    path.write_text(path.read_text().replace(old, new))
    assert any(found.startswith(problem) for found in changelog.problems(tree, "v1.2.3"))


def test_a_section_without_a_date_keeps_nothing_but_a_tag_back(tree: Path) -> None:
    (tree / "CHANGELOG.md").write_text(CHANGELOG.replace("2026-01-02", "Unreleased"))
    assert changelog.problems(tree) == []


def test_another_tag_is_refused(tree: Path) -> None:
    assert changelog.problems(tree, "v1.2.4") == ["the tag is v1.2.4, and v1.2.3 would be this version's"]


def test_a_changelog_without_sections_is_an_error() -> None:
    with pytest.raises(ValueError, match="has no section"):
        changelog.newest("# Changelog\n")


def test_the_command_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert changelog.main(["check"]) == 0
    assert changelog.main(["check", "v0.0.1"]) == 1
    assert "the tag is v0.0.1" in capsys.readouterr().err
    assert changelog.main(["notes"]) == 0
    assert "### Added" in capsys.readouterr().out
    assert changelog.main([]) == changelog.main(["check", "v1", "v2"]) == 2

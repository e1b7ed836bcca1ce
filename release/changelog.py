"""Hold one version: that of pyproject.toml, of the package, of the newest section of CHANGELOG.md, and of the tag.

Usage: ``python release/changelog.py check [TAG]`` says what differs; ``python release/changelog.py notes`` prints the
newest section, which is the text of the release.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECTION = re.compile(r"^## \[([^]]+)\] - (.+)$", re.MULTILINE)
SEMANTIC = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?")


def newest(changelog: str) -> tuple[str, str, str]:
    """Return the version, the date and the text of the first section.

    Raises:
        ValueError: there is no section.
    """
    found = SECTION.search(changelog)
    if not found:
        raise ValueError("CHANGELOG.md has no section '## [VERSION] - DATE'")
    following = SECTION.search(changelog, found.end())
    return found[1], found[2], changelog[found.end() : following.start() if following else None].strip()


def problems(root: Path, tag: str = "") -> list[str]:
    """Return what keeps `root` from being released, as `tag` where one is given; a tag wants a date."""
    version = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    package = re.search(r'^__version__ = "(.+)"$', (root / "p2pcache/__init__.py").read_text("utf-8"), re.MULTILINE)
    changed, date, _ = newest((root / "CHANGELOG.md").read_text("utf-8"))
    found = []
    if not SEMANTIC.fullmatch(version):
        found.append(f"{version} in pyproject.toml is not a semantic version")
    if not package or package[1] != version:
        found.append(f"p2pcache/__init__.py has {package[1] if package else 'no version'}, pyproject.toml {version}")
    if changed != version:
        found.append(f"the newest section of CHANGELOG.md is {changed}, pyproject.toml has {version}")
    if tag and tag != f"v{version}":
        found.append(f"the tag is {tag}, and v{version} would be this version's")
    if tag and not re.fullmatch(r"\d{4}-\d\d-\d\d", date):
        found.append(f"CHANGELOG.md dates {changed} as {date!r}: write the day as YYYY-MM-DD")
    return found


def main(arguments: list[str]) -> int:
    """Run the command that `arguments` name; return the exit status."""
    match arguments:
        case ["check", *tag] if len(tag) <= 1:
            found = problems(ROOT, *tag)
            print("\n".join(found), file=sys.stderr, end="\n" if found else "")
            return 1 if found else 0
        case ["notes"]:
            print(newest((ROOT / "CHANGELOG.md").read_text("utf-8"))[2])
            return 0
        case _:
            print("usage: changelog.py check [TAG] | notes", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

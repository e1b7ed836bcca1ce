"""Check 1: the packages that p2pcache needs, and those that a setting needs besides."""

from __future__ import annotations

import platform
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from p2pcache import backends
from p2pcache.doctor.finding import CheckFinding, Patient, failed, passed, skipped, warned

NAME = "p2pcache"
PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
_REQUIREMENT = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(?:\[[^]]*\])?\s*\(?([^;)]*)\)?\s*(?:;\s*(.*))?")
_EXTRA = re.compile(r"""extra\s*==\s*["']([\w-]+)["']""")
_RELEASE = re.compile(r"\s*v?(\d+(?:\.\d+)*)")
_NAMED_AT_MOST = 6


class Requirement(NamedTuple):
    """A requirement of the package; `extra` is "" for those of every installation."""

    package: str
    versions: str
    extra: str = ""


def examine(patient: Patient) -> Iterator[CheckFinding]:
    """Yield a finding for the required packages, and one for each extra that a setting wants."""
    needed = requirements()
    if not needed:
        yield skipped(f"Python {platform.python_version()}; no list of the packages stands beside this installation")
        return
    yield _installed([each for each in needed if not each.extra], advice=_install_advice())
    for extra, setting, spare in wanted_extras(patient):
        yield _of_extra(extra, [each for each in needed if each.extra == extra], setting, spare=spare)


def requirements(project: Path = PROJECT, distribution: str = NAME) -> tuple[Requirement, ...]:
    """Return what p2pcache requires, from its checkout or else its metadata; nothing where there is neither."""
    whole = _contents(project)
    declared = whole.get("project", {})
    if declared.get("name") == NAME:
        extras: Mapping[str, Sequence[str]] = declared.get("optional-dependencies", {})
        more = [f"{each}; extra == '{name}'" for name in extras for each in extras[name]]
        # A wheel has libp2p inside; a checkout has it from the lock.
        return _parsed([*declared["dependencies"], *whole["dependency-groups"]["libp2p"], *more])
    try:
        return _parsed(metadata.requires(distribution) or ())
    except metadata.PackageNotFoundError:
        return ()


def wanted_extras(patient: Patient) -> Iterator[tuple[str, str, bool]]:
    """Yield the extras that settings want, with the setting, and whether the node works without the extra."""
    settings = patient.given
    if settings is None:
        return
    for name in settings.backends:
        if extra := backends.named(name).extra:
            yield extra, f"CACHE_BACKENDS names {name}", False
    if settings.traces_endpoint:
        yield "otel", "OTEL_EXPORTER_OTLP_ENDPOINT is set", False
    if settings.hub:
        yield "mcp", "a hub answers MCP at /-/mcp", True


def problems(needed: Iterable[Requirement]) -> str:
    """Return which requirements are not met, in words; "" where all are."""
    missing, unfit = [], []
    for package, versions, _ in needed:
        try:
            installed = metadata.version(package)
        except metadata.PackageNotFoundError:
            missing.append(package)
            continue
        if not fits(installed, versions):
            unfit.append(f"{package} is {installed}, needed is {versions}")
    return "; ".join(filter(None, [f"missing: {_listed(missing)}" if missing else "", _listed(unfit)]))


def fits(installed: str, versions: str) -> bool:
    """Return whether a version lies within bounds such as ``>=2.3,<3`` (PEP 440, releases alone)."""
    for bound in filter(None, (each.strip() for each in versions.split(","))):
        operator, wanted = re.match(r"([<>=!~]*)(.*)", bound).groups()  # type: ignore[union-attr]  # matches anything
        have, want = _release(installed), _release(wanted)
        length = max(len(have), len(want))
        have, want = (each + (0,) * (length - len(each)) for each in (have, want))
        holds = {">=": have >= want, "~=": have >= want, "<": have < want, "<=": have <= want, ">": have > want,
                 "==": have == want, "!=": have != want}  # fmt: skip
        if not holds.get(operator, True):
            return False
    return True


def _installed(needed: Sequence[Requirement], advice: str) -> CheckFinding:
    python = f"Python {platform.python_version()}"
    if missing := problems(needed):
        return failed(f"{python}; {missing}", advice)
    return passed(f"{python}; all {len(needed)} packages are there, at versions that fit")


def _of_extra(extra: str, needed: Sequence[Requirement], setting: str, *, spare: bool) -> CheckFinding:
    missing = problems(needed)
    if not missing:
        return passed(f"the extra {extra} is installed: {setting}")
    advice = f"pip install '{NAME}[{extra}]'"
    sentence = f"the extra {extra} is not installed, though {setting}; {missing}"
    return warned(sentence, advice) if spare else failed(sentence, advice)


def _listed(missing: Sequence[str]) -> str:
    more = f" and {len(missing) - _NAMED_AT_MOST} more" if len(missing) > _NAMED_AT_MOST else ""
    return f"{', '.join(missing[:_NAMED_AT_MOST])}{more}"


def _install_advice() -> str:
    if PROJECT.is_file():
        lock = PROJECT.with_name("requirements.lock").name
        return (
            f"in {PROJECT.parent}: python3 -m venv .venv && .venv/bin/pip install --no-deps --require-hashes -r {lock} "
            "&& .venv/bin/python -m p2pcache doctor"
        )
    return f"pip install --upgrade {NAME}"


def _contents(project: Path) -> Mapping[str, Any]:
    """Return what a pyproject.toml says, nothing where there is none."""
    try:
        return tomllib.loads(project.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _parsed(lines: Iterable[str]) -> tuple[Requirement, ...]:
    found = []
    for line in lines:
        if match := _REQUIREMENT.fullmatch(line.strip()):
            marker = match[3] or ""
            extra = _EXTRA.search(marker)
            if extra or not marker:  # a requirement of some platforms alone cannot be judged here
                found.append(Requirement(match[1], match[2].strip(), extra[1] if extra else ""))
    return tuple(found)


def _release(version: str) -> tuple[int, ...]:
    match = _RELEASE.match(version)
    return tuple(map(int, match[1].split("."))) if match else ()

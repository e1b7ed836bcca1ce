"""The Action's inputs, read through actions-toolkit, and the node's environment made from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from actions_toolkit import core  # type: ignore[import-untyped]  # it ships no types

from p2pcache import backends
from p2pcache.backends.actions import BACKEND
from p2pcache.declarations import INPUT_DEFAULTS, INPUT_VARIABLES, SETTING
from p2pcache.runner.bootstrap import AUTO, BootstrapError, Target, parse
from p2pcache.runner.network import Mode
from p2pcache.settings import Settings, load
from p2pcache.values import items

PERSISTED_BYTES = 64 << 20
"""The disk store's bound when it is kept across runs: a repository's caches have 10 GB together (docs.github.com)."""
ACTIONS = BACKEND.name


class InputError(ValueError):
    """An unusable input; the message quotes it and gives valid values."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of `action.yml`, validated.

    Attributes:
        mode: the configured network mode, or None to detect it.
        gateway_port: 0 for any free one.
        persist, gh, intercept, report, diagnose, strict: as in docs/interface.md#the-action.
        variables: the node's environment: the job's, overridden by the inputs.
        settings: `variables` as the node will read them.
        targets: the hubs to look for; `AUTO` alone when none is configured.
    """

    mode: Mode | None
    gateway_port: int
    persist: bool
    gh: bool
    intercept: bool
    report: bool
    diagnose: bool
    strict: bool
    variables: dict[str, str]
    settings: Settings
    targets: tuple[Target, ...]


def read(environ: Mapping[str, str]) -> Inputs:
    """Read and validate the inputs.

    Raises:
        InputError: an invalid input of the Action itself.
        SettingsError: an invalid input that becomes a variable of the node.
    """
    variables = dict(environ)
    for name, variable in INPUT_VARIABLES.items():
        if value := text(name):
            variables[variable] = value
    if not re.fullmatch(r"[^/\s]+/[^/\s]+", variables.get("GITHUB_REPOSITORY", "")):
        variables.pop("GITHUB_REPOSITORY", None)  # set by the runner, not the user: act derives one from a path
    persist = flag("persist")
    if persist:
        _persist(variables)
    targets = _targets(variables)
    settings = load({}, variables)
    return Inputs(
        mode=_mode(),
        gateway_port=_port("gateway-port"),
        persist=persist,
        gh=flag("gh"),
        intercept=flag("intercept"),
        report=flag("report"),
        diagnose=flag("diagnose"),
        strict=flag("strict"),
        variables=variables,
        settings=settings,
        targets=targets if settings.p2p else (),
    )


def _persist(variables: dict[str, str]) -> None:
    """Have answers kept for later runs: in packs where the Actions cache is there, else by ``action.yml``."""
    if not has_cache_service(variables):
        variables.setdefault("CACHE_DISK_BYTES", str(PERSISTED_BYTES))
    elif variables.get("CACHE_SECRET", "").strip():
        named = next((variables[name] for name in SETTING["backends"].variables if variables.get(name)), "")
        chosen = dict.fromkeys([*(items(named.lower()) or backends.default()), ACTIONS])
        variables[SETTING["backends"].variables[0]] = ",".join(chosen)


def has_cache_service(environ: Mapping[str, str]) -> bool:
    """Return whether the job's server has the Actions cache service v2: github.com and ``*.ghe.com``, no GHES.

    act runs the workflows of github.com, and has an older service.
    """
    host = urlsplit(environ.get("GITHUB_SERVER_URL", "")).hostname or ""
    return environ.get("ACT") != "true" and (host == "github.com" or host.endswith(".ghe.com"))


def with_input_names(sentence: str, environ: Mapping[str, str]) -> str:
    """Return `sentence` with inputs in place of the node's flag and variables, except variables that the job set."""
    sentence = re.sub(r"(?<!\S)--listen\b", "input gateway-port", sentence)
    for name, variable in INPUT_VARIABLES.items():
        if text(name) or not environ.get(variable):
            sentence = re.sub(rf"\b{variable}\b", f"input {name}", sentence)
    return sentence


def text(name: str) -> str:
    """Return an input, or "". A composite's steps get none; `action.yml` maps them to names that a shell keeps."""
    return str(core.get_input(name) or core.get_input(name.replace("-", "_")))


def flag(name: str) -> bool:
    """Return a boolean input.

    Raises:
        InputError: the value is neither true nor false.
    """
    value = text(name).lower() or INPUT_DEFAULTS[name]
    if value not in ("true", "false"):
        raise InputError(f"input {name}: read {value[:120]!r}: expected true or false")
    return value == "true"


def _mode() -> Mode | None:
    value = text("mode").lower() or INPUT_DEFAULTS["mode"]
    if value == AUTO:
        return None
    try:
        return Mode(value)
    except ValueError:
        raise InputError(f"input mode: read {value[:120]!r}: expected {AUTO} or one of {', '.join(Mode)}") from None


def _port(name: str) -> int:
    value = text(name) or INPUT_DEFAULTS[name]
    if not value.isdecimal() or int(value) > 65535:
        raise InputError(f"input {name}: read {value[:120]!r}: expected a port from 0 (any free one) to 65535")
    return int(value)


def _targets(variables: dict[str, str]) -> tuple[Target, ...]:
    """Return the configured hubs and remove them from `variables`, to which only resolved addresses return."""
    aliases = SETTING["bootstrap"].variables
    given = next((variables[name] for name in aliases if variables.get(name, "").strip()), AUTO)
    for name in aliases:
        variables.pop(name, None)
    try:
        return tuple(parse(item) for item in given.replace(",", " ").split())
    except BootstrapError as error:
        raise InputError(f"input bootstrap-peers: {error}") from None

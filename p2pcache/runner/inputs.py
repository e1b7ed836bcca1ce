"""The Action's inputs, through actions-toolkit, and the node's environment they amount to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from actions_toolkit import core  # type: ignore[import-untyped]  # it ships no types

from p2pcache.declarations import INPUT_DEFAULTS, INPUT_VARIABLES, SETTING
from p2pcache.runner.bootstrap import AUTO, BootstrapError, Target, parse
from p2pcache.runner.network import Mode
from p2pcache.settings import Settings, load

PERSISTED_BYTES = 64 << 20
"""The disk store's bound when it is kept across runs: a repository's caches have 10 GB together (docs.github.com)."""


class InputError(ValueError):
    """An input that cannot be used: what was read and what would be right."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of `action.yml`, validated.

    Attributes:
        mode: a mode the user insists on, or None to look around.
        gateway_port: 0 for any free one.
        persist, gh, report, strict: as in docs/interface.md#the-action.
        variables: the node's environment: the job's, with what the inputs say instead.
        settings: how the node will read `variables`.
        targets: where to look for a hub; `AUTO` alone when nothing is said.
    """

    mode: Mode | None
    gateway_port: int
    persist: bool
    gh: bool
    report: bool
    strict: bool
    variables: dict[str, str]
    settings: Settings
    targets: tuple[Target, ...]


def read(environ: Mapping[str, str]) -> Inputs:
    """Read and validate.

    Raises:
        InputError: for an input of this Action; `SettingsError` for one that becomes a variable of the node.
    """
    variables = dict(environ)
    for name, variable in INPUT_VARIABLES.items():
        if value := text(name):
            variables[variable] = value
    if not re.fullmatch(r"[^/\s]+/[^/\s]+", variables.get("GITHUB_REPOSITORY", "")):
        variables.pop("GITHUB_REPOSITORY", None)  # the runner says it, not the user: act makes one up from a path
    persist = flag("persist")
    if persist:
        variables.setdefault("CACHE_DISK_BYTES", str(PERSISTED_BYTES))
    targets = _targets(variables)
    settings = load({}, variables)
    return Inputs(
        mode=_mode(),
        gateway_port=_port("gateway-port"),
        persist=persist,
        gh=flag("gh"),
        report=flag("report"),
        strict=flag("strict"),
        variables=variables,
        settings=settings,
        targets=targets if settings.p2p else (),
    )


def in_words_of_inputs(sentence: str, environ: Mapping[str, str]) -> str:
    """The sentence with inputs in place of the node's flag and variables, those apart that the job itself set."""
    sentence = re.sub(r"(?<!\S)--listen\b", "input gateway-port", sentence)
    for name, variable in INPUT_VARIABLES.items():
        if text(name) or not environ.get(variable):
            sentence = re.sub(rf"\b{variable}\b", f"input {name}", sentence)
    return sentence


def text(name: str) -> str:
    """An input. A composite's steps get none by themselves; `action.yml` maps them to names a shell lets through."""
    return str(core.get_input(name) or core.get_input(name.replace("-", "_")))


def flag(name: str) -> bool:
    """A yes-or-no input.

    Raises:
        InputError: it is neither.
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
    """What is said of hubs; taken out of `variables`, since only addresses that were resolved go back in."""
    aliases = SETTING["bootstrap"].variables
    said = next((variables[name] for name in aliases if variables.get(name, "").strip()), AUTO)
    for name in aliases:
        variables.pop(name, None)
    try:
        return tuple(parse(item) for item in said.replace(",", " ").split())
    except BootstrapError as error:
        raise InputError(f"input bootstrap-peers: {error}") from None

"""Lines for people, on stderr: stdout belongs to what a command was asked for."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NoReturn

import click

from p2pcache.settings import Settings, SettingsError, environment, load
from p2pcache.unknown import unknown


def note(sentence: str) -> None:
    """One line."""
    click.echo(f"p2pcache: {sentence}", err=True)


def note_unknown() -> None:
    """One line where variables look like the node's and are not: for commands that start one."""
    if strange := unknown(environment()):
        note(strange.sentence)


def fail(sentence: str, status: int = 1) -> NoReturn:
    """One line, and the end."""
    note(sentence)
    sys.exit(status)


def settings_or_exit(flags: Mapping[str, str]) -> Settings:
    """The settings, or one line and exit 2."""
    try:
        return load(flags)
    except SettingsError as error:
        note_unknown()  # a misspelt name may be why
        fail(str(error), 2)

"""Lines for people, on stderr: stdout belongs to what a command was asked for."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
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


@contextlib.contextmanager
def to_stdout() -> Iterator[None]:
    """Write there; what cannot be written ends the command, with one line unless the reader has seen enough."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left would fail again at the exit
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        fail(f"stdout cannot be written: {error.strerror}")


def settings_or_exit(flags: Mapping[str, str]) -> Settings:
    """The settings, or one line and exit 2."""
    try:
        return load(flags)
    except SettingsError as error:
        note_unknown()  # a misspelt name may be why
        fail(str(error), 2)

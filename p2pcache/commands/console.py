"""Messages for people, on stderr: stdout is for a command's output.

With ``--quiet`` there are errors alone. It is a property of the invocation, so click's context holds it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import NoReturn

import click

from p2pcache.settings import Settings, SettingsError, environment, load
from p2pcache.unknown import unknown, unused

QUIET = "p2pcache.quiet"
"""In `click.Context.meta`."""


def quiet() -> bool:
    """Return whether this invocation has ``--quiet``, before the command or after it."""
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get(QUIET))


def be_quiet(context: click.Context) -> None:
    """Remember ``--quiet`` for the rest of the invocation."""
    context.meta[QUIET] = True


def quiet_log() -> dict[str, str]:
    """Return the flags of a quiet node, which ``--log-level`` beats."""
    return {"log_level": "warning"} if quiet() else {}


def note(sentence: str) -> None:
    """Print one line, unless quiet."""
    if not quiet():
        print_line(sentence)


@contextlib.contextmanager
def progress(doing: str) -> Iterator[None]:
    """Show what a person waits for, on a terminal alone; it is gone when the wait is over."""
    if quiet() or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(doing):
        yield


def note_unknown() -> None:
    """Print one line if there are unknown ``CACHE_*`` variables; for commands that start a node."""
    if strange := unknown(environment()):
        note(strange.sentence)


def note_ignored(settings: Settings) -> None:
    """Print a line for unknown variables, and one for those of backends that are not used; as `note_unknown`."""
    note_unknown()
    if sentence := unused(environment(), settings.backends):
        note(sentence)


def fail(sentence: str, status: int = 1) -> NoReturn:
    """Print one line and exit."""
    print_line(sentence)
    sys.exit(status)


def print_line(sentence: str) -> None:
    """Print one line, quiet or not: an error, or what was asked for."""
    click.echo(f"p2pcache: {sentence}", err=True)


@contextlib.contextmanager
def to_stdout() -> Iterator[None]:
    """Exit if stdout cannot be written, with one line unless the reader closed the pipe."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # flushing the rest at exit would fail again
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        fail(f"stdout cannot be written: {error.strerror}")


def settings_or_exit(flags: Mapping[str, str]) -> Settings:
    """Return the settings, or print one line and exit with status 2."""
    try:
        return load(flags)
    except SettingsError as error:
        note_unknown()  # a misspelt name may be why
        fail(str(error), 2)

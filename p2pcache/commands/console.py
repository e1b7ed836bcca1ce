"""Lines for people, on stderr: stdout belongs to what a command was asked for."""

from __future__ import annotations

import sys
from typing import NoReturn

import click


def note(sentence: str) -> None:
    """One line."""
    click.echo(f"p2pcache: {sentence}", err=True)


def fail(sentence: str, status: int = 1) -> NoReturn:
    """One line, and the end."""
    note(sentence)
    sys.exit(status)

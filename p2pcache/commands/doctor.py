"""``p2pcache doctor``: the settings that a node started here would have, and the node that runs here, examined."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from p2pcache.commands.background import foreground, running
from p2pcache.commands.cancellation import cancelled_by_signals
from p2pcache.commands.console import fail, to_stdout
from p2pcache.commands.log_format import redacted
from p2pcache.doctor.bare import USAGE_ERROR
from p2pcache.doctor.checks import READS_SETTINGS, chosen
from p2pcache.doctor.finding import Patient
from p2pcache.doctor.run_checks import Printed, run_checks
from p2pcache.gateway.listen import listens
from p2pcache.runner import watch
from p2pcache.settings import ClientSettings, Settings, SettingsError, environment, load


def doctor(flags: Mapping[str, str], only: str | None, *, json_form: bool, strict: bool) -> int:
    """Examine, print, and return the exit status."""
    watch.conceal()
    try:
        checks = chosen(only)
    except ValueError as error:
        fail(str(error), USAGE_ERROR)
    environ = environment()
    coloured = in_colour(environ, terminal=sys.stdout.isatty())
    with to_stdout(), _without_log():
        printed = Printed(click.echo, json_form=json_form, coloured=coloured, hide=redacted)
        patient = _patient(flags, environ)
        if patient.given is None:  # that fails, whichever checks are asked for
            checks = tuple(check for check in chosen(None) if check in checks or check.number == READS_SETTINGS)
        return cancelled_by_signals(run_checks(patient, checks, printed, strict=strict))


def in_colour(environ: Mapping[str, str], *, terminal: bool) -> bool:
    """Return whether lines are coloured: on a terminal, unless NO_COLOR is set (https://no-color.org)."""
    return terminal and not environ.get("NO_COLOR")


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """Log nothing meanwhile: what parts of a node log would stand between the lines of checks."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        yield
    finally:
        logging.disable(before)


def _patient(flags: Mapping[str, str], environ: Mapping[str, str]) -> Patient:
    try:
        settings = load(flags, environ)
    except SettingsError as error:
        return Patient(environ, flags, problem=str(error), node=_exported(environ))
    return Patient(environ, flags, settings, node=_running(settings, environ))


def _running(settings: Settings, environ: Mapping[str, str]) -> Path | None:
    """Return the socket of the node that these settings name, or else of the one that this shell uses."""
    started = running(settings.directory)
    known = (settings.socket, started and Path(started["socket"]), foreground(settings.directory))
    return next((path for path in known if path and listens(path)), None) or _exported(environ)


def _exported(environ: Mapping[str, str]) -> Path | None:
    exported = ClientSettings.from_env(environ).socket
    return exported if exported and listens(exported) else None

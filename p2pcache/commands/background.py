"""``p2pcache up`` and ``down``: a supervised node behind the shell's back."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import click

from p2pcache.commands.console import fail, note, settings_or_exit
from p2pcache.commands.environment import client_environment
from p2pcache.gateway.ask import NodeError, ask
from p2pcache.keys import keyring_of
from p2pcache.runner import supervisor
from p2pcache.runner.job import Job
from p2pcache.runner.report import text
from p2pcache.runner.supervisor import SupervisorError
from p2pcache.settings import SettingsError, as_flags


def up(flags: Mapping[str, str], timeout: float) -> None:
    """Start a node, wait until it answers, print ``export`` lines."""
    settings = settings_or_exit(flags)
    job = Job(settings.directory)
    try:
        keyring_of(settings)
    except SettingsError as error:
        fail(str(error), 2)
    stats = {"stats_file": str(job.stats)}
    try:
        ready = supervisor.start(as_flags({**stats, **flags}), job.run, timeout, remove_at_end=job.gh_files)
    except SupervisorError as error:
        fail(str(error))
    note(f"the gateway answers at {ready['api_url']}; stop it with: p2pcache down")
    for name, value in client_environment(ready, job).items():
        click.echo(f"export {name}={shlex.quote(value)}")


def down(directory: str | None) -> None:
    """Stop the node and print what it did."""
    settings = settings_or_exit({"directory": directory} if directory else {})
    job = Job(settings.directory)
    ready = supervisor.ready(job.run)
    if ready is None:
        note(f"no node runs in {settings.directory}")
        return
    try:
        stats = ask(ready["socket"], "/-/stats")
    except NodeError as error:
        supervisor.stop(job.run)
        fail(f"stopped, without a report: {error}")
    supervisor.stop(job.run)
    for file in (job.stats, *job.gh_files):
        file.unlink(missing_ok=True)
    click.echo(text(stats))


def running(directory: Path) -> dict[str, object] | None:
    """The ready file of the node that ``up`` started in `directory`."""
    return supervisor.ready(Job(directory).run)

"""``p2pcache up``, ``env`` and ``down``: a supervised node in the background."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import click

from p2pcache.commands.console import fail, note, note_ignored, print_line, progress, quiet, settings_or_exit
from p2pcache.commands.environment import client_environment, exports, restores
from p2pcache.commands.hubs import CONNECT_SECONDS, with_hub
from p2pcache.commands.terminal_report import print_report
from p2pcache.gateway.ask import NodeError, ask
from p2pcache.gateway.listen import listens
from p2pcache.keys import TOKEN_HINT, keyring_of, with_secret
from p2pcache.ledger.stats import read
from p2pcache.runner import supervisor
from p2pcache.runner.job import Job
from p2pcache.runner.joining import SWARM_SECONDS, join
from p2pcache.runner.supervisor import DirectoryError, RunningError, SupervisorError
from p2pcache.settings import Settings, SettingsError, as_flags
from p2pcache.settings import environment as variables

FOREGROUND = "a node runs here in the foreground (p2pcache serve): end it there"


def up(flags: Mapping[str, str], timeout: float) -> None:
    """Start a node unless one runs, wait until it answers, and print ``export`` lines."""
    settings = settings_or_exit(flags)
    job = Job(settings.directory)
    try:
        settings, hint = with_secret(settings)
        _, alone = keyring_of(settings)
        settings = with_hub(settings)
    except SettingsError as error:
        fail(str(error), 2)
    if supervisor.ready(job.run) is None:
        note_ignored(settings)
    try:
        with progress("starting the node"):
            ready = _start(settings, flags, job, timeout)
    except RunningError:
        _print_exports(_running_or_exit(settings.directory), job)
        note(f"a node runs already, with the flags it was started with; to change them: p2pcache down ({job.run})")
        return
    except DirectoryError as error:
        fail(f"{error}; name a directory that this user may write with --dir or CACHE_DIR")
    except SupervisorError as error:
        fail(str(error))
    _print_exports(ready, job)
    if hint:
        note(hint)
    with progress("joining the swarm"):
        problem = join(ready, settings.bootstrap, CONNECT_SECONDS).problem
    if problem:
        print_line(problem)
    if settings.p2p and alone:
        note(alone)
    elif settings.token is None:
        note(f"no GITHUB_TOKEN: without a token GitHub shows what is public, 60 calls an hour; {TOKEN_HINT}")
    note(f'the gateway answers at {ready["api_url"]}; stop it with: eval "$(p2pcache down)"')


def _start(settings: Settings, flags: Mapping[str, str], job: Job, timeout: float) -> dict[str, Any]:
    bootstrap = ",".join(settings.bootstrap)
    given = as_flags({"stats_file": str(job.stats), **flags, "bootstrap": bootstrap, **_listening(settings)})
    # After the node's end gh connects to GitHub again.
    started = supervisor.start(given, job.run, timeout, remove_at_end=job.gh_files)
    return supervisor.with_swarm(job.run, started, SWARM_SECONDS)


def _listening(settings: Settings) -> dict[str, str]:
    """Return the flag for the gateway's host: the supervisor, which listens in the node's place, needs it."""
    if settings.gateway_host is None or settings.gateway_host.beside:
        return {}
    return {"listen": f"[{settings.gateway_host.host}]:{settings.listen.port}"}


def env(directory: str | None) -> None:
    """Print the running node's ``export`` lines again."""
    settings = settings_or_exit({"directory": directory} if directory else {})
    _print_exports(_running_or_exit(settings.directory), Job(settings.directory))


def down(directory: str | None) -> None:
    """Stop the node, print the report to stderr, and to stdout the lines that restore the shell's variables."""
    settings = settings_or_exit({"directory": directory} if directory else {})
    job = Job(settings.directory)
    ready = supervisor.ready(job.run)
    if ready is None:
        note(FOREGROUND if listens(foreground(settings.directory)) else f"no node runs in {settings.directory}")
    else:
        _stop(ready, job)
    for line in restores(variables()):
        click.echo(line)


def _stop(ready: Mapping[str, Any], job: Job) -> None:
    stats, problem = None, ""
    try:
        stats = ask(ready["socket"], "/-/stats")
        read(stats)
    except (NodeError, ValueError) as error:
        stats, problem = None, f"stopped, without a report: {error}"
    with progress("stopping the node"):
        supervisor.stop(job.run)
    for file in (job.stats, *job.gh_files):
        file.unlink(missing_ok=True)
    if problem:
        print_line(problem)
    elif stats is not None and not quiet():
        print_report(stats, err=True)


def running(directory: Path) -> dict[str, Any] | None:
    """Return the ready file of the node that ``up`` started in `directory`."""
    return supervisor.ready(Job(directory).run)


def foreground(directory: Path) -> Path:
    """Return the path of the socket of a node that ``serve`` runs in `directory`."""
    return directory / "gateway.sock"


def no_node() -> NoReturn:
    """Exit with the sentence that no node runs and how to start one."""
    fail('no node runs here; start one with: eval "$(p2pcache up)"')


def _running_or_exit(directory: Path) -> dict[str, Any]:
    ready = running(directory)
    if ready is None and listens(foreground(directory)):
        fail(FOREGROUND)
    return ready or no_node()


def _print_exports(ready: Mapping[str, Any], job: Job) -> None:
    here = variables()
    for line in exports(client_environment(ready, job), here):
        click.echo(line)

"""The command line. Each command imports its implementation when it runs, so that ``--help`` is fast."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from p2pcache import __version__
from p2pcache.declarations import FLAGS, SETTING, UPSTREAM
from p2pcache.options import Setting

F = TypeVar("F", bound=Callable[..., Any])


def _option(setting: Setting) -> Callable[[F], F]:
    """Return the option of a setting, without type or default: `settings` parses the text."""
    text = setting.flag_help or setting.help
    if not setting.metavar:
        return click.option(setting.flag, setting.field, flag_value=setting.switch, default=None, help=text)
    return click.option(
        setting.flag,
        setting.field,
        metavar=setting.metavar,
        multiple=setting.repeated,
        hidden=setting.internal,
        help=f"{text}  [default: {setting.default or setting.otherwise}]",
    )


_of_directory = _option(SETTING["directory"]._replace(help="The directory the node was started with."))
_of_node = _option(
    SETTING["directory"]._replace(
        help="Ask the node that was started with this directory.",
        default="",
        otherwise=f"P2PCACHE_SOCKET's, then {SETTING['directory'].default or SETTING['directory'].otherwise}",
    )
)


def node_options(command: F) -> F:
    """Add the options that `serve`, `up` and `run` share (docs/interface.md#flags-of-a-node)."""
    for setting in reversed(FLAGS):
        command = _option(setting)(command)
    return command


def _flags(options: dict[str, Any]) -> dict[str, str]:
    """Return the given flags as text for `settings.load`."""
    given = {name: ",".join(value) if isinstance(value, tuple) else value for name, value in options.items()}
    return {name: value for name, value in given.items() if value}


class _Quietable(click.Command):
    """A command with ``--quiet``, as the program itself has it before the command."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params.append(_quiet())


def _quiet() -> click.Option:
    return click.Option(
        ["-q", "--quiet"],
        is_flag=True,
        expose_value=False,
        callback=_be_quiet,
        help="Print errors alone beside output.",
    )


def _be_quiet(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    from p2pcache.commands.console import be_quiet

    if wanted:
        be_quiet(context)


class _Commands(click.Group):
    command_class = _Quietable


HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(cls=_Commands, params=[_quiet()], context_settings=HELP)
@click.version_option(__version__)
def main() -> None:
    """GitHub API answers, shared peer to peer between the jobs of a workflow."""


@main.command()
@node_options
def serve(**options: Any) -> None:
    """Run a cache node in the foreground: gateway, swarm and stores."""
    from p2pcache.commands.serve import serve as run

    run(_flags(options))


@main.command()
@node_options
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    default=20.0,
    help="Until the gateway has to answer.  [default: 20]",
)
def up(timeout: float, **options: Any) -> None:
    """Start a supervised node in the background, or find it, and print what a shell needs: eval "$(p2pcache up)"."""
    from p2pcache.commands.background import up as run

    run(_flags(options), timeout)


@main.command()
@_of_directory
def down(directory: str | None) -> None:
    """Stop the background node, print its final report, and unset its variables: eval "$(p2pcache down)"."""
    from p2pcache.commands.background import down as run

    run(directory)


@main.command()
@_of_directory
def env(directory: str | None) -> None:
    """Print the running node's exports again, e.g. for another shell: eval "$(p2pcache env)"."""
    from p2pcache.commands.background import env as run

    run(directory)


@main.command(context_settings={"allow_interspersed_args": False})
@node_options
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(command: tuple[str, ...], **options: Any) -> None:
    """Run one command with a node around it, then print the report; the exit status is the command's."""
    from p2pcache.commands.interrupts import exiting_on_signals

    with exiting_on_signals():
        from p2pcache.commands.run import run as run_command

        sys.exit(run_command(_flags(options), command))


@main.command()
@click.argument("path")
@click.option("--explain", is_flag=True, help="Say on stderr which tier answered, and why.")
@click.option(
    "--accept", default="application/vnd.github+json", show_default=True, metavar="TYPE", help="The media type wanted."
)
@_of_node
def get(path: str, explain: bool, accept: str, directory: str | None) -> None:
    """Read PATH of the API through the cache; the body goes to stdout."""
    from p2pcache.commands.inspect import get as run

    sys.exit(run(path, directory, explain=explain, accept=accept))


@main.command()
@click.option("--json", "form", flag_value="json", help="The ledger as it is.")
@click.option("--markdown", "form", flag_value="markdown", help="The job summary.")
@_of_node
def stats(form: str | None, directory: str | None) -> None:
    """Show the running node's statistics."""
    from p2pcache.commands.inspect import stats as run

    run(form or "table", directory)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="All that is known, for programs.")
@_of_node
def peers(as_json: bool, directory: str | None) -> None:
    """Show who is connected, how, since when, and what came from them."""
    from p2pcache.commands.peers import peers as run

    run(directory, as_json=as_json)


@main.command()
@click.option("--node", metavar="URL", help="Ask that node, or hub.  [default: as --dir, else a node of its own]")
@_of_node
def mcp(node: str | None, directory: str | None) -> None:
    """Serve MCP on stdin and stdout: GitHub's API through the running node, or one of its own.

    Needs the packages of the extra: pip install 'p2pcache[mcp]'.
    """
    from p2pcache.commands.mcp import mcp as run

    run(node, directory)


@main.command()
@click.option("--only", metavar="NUMBERS", help="Run these checks alone, e.g. 4,9.  [default: all]")
@click.option("--json", "as_json", is_flag=True, help="The results for programs (docs/doctor.md).")
@click.option("--strict", is_flag=True, help="Exit with 1 for a warning too.")
@node_options
def doctor(only: str | None, as_json: bool, strict: bool, **options: Any) -> None:
    """Examine what a node here needs, and the node that runs: what is found, and the one thing to do next.

    Takes the flags of `up`. Exits with 0 if nothing failed, 1 if a check failed, 2 if the arguments cannot be used.
    """
    from p2pcache.commands.doctor import doctor as run

    sys.exit(run(_flags(options), only, json_form=as_json, strict=strict))


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion of SHELL: eval "$(p2pcache completion bash)", or the same for zsh, in its start file.

    For fish: p2pcache completion fish >~/.config/fish/completions/p2pcache.fish
    """
    from p2pcache.commands.completion import completion as run

    run(main, shell)


@main.command()
def keygen() -> None:
    """Print a new swarm secret."""
    from p2pcache.cache.sealing import generate_secret

    click.echo(generate_secret())


@main.command()
@click.option(
    "--requests",
    type=click.IntRange(1),
    default=300,
    show_default=True,
    help="How many requests the runners make in all.",
)
def demo(requests: int) -> None:
    """Show it all on this machine: a stand-in GitHub, a hub, three runners, a workload, the report."""
    from p2pcache.commands.demo import demo as run

    sys.exit(run(requests))


@main.command()
@click.option("--only", multiple=True, metavar="NAME", help="Run this one alone; may be given again.  [default: all]")
@click.option("--list", "listing", is_flag=True, help="Print the scenarios' names, and run none.")
@click.option("--json", "form", flag_value="json", help="Print the figures for programs.")
@click.option("--markdown", "form", flag_value="markdown", help="Print the table for a job summary or an issue.")
@click.option(
    "--image",
    metavar="NAME",
    default="",
    help="The Docker image that containers run.  [default: p2pcache:VERSION, built in a checkout where it is missing]",
)
def scenarios(only: tuple[str, ...], form: str | None, image: str, *, listing: bool) -> None:
    """Show what each way of joining gives: run them all here against a stand-in GitHub, side by side.

    What this machine lacks (Docker, Kubo, an S3 server) is named, and the rest runs.
    """
    from p2pcache.commands import scenarios as command

    if listing:
        command.listed()
    else:
        sys.exit(command.scenarios(only, form or "table", image))


@main.command("rule-check", hidden=True)
@click.argument("repository", metavar="OWNER/REPO")
@click.option("--upstream", default=UPSTREAM, show_default=True, metavar="URL")
def rule_check(repository: str, upstream: str) -> None:
    """Hold the ETag rule against a real GitHub and print a table for an issue.

    Reads OWNER/REPO about 25 times with GITHUB_TOKEN, and with P2PCACHE_SECOND_TOKEN where that is set.
    """
    from p2pcache.commands.rule_check import rule_check as run

    sys.exit(run(repository, upstream))


__all__ = ["main"]

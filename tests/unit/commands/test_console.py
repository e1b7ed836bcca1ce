"""What ``--quiet`` leaves out, before a command or after it, and what a terminal shows while somebody waits."""

import contextlib
import io
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from p2pcache import cli
from p2pcache.commands.console import fail, note, print_line, progress, quiet, quiet_log


@pytest.fixture
def talkative() -> Iterator[str]:
    """A command of the program that has something of everything to say."""

    @cli.main.command("talk")
    def talk() -> None:
        with progress("waiting"):
            note("by the way")
        print_line("important")
        click.echo(f"{quiet()} {quiet_log()}")
        fail("wrong", 3)

    yield "talk"
    del cli.main.commands["talk"]


def test_notes_and_errors_are_lines_of_stderr(talkative: str) -> None:
    said = CliRunner().invoke(cli.main, [talkative])
    assert (said.exit_code, said.stdout) == (3, "False {}\n")
    assert said.stderr.splitlines() == ["p2pcache: by the way", "p2pcache: important", "p2pcache: wrong"]


@pytest.mark.parametrize("arguments", [("--quiet", "talk"), ("talk", "--quiet"), ("talk", "-q"), ("-q", "talk", "-q")])
def test_quiet_leaves_errors(talkative: str, arguments: tuple[str, ...]) -> None:
    said = CliRunner().invoke(cli.main, arguments)
    assert (said.exit_code, said.stdout) == (3, "True {'log_level': 'warning'}\n")
    assert said.stderr.splitlines() == ["p2pcache: important", "p2pcache: wrong"]


def test_every_command_can_be_quiet() -> None:
    for command in cli.main.commands.values():
        assert "--quiet" in {option for parameter in command.params for option in parameter.opts}


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def screen() -> Iterator[io.StringIO]:
    stream = Screen()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm")
        patch.setattr("sys.stderr", stream)
        yield stream


def test_a_wait_is_shown_on_a_terminal_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with screen() as stream, progress("starting the node"):
        pass
    assert "starting the node" in stream.getvalue()
    with progress("starting the node"):
        pass
    assert capsys.readouterr().err == ""


def test_a_quiet_command_shows_no_wait() -> None:
    with screen() as stream, click.Context(click.Command("x")) as context:
        context.meta["p2pcache.quiet"] = True
        with progress("starting the node"):
            pass
    assert stream.getvalue() == ""

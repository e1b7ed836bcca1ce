"""The report on a terminal: the same figures, colours where wanted, and nothing in a cell is more than text."""

import contextlib
import io
import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pcache.commands.terminal_report import print_report
from p2pcache.ledger.ledger import Ledger
from p2pcache.runner.report import text

SEQUENCE = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def terminal(**variables: str) -> Iterator[Terminal]:
    stream = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("NO_COLOR", "FORCE_COLOR"):
            patch.delenv(name, raising=False)
        for name, value in {"TERM": "xterm-256color", "COLUMNS": "100", **variables}.items():
            patch.setenv(name, value)
        patch.setattr("sys.stdout", stream)
        patch.setattr("sys.stderr", stream)
        yield stream


def ledger(name: str = "GET /user") -> Ledger:
    counted = Ledger(lambda: 0.0)
    counted.hit("memory", counted.route(name), 10, 900)
    counted.miss(counted.route(name))
    counted.quota("token:ab", "core", 1000, 12, 0)
    return counted


@pytest.mark.parametrize("err", [False, True])
def test_a_terminal_gets_tables_with_colours(err: bool) -> None:
    with terminal() as stream:
        print_report(ledger().stats(), err=err)
    shown = stream.getvalue()
    assert SEQUENCE.search(shown)
    lines = SEQUENCE.sub("", shown).splitlines()
    assert lines[0] == "1 of 2 API calls saved (50 % hit rate), 900 ms not waited, quota left 12/1000"
    assert lines[1].startswith("⚠ the quota is nearly spent: 12 of 1000")
    assert any(re.match(r" *memory +1 +█████░░░░░ +50.0 %", line) for line in lines)


def test_no_color_is_obeyed() -> None:
    with terminal(NO_COLOR="1") as stream:
        print_report(ledger().stats())
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", stream.getvalue())
    assert "By tier" in stream.getvalue()


def test_a_pipe_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(ledger().stats())
    assert capsys.readouterr().out == text(ledger().stats()) + "\n"


BREAKERS = ["[bold]", "[/]", "[link=x]", "\x1b[31m", "\x1b]8;;x\x07", "\u202e", "\r", "\n", "::", "a"]
HOSTILE = st.text(max_size=40) | st.lists(st.sampled_from(BREAKERS), max_size=8).map("".join)


@settings(max_examples=25)
@given(HOSTILE)
def test_no_name_is_markup_or_a_control_sequence(name: str) -> None:
    with terminal() as stream:
        print_report(ledger(name).stats())
    rest = SEQUENCE.sub("", stream.getvalue())
    assert all(line.isprintable() for line in rest.split("\n"))
    assert "]8;" not in rest or "]8;" in name
    if "[bold]" in name:
        assert "[bold]" in rest.replace("\n", "")

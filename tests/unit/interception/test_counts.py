"""What is counted: within bounds, whatever programs are called, and kept over a restart."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.interception import counts
from p2pcache.interception.counts import Counts


def test_what_is_counted_is_kept(tmp_path: Path) -> None:
    counted = Counts()
    counted.answer("node")
    counted.answer("node")
    counted.pass_by("java", "a program that is not known to read a variable")
    counted.fail("python3.11")
    counted.over = True
    counted.keep(tmp_path / "counts.json")
    found = counts.read(tmp_path / "counts.json")
    assert found == counted
    assert found.answered == {"node": 2}
    assert found.passed_by == {"java": {"a program that is not known to read a variable": 1}}, "the whole reason"
    assert counts.converted(msgspec.to_builtins(found)) == counted


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"answered": 1}', b'{"answered": {"x": "y"}}', b"\xff"])
def test_a_file_that_holds_no_counts_is_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "counts.json").write_bytes(content)
    assert counts.read(tmp_path / "counts.json") == counts.read(tmp_path / "gone") == Counts()


def test_counts_of_one_are_not_those_of_another() -> None:
    Counts().answer("node")
    assert Counts().answered == {}


def test_there_are_never_more_than_so_many_names() -> None:
    counted = Counts()
    for number in range(3 * counts.MOST):
        counted.answer(f"program-{number}")
        counted.fail(f"program-{number}")
        counted.pass_by(f"program-{number}", "why")
        counted.pass_by("java", f"why {number}")
    for found in (counted.answered, counted.failed):
        assert len(found) == counts.MOST + 1
        assert (found["program-0"], found[counts.OTHER]) == (1, 2 * counts.MOST)
    assert len(counted.passed_by) <= counts.MOST + 1
    assert len(counted.passed_by["java"]) == counts.MOST + 1


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("python3.11", "python3.11"),
        ("terraform-provider-github_v6.2+x", "terraform-provider-github_v6.2+x"),
        ("", "unknown"),
        ("::error::x", "??error??x"),
        ("##[error]x", "???error?x"),
        ("a\n::warning::b\r", "a???warning??b?"),
        ("\x1b[31mred", "??31mred"),
        ("<img src=x>|`", "?img?src?x???"),
        ("node (deleted)", "node??deleted?"),
        ("\u202eexe\udcff漢", "?exe??"),
        ("x" * 300, "x" * counts.LONGEST),
    ],
)
def test_a_name_is_shown_without_what_a_log_could_take_for_more(name: str, shown: str) -> None:
    assert counts.shown(name) == shown


@given(st.binary(max_size=80).map(lambda name: name.decode(errors="surrogateescape")))
def test_whatever_a_program_is_called_no_command_or_markup_is_counted(name: str) -> None:
    counted = Counts()
    counted.answer(name)
    counted.fail(name)
    counted.pass_by(name, "why")
    for found in (*counted.answered, *counted.failed, *counted.passed_by):
        assert found.isascii()
        assert set(found).isdisjoint(":#[]<>|`\n\r\x1b&*@")
    assert msgspec.json.decode(msgspec.json.encode(counted), type=Counts) == counted


def test_one_line_has_the_most_frequent_first_and_has_an_end() -> None:
    assert counts.passed(Counts()) == "nobody"
    counted = Counts()
    counted.pass_by("java", "why")
    assert counts.passed(counted) == "1 connection (java 1: why)"
    for number in range(10):
        for _ in range(number + 2):
            counted.pass_by(f"p{number}", "because")
    counted.fail("curl")
    line = counts.passed(counted)
    assert line.startswith("67 connections (p9 11: because; p8 10: because; ")
    assert line.endswith(f"; and {12 - counts.MOST_SHOWN} more)")

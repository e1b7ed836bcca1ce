"""Cursors continue the call they came from, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.hub.mcp import cursors
from p2pcache.hub.mcp.cursors import MAX_CURSOR, MOST, CursorError

BOUND = cursors.bound_to("issues", {"repo": "octo/app", "cursor": ""})


@given(st.integers(0, MOST - 1), st.integers(0, MOST - 1))
def test_a_cursor_says_where_it_was(first: int, second: int) -> None:
    cursor = cursors.encode(BOUND, first, second)
    assert len(cursor) <= MAX_CURSOR
    assert cursors.decode(cursor, BOUND, 2) == [first, second]


@pytest.mark.parametrize("other", [("files", {"repo": "octo/app"}), ("issues", {"repo": "octo/vault"})])
def test_a_cursor_of_another_call_is_refused(other: tuple[str, dict[str, str]]) -> None:
    with pytest.raises(CursorError, match="another call"):
        cursors.decode(cursors.encode(BOUND, 1, 2), cursors.bound_to(*other), 2)


@given(st.text(max_size=200) | st.binary(max_size=90).map(lambda data: data.hex()))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(CursorError):
        cursors.decode(text, BOUND, 2)


@pytest.mark.parametrize("numbers", [(-1, 0), (0, MOST), (1,), (1, 2, 3)])
def test_impossible_numbers_are_refused(numbers: tuple[int, ...]) -> None:
    with pytest.raises(CursorError):
        cursors.decode(cursors.encode(BOUND, *numbers), BOUND, 2)


def test_a_long_one_is_refused_before_it_is_read() -> None:
    with pytest.raises(CursorError):
        cursors.decode("A" * 1_000_000, BOUND, 2)


def test_the_order_of_arguments_does_not_matter() -> None:
    assert cursors.bound_to("a", {"x": 1, "y": 2}) == cursors.bound_to("a", {"y": 2, "x": 1})
    assert cursors.of_content(b"one") != cursors.of_content(b"two")

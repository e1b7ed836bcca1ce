"""The table of checks, and what --only makes of it."""

import pkgutil

import pytest

from p2pcache.doctor.checks import CHECKS, chosen


def test_numbers_and_names_are_one_checks_alone() -> None:
    assert [check.number for check in CHECKS] == sorted({check.number for check in CHECKS})
    assert len({check.name for check in CHECKS}) == len(CHECKS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_each_check_is_there(check: object) -> None:
    assert callable(pkgutil.resolve_name(check.examine))  # type: ignore[attr-defined]


def test_only_names_checks_in_any_order() -> None:
    assert [check.number for check in chosen(" 2,1 ")] == [1, 2]
    assert chosen(None) == CHECKS


@pytest.mark.parametrize("text", ["x", "99", "1;2", "", " , "])
def test_what_is_no_check_is_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"^--only: read .* expected numbers of 1, 2"):
        chosen(text)

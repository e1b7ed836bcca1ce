"""Chosen fields of GitHub's JSON."""

import pytest

from p2pcache.hub.mcp import picks
from p2pcache.hub.mcp.picks import MOST_OF_AN_ARRAY, picked, schema, shortened

ISSUE = {
    "number": 7,
    "title": "A\u200bB",
    "user": {"login": "mona", "node_id": "U_1"},
    "labels": [{"name": "bug"}, {"name": None}, {"id": 1}],
    "draft": True,
    "body": "x" * 50,
    "closed_at": None,
}
FIELDS = picks.picks("number:i title author=user.login labels=labels.name:a draft:b body:10 closed_at missing")


def test_fields_are_taken_and_texts_made_safe_and_short() -> None:
    assert picked(ISSUE, FIELDS) == {
        "number": 7,
        "title": "A\\u{200b}B",
        "author": "mona",
        "labels": ["bug"],
        "draft": True,
        "body": "x" * 10 + "... (40 more characters)",
    }


@pytest.mark.parametrize("value", [None, [], "text", 5, {"number": "7", "draft": 1, "labels": "bug", "user": []}])
def test_what_has_another_shape_is_left_out(value: object) -> None:
    assert picked(value, FIELDS) == {}


def test_a_boolean_is_no_number() -> None:
    assert picked({"number": True}, FIELDS) == {}


def test_arrays_have_an_end() -> None:
    assert len(picked({"labels": [{"name": str(n)} for n in range(99)]}, FIELDS)["labels"]) == MOST_OF_AN_ARRAY


def test_the_schema_is_that_of_the_fields() -> None:
    found = schema(picks.picks("number:i title labels:a draft:b"))
    assert found["properties"] == {
        "number": {"type": "integer"},
        "title": {"type": "string"},
        "labels": {"type": "array"},
        "draft": {"type": "boolean"},
    }


def test_a_short_text_stays() -> None:
    assert shortened("abc", 3) == "abc"
    assert shortened("abcd", 3) == "abc... (1 more characters)"

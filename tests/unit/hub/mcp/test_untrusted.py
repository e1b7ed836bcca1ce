"""What cannot be seen in a text is shown."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.hub.mcp.untrusted import INSTRUCTIONS, visible, visible_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\tcode", "plain\n\tcode"),
        ("two\r\nlines", "two\nlines"),
        ("zero\u200bwidth", "zero\\u{200b}width"),
        ("\u202egnp.exe", "\\u{202e}gnp.exe"),
        ("tag\U000e0041", "tag\\u{e0041}"),
        ("\x1b[31mred", "\\u{1b}[31mred"),
        ("hidden\ufe0f\U000e0101", "hidden\\u{fe0f}\\u{e0101}"),
        ("filler\u3164", "filler\\u{3164}"),
        ("line\u2028end", "line\\u{2028}end"),
        ("naïve - 日本 🎉\u00a0ok", "naïve - 日本 🎉\u00a0ok"),
        ("lone\rreturn", "lone\\u{d}return"),
    ],
)
def test_what_is_not_seen_becomes_an_escape(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_nothing_invisible_is_left(text: str) -> None:
    shown = visible(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Co", "Cn", "Zl", "Zp") and c not in "\n\t"]
    assert visible(shown) == shown


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_what_is_seen_stays(text: str) -> None:
    assert visible(text) == text


@given(st.text(), st.sampled_from("\u200b\u200d\u2060\u2066\ufeff\U000e0020\x00\x7f\u00ad\u180e"), st.text())
def test_a_hidden_character_is_shown_wherever_it_is(before: str, hidden: str, after: str) -> None:
    assert hidden not in visible(before + hidden + after)
    assert f"\\u{{{ord(hidden):x}}}" in visible(before + hidden + after)


def test_in_json_keys_and_values_are_shown() -> None:
    found = visible_json({"a\u200b": ["b\u202e", 1, None, {"c": True}]})
    assert found == {"a\\u{200b}": ["b\\u{202e}", 1, None, {"c": True}]}


def test_the_instructions_say_what_is_untrusted() -> None:
    assert "untrusted" in INSTRUCTIONS
    assert INSTRUCTIONS.isascii()

from html.parser import HTMLParser

import hypothesis
import hypothesis.strategies as st
import pytest

from p2pcache.hub.markup import Markup, count, escaped, joined, percent, plural, size, span, tag


class Read(HTMLParser):
    """What a browser makes of markup: its elements with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]))


@hypothesis.given(PLAIN, PLAIN)
def test_any_text_stays_text(content: str, value: str) -> None:
    read = Read(tag("p", content, title=value))
    assert read.elements == [("p", {"title": value})]
    assert read.text == content


@pytest.mark.parametrize(
    "hidden", ["\x00", "\x1b[31m", "\r", "\u202e", "\u200b", "\ud800", "\x9b"], ids=lambda text: repr(text)
)
def test_what_nobody_can_see_is_shown(hidden: str) -> None:
    shown = escaped(f"a{hidden}b")
    assert shown.startswith("a\N{REPLACEMENT CHARACTER}")
    shown.encode()


def test_markup_is_not_escaped_twice() -> None:
    inner = tag("b", "<&>")
    assert tag("p", inner, " ", 3, None) == "<p><b>&lt;&amp;&gt;</b> 3</p>"
    assert joined((inner, "<")) == "<b>&lt;&amp;&gt;</b>&lt;"
    assert isinstance(joined(()), Markup)


def test_attributes_have_hyphens_and_may_be_left_out() -> None:
    assert tag("line", x1=1.5, class_="a", aria_label="b", id=None) == '<line x1="1.5" class="a" aria-label="b"></line>'
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (count(1204), "1,204"),
        (plural(1, "hub"), "1 hub"),
        (plural(2, "hub"), "2 hubs"),
        (percent(0.8476), "84.8 %"),
        (percent(1), "100 %"),
        (percent(0.99999), "99.9 %"),
        (percent(0), "0 %"),
        (size(999), "999 B"),
        (size(9_000_000), "9.0 MB"),
        (size(10**18), "1000000.0 TB"),
        (span(-3), "0 s"),
        (span(59.6), "1 min"),
        (span(3599), "59 min"),
        (span(3600), "1 h"),
        (span(5400), "1 h 30 min"),
        (span(86_400), "1 d"),
        (span(90_000), "1 d 1 h"),
    ],
)
def test_numbers_for_people(shown: str, said: str) -> None:
    assert shown == said

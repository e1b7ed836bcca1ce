import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from p2pcache.hub.page_document import ASSETS, asset, document, headers

from .lab import busy, peer, view


class Outside(HTMLParser):
    """Everything in a document that could fetch or send something, and what styles or runs in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.inline: list[str] = []
        self.within = ""
        self.raw: dict[str, str] = {"script": "", "style": ""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.within = tag
        for name, value in attrs:
            if name in ("src", "href", "action", "xlink:href", "srcset"):
                self.links.append(value or "")
            if name == "style" or name.startswith("on"):
                self.inline.append(name)

    def handle_endtag(self, tag: str) -> None:
        self.within = ""

    def handle_data(self, data: str) -> None:
        if self.within in self.raw:
            self.raw[self.within] += data


PAGE = Outside(document(view(busy(), peer("a"))).decode())
POLICY = dict(headers())[b"content-security-policy"].decode()


@pytest.mark.parametrize("kind", ["script", "style"])
def test_the_policy_names_what_stands_in_the_page_and_nothing_else(kind: str) -> None:
    digest = base64.b64encode(hashlib.sha256(PAGE.raw[kind].encode()).digest()).decode()
    assert f"{kind}-src 'sha256-{digest}'" in POLICY.split("; ")


def test_the_policy_allows_nothing_that_is_not_named() -> None:
    directives = POLICY.split("; ")
    assert {"default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} <= {*directives}
    assert "unsafe" not in POLICY
    assert "http" not in POLICY


def test_the_page_asks_nobody_for_anything() -> None:
    assert [link.split(",")[0] for link in PAGE.links] == ["data:image/svg+xml;base64"]
    assert PAGE.inline == []


def test_the_assets_stand_in_the_page_as_they_are() -> None:
    assert PAGE.raw["script"] == asset("page.js")
    assert PAGE.raw["style"] == asset("page.css")
    for file in ASSETS.iterdir():
        assert not re.search(r"</(script|style)|<!--|https?://(?!www\.w3\.org/)", file.read_text("utf-8"))


def test_the_page_has_its_numbers_without_a_script() -> None:
    text = document(view(busy())).decode()
    assert text.startswith("<!DOCTYPE html><html lang=")
    assert "<title>1,204 API calls saved · p2pcache</title>" in text
    assert text.index("1,204</strong>") < text.index("<script>")
    assert '<noscript><meta http-equiv="refresh"' in text

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.github import links

API = "https://api.github.com"
GHES = "https://ghes.example/api/v3"
NEW = "http://127.0.0.1:9090"


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("", {}),
        (
            f'<{API}/a?page=2>; rel="next", <{API}/a?page=9>; rel="last"',
            {"next": f"{API}/a?page=2", "last": f"{API}/a?page=9"},
        ),
        ("<a>;rel=next", {"next": "a"}),
        ("<a>; REL=Next", {"next": "a"}),
        ('<a>; rel="next last"', {"next": "a", "last": "a"}),
        ('<a,b;c>; title="x, <y>; rel=z"; rel="next"', {"next": "a,b;c"}),
        ('<a>; rel="next", <b>; rel="next"', {"next": "a"}),
        ("<a>", {}),
        ('<a>; rel=""', {}),
        ("nonsense", {}),
        ('<https://github.com/x>; rel="deprecation"; type="text/html"', {"deprecation": "https://github.com/x"}),
    ],
)
def test_parse(link: str, expected: dict[str, str]) -> None:
    assert links.parse(link) == expected


REPO = f"{API}/repositories/1"


@pytest.mark.parametrize(
    ("target", "link", "expected"),
    [
        ("/repos/o/r/issues", f'<{REPO}/issues?page=2>; rel="next", <{REPO}/issues?page=9>; rel="last"', True),
        ("/repos/o/r/issues?per_page=5", f'<{REPO}/issues?per_page=5&page=2>; rel="next"', True),
        (
            "/repos/o/r/issues?page=3",
            f'<{API}/repos/o/r/issues?page=2>; rel="prev", <{REPO}/issues?page=1>; rel="first"',
            True,
        ),
        ("/orgs/o/repos", f'<{API}/organizations/7/repos?page=2>; rel="next"', True),
        ("/users/u/repos", f'<{API}/user/7/repos?page=2>; rel="next"', True),
        ("/user/repos?page=2", f'<{API}/user/repos?page=3>; rel="next", <{API}/user/repos?page=1>; rel="prev"', True),
        ("/repos/o/r/issues", '<https://github.com/x>; rel="deprecation"', True),
        ("/repos/o/r/issues", f'<{REPO}/issues?page=3>; rel="next"', False),
        ("/repos/o/r/issues?page=4", f'<{REPO}/issues?page=2>; rel="prev"', False),
        ("/repos/o/r/issues?page=4", f'<{REPO}/issues?page=2>; rel="first"', False),
        ("/repos/o/r/issues?page=4", f'<{REPO}/issues?page=3>; rel="last"', False),
        ("/repos/o/r/issues", f'<{REPO}/pulls?page=2>; rel="next"', False),
        ("/repos/o/r/issues", f'<{API}/repos/o/other/issues?page=2>; rel="next"', False),
        ("/repos/o/r/issues", f'<{GHES}/repos/o/r/issues?page=2>; rel="next"', True),
        ("/repos/o/r/issues", f'<{GHES}/repositories/1/issues?page=2>; rel="next"', True),
        ("/repositories/1/issues", f'<{REPO}/issues?page=2>; rel="next"', True),
        ("/repositories/1/issues", f'<{API}/repositories/2/issues?page=2>; rel="next"', False),
        ("/repos/o/r/issues?state=all", f'<{REPO}/issues?page=2>; rel="next"', False),
        ("/repos/o/r/issues", f'<{REPO}/issues?after=Y3Vy>; rel="next"', False),
        ("/repos/o/r/issues?page=x", f'<{REPO}/issues?page=2>; rel="next"', False),
    ],
)
def test_follows(target: str, link: str, expected: bool) -> None:
    assert links.follows(target, link) is expected


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (f'<{API}/a?page=2>; rel="next", <{GHES}/a?page=9>; rel="last"', True),
        (f'<{API}/a?page=2>; rel="next", <https://github.com/x>; rel="deprecation"', True),
        ("", True),
        ('<https://evil.example/a>; rel="next"', False),
        (f'<{API}.evil.example/a>; rel="next"', False),
        (f'<{API}/a>; rel="prev", <//evil.example/a>; rel="deprecation Next"', False),
        ('</a>; rel="next"', False),
    ],
)
def test_within(link: str, expected: bool) -> None:
    assert links.within(link, (API, GHES)) is expected


@given(st.text())
def test_any_link_is_parsed(link: str) -> None:
    assert all(relation for relation in links.parse(link))


def page(count: int, **around: Any) -> bytes:
    items = [{"id": n, "labels": [1, 2]} for n in range(count)]
    return json.dumps({**around, "items": items} if around else items).encode()


NEXT = '<x>; rel="next"'


@pytest.mark.parametrize(
    ("target", "link", "body", "expected"),
    [
        pytest.param("/x", None, page(30), True, id="default size, full"),
        pytest.param("/x", None, page(29), False, id="default size, not full"),
        pytest.param("/repositories", None, page(100), True, id="a list whose default size is the maximum"),
        pytest.param("/x", NEXT, page(30), False, id="a next page is known"),
        pytest.param("/x?page=2", '<x>; rel="prev"', page(30), True, id="only earlier pages"),
        pytest.param("/x?per_page=2", None, page(2), True, id="asked size, full"),
        pytest.param("/x?per_page=2&page=1", None, page(1), False, id="asked size, not full"),
        pytest.param("/x?per_page=500", None, page(100), True, id="a size beyond the maximum is the maximum"),
        pytest.param("/x?per_page=0", None, page(30), True, id="zero is the default"),
        pytest.param("/x?per_page=x", None, page(30), True, id="nonsense is the default"),
        pytest.param("/x?per_page=" + "9" * 5000, None, page(30), True, id="endless nonsense is the default"),
        pytest.param("/x?per_page=2", None, page(2, total_count=9), True, id="envelope, full"),
        pytest.param("/x?per_page=2", None, page(1, total_count=9), False, id="envelope, not full"),
        pytest.param("/x?per_page=2", None, page(2, files=1), False, id="an object that is no page"),
        pytest.param("/x?per_page=2", None, page(2, total_count=9, other=[1]), False, id="two arrays"),
        pytest.param("/x", None, b"", False, id="empty body"),
        pytest.param("/x", None, b"[1,", False, id="broken body"),
        pytest.param("/x", None, b'"text"', False, id="no page"),
        pytest.param("/x?per_page=2", None, b"[" * 100_000, False, id="hostile nesting"),
        pytest.param("/x", None, b"[]", False, id="empty list"),
    ],
)
def test_last_full_page(target: str, link: str | None, body: bytes, expected: bool) -> None:
    assert links.last_full_page(target, link, body) is expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/x", "/x?page=2"),
        ("/x?per_page=6", "/x?per_page=6&page=2"),
        ("/x?page=2&per_page=6", "/x?page=3&per_page=6"),
        ("/x?a&page=9&b=%20", "/x?a&page=10&b=%20"),
        ("/x?page=0", ""),
        ("/x?page=", ""),
        ("/x?page=" + "9" * 5000, ""),
        ("/x?page=1&page=2", ""),
        ("/x?after=Y3Vyc29y", ""),
        ("/x?before=Y3Vyc29y&per_page=6", ""),
    ],
)
def test_the_page_after(target: str, expected: str) -> None:
    assert links.next_page(target) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"{API}/repositories/5", f"{NEW}/repositories/5"),
        (API, NEW),
        (f"{API}?x", f"{NEW}?x"),
        (f"{API}.evil.example/x", f"{API}.evil.example/x"),
        (f"https://other.example/?u={API}/x", f"https://other.example/?u={API}/x"),
        (
            f'<{API}/a>; rel="next", <{API}/b?u={API}/c>; rel="last"',
            f'<{NEW}/a>; rel="next", <{NEW}/b?u={API}/c>; rel="last"',
        ),
    ],
)
def test_rewrite(value: str, expected: str) -> None:
    assert links.rewrite(value, API, NEW) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({"url": f"{API}/x"}, {"url": f"{NEW}/x"}, id="url"),
        pytest.param({"labels_url": f"{API}/l{{/name}}"}, {"labels_url": f"{NEW}/l{{/name}}"}, id="template"),
        pytest.param({"_links": {"self": {"href": f"{API}/x"}}}, {"_links": {"self": {"href": f"{NEW}/x"}}}, id="href"),
        pytest.param({"_links": {"self": f"{API}/x"}}, {"_links": {"self": f"{NEW}/x"}}, id="links of contents"),
        pytest.param({"a": 1, "git": f"{API}/x"}, {"a": 1, "git": f"{NEW}/x"}, id="git link of contents"),
        pytest.param({"url": API}, {"url": NEW}, id="nothing but the base"),
        pytest.param({"url": f"{GHES}/x"}, {"url": f"{NEW}/x"}, id="another base"),
        pytest.param({"html_url": "https://github.com/x"}, None, id="another host"),
        pytest.param({"url": f"{API}.evil.example/x"}, None, id="a longer host"),
        pytest.param({"body": f"{API}/x"}, None, id="text"),
        pytest.param({"body": f'"url":"{API}/x"'}, None, id="text that looks like JSON"),
        pytest.param({"url": f"see {API}/x"}, None, id="not at the start"),
        pytest.param({"target_url": f"{API}/x"}, None, id="a URL that users set"),
        pytest.param({"curl": f"{API}/x"}, None, id="another key"),
        pytest.param({'x"url': f"{API}/x"}, None, id="a key with a quote"),
        pytest.param([f"{API}/x"], None, id="in an array"),
    ],
)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=["compact", "pretty"])
def test_rewrite_body(body: Any, expected: Any, separators: tuple[str, str]) -> None:
    encoded = json.dumps(body, separators=separators).encode()
    wanted = encoded if expected is None else json.dumps(expected, separators=separators).encode()
    assert links.rewrite_body(encoded, (API, GHES), NEW) == wanted


def test_without_a_base_nothing_changes() -> None:
    assert links.rewrite_body(b'{"url":"/x"}', (), NEW) == b'{"url":"/x"}'


KEYS = [
    "url",
    "self",
    "git",
    "href",
    "html_url",
    "_url",
    "target_url",
    "log_url",
    "curl",
    "urls",
    "body",
    'x"url',
    "\\url",
    "ü_url",
]
TEXTS = st.one_of(
    st.text(max_size=8),
    st.builds(
        "".join, st.lists(st.sampled_from([API, GHES, "/", "?", '"', "\\", '"url":"', ".x", "{/y}", " "]), max_size=5)
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=30,
)
TYPED = {"target_url", "details_url", "log_url", "environment_url", "external_url", "website_url", "homepage_url"}


def walked(node: Any) -> Any:
    """The oracle: the same rule on decoded JSON."""
    if isinstance(node, list):
        return [walked(child) for child in node]
    if not isinstance(node, dict):
        return node
    return {key: moved(child) if ours(key) and isinstance(child, str) else walked(child) for key, child in node.items()}


def ours(key: str) -> bool:
    return key in {"url", "href", "self", "git"} or (key.endswith("_url") and key not in TYPED)


def moved(url: str) -> str:
    for base in (API, GHES):
        if url == base or (url.startswith(base) and url[len(base)] in '/"?#{' and url[len(base)] != '"'):
            return NEW + url[len(base) :]
    return url


@given(JSON, st.sampled_from([(",", ":"), (", ", ": ")]), st.booleans())
def test_rewriting_bytes_is_rewriting_json(body: Any, separators: tuple[str, str], ascii_only: bool) -> None:
    def encode(value: Any) -> bytes:
        return json.dumps(value, separators=separators, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")

    assert links.rewrite_body(encode(body), (API, GHES), NEW) == encode(walked(body))


def test_rewriting_a_megabyte_takes_less_than_parsing_it_would() -> None:
    item = {
        "url": f"{API}/repos/o/r/issues/5",
        "labels_url": f"{API}/x{{/name}}",
        "body": f'"{API}' * 8,
        "x_url": f"{API}/y",
    }
    body = json.dumps([item] * 3300, separators=(",", ":")).encode()
    assert len(body) > 1_000_000

    def seconds(work: Callable[[], object]) -> float:
        start = time.thread_time()
        work()
        return time.thread_time() - start

    def parsed() -> str:
        return json.dumps(walked(json.loads(body)))

    # Of this thread alone, and in turns: other work on the machine slows both.
    took = [(seconds(lambda: links.rewrite_body(body, (API, GHES), NEW)), seconds(parsed)) for _ in range(5)]
    rewriting, parsing = (min(times) for times in zip(*took, strict=True))
    assert rewriting < parsing

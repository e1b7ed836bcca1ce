"""The report: what it says of ordinary and odd ledgers, and that nothing in it is more than text."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from p2pcache.ledger.ledger import Ledger
from p2pcache.runner.concerns import Concern
from p2pcache.runner.report import MAX_CELL, headline, markdown, text


def ledger(hits: int = 0, misses: int = 0, bypassed: int = 0, saved_ms: int = 0, route: str = "GET /user") -> Ledger:
    counted = Ledger(lambda: 0.0)
    counters = counted.route(route)
    for _ in range(hits):
        counted.hit("memory", counters, 10, saved_ms)
    for _ in range(misses):
        counted.miss(counters)
    for _ in range(bypassed):
        counted.bypassed(counters)
    return counted


HEADLINES = {
    "nothing": (ledger(), "no API calls went through the cache"),
    "one saved": (ledger(1), "1 of 1 API call saved (100 % hit rate)"),
    "one missed": (ledger(0, 1), "0 of 1 API call saved (0 % hit rate)"),
    "rounded down": (ledger(999, 1), "999 of 1000 API calls saved (99 % hit rate)"),
    "very few": (ledger(1, 499), "1 of 500 API calls saved (< 1 % hit rate)"),
    "milliseconds": (ledger(1, 0, 0, 999), "1 of 1 API call saved (100 % hit rate), 999 ms not waited"),
    "seconds": (ledger(2, 0, 0, 20_500), "2 of 2 API calls saved (100 % hit rate), 41 s not waited"),
    "minutes": (ledger(1, 0, 0, 200_000), "1 of 1 API call saved (100 % hit rate), 3 min 20 s not waited"),
    "hours": (ledger(1, 0, 0, 7_500_000), "1 of 1 API call saved (100 % hit rate), 2 h 5 min not waited"),
    "writes do not count": (ledger(1, 0, 9), "1 of 1 API call saved (100 % hit rate)"),
    "one write": (ledger(0, 0, 1), "1 API call went through the cache, none of a kind that can be saved"),
    "only writes": (ledger(0, 0, 5), "5 API calls went through the cache, none of a kind that can be saved"),
}


@pytest.mark.parametrize(("counted", "expected"), HEADLINES.values(), ids=HEADLINES)
def test_the_headline(counted: Ledger, expected: str) -> None:
    assert headline(counted.stats()) == expected


def test_the_headline_of_the_contract() -> None:
    counted = ledger(812, 166)
    counted.revalidated(counted.route("GET /user"), 1, 41_000, charged=True)
    stats = counted.stats() | {"requests": 978, "misses": 165}
    counted.quota("actions:octo/app", "core", 1000, 871, 0)
    stats["quota"] = counted.stats()["quota"]
    assert headline(stats) == ("812 of 978 API calls saved (83 % hit rate), 41 s not waited, quota left 871/1000")


QUOTAS = {
    "the job's own": ("actions:o/r", [("token:ab", "core", 5000, 1), ("actions:o/r", "core", 1000, 900)], "900/1000"),
    "not another job's": (
        "actions:o/r",
        [("actions:a/b", "core", 1000, 1), ("actions:o/r", "core", 1000, 9)],
        "9/1000",
    ),
    "not somebody else's": ("actions:o/r", [("token:ab", "core", 5000, 1)], None),
    "without a token of its own": ("", [("token:ab", "core", 5000, 4000)], "4000/5000"),
    "one of several": ("", [("token:ab", "core", 5000, 4000), ("token:cd", "core", 60, 30)], None),
    "core only": ("actions:o/r", [("actions:o/r", "search", 30, 1)], None),
    "no limit": ("actions:o/r", [("actions:o/r", "core", 0, 0)], None),
}


@pytest.mark.parametrize(("own", "buckets", "expected"), QUOTAS.values(), ids=QUOTAS)
def test_the_bucket_of_the_headline(own: str, buckets: list[tuple[str, str, int, int]], expected: str | None) -> None:
    counted = ledger(1)
    counted.scope = own
    for bucket in buckets:
        counted.quota(*bucket, 0)
    line = headline(counted.stats())
    assert line.endswith(f"quota left {expected}") if expected else "quota" not in line


def test_what_is_off_stands_below_the_headline() -> None:
    counted = ledger(1)
    stats = counted.stats() | {"node": {"degraded": ["GitHub at https://x cannot be reached"]}}
    assert text(stats).splitlines()[2] == "⚠ the cache is degraded: GitHub at https://x cannot be reached"
    summary = markdown(stats, {}, [Concern("the hub <b> is away"), Concern("::error::x")])
    lines = [line for line in summary.splitlines() if line.startswith("- ")]
    assert lines == ["- ⚠ the hub &#60;b&#62; is away", "- ⚠ &#58;&#58;error&#58;&#58;x"]
    assert summary.index("hub") < summary.index("By tier")


@pytest.fixture
def busy() -> dict[str, Any]:
    counted = ledger(3, 1, 1, 100, "GET /repos/{owner}/{repo}/issues")
    counted.hit("peer", counted.route("GET /user"), 1, 1)
    counted.revalidated(counted.route("GET /user"), 1, 1)
    counted.upstream(200, charged=True, not_modified=False)
    counted.quota("anonymous", "core", 60, 59, 0)
    counted.peers(2, 3, {"bytes_in": 1000, "bytes_out": 2000})
    counted.error("peer_timeout", 4)
    counted.decided("fresh")
    return counted.stats()


def test_the_terminal_and_the_summary_say_the_same_in_the_same_order(busy: dict[str, Any]) -> None:
    terminal, summary = text(busy), markdown(busy)
    assert terminal.startswith(f"{headline(busy)}\n\nBy tier\n")
    assert summary.startswith(f"### p2pcache: {headline(busy)}\n\n**By tier**\n")
    titles = ["By tier", "Busiest operations", "Quota", "Peers", "Calls to GitHub", "Decided by", "Went wrong"]
    for report in (terminal, summary):
        places = [report.index(title) for title in titles]
        assert places == sorted(places)
    for said in (terminal, summary.replace(" |", "")):
        assert re.search(r"memory\W+3\W+42.9 %", said)
        assert re.search(r"GET /repos/{owner}/{repo}/issues\W+5\W+3", said)
        assert re.search(r"GitHub, not cacheable\W+1\W+14.3 %", said)


def test_the_summary_folds_details_and_draws_after_the_table(busy: dict[str, Any]) -> None:
    summary = markdown(busy, {"Network mode": "bridge: the hub is tried at 172.17.0.1:9100"})
    places = [
        summary.index(part)
        for part in (
            "| memory |",
            "```mermaid\npie showData",
            '"memory" : 3',
            "**Busiest",
            "<details>",
            "| Network mode |",
        )
    ]
    assert places == sorted(places)
    assert summary.endswith("</details>\n")


def test_an_empty_ledger_is_one_line() -> None:
    stats = Ledger().stats()
    assert text(stats) == "no API calls went through the cache"
    assert markdown(stats) == "### p2pcache: no API calls went through the cache\n"


def test_long_tables_end_with_how_many_more() -> None:
    counted = Ledger()
    for i in range(33):
        counted.miss(counted.route(f"GET /route{i}"))
    report = text(counted.stats())
    assert report.count("GET /route") == 20
    assert "… and 13 more" in report


def test_what_is_no_ledger_is_refused() -> None:
    for report in (headline, text, markdown):
        with pytest.raises(ValueError, match="not statistics"):
            report({"hits": 3})


SYNTAX = "| :: error:: ##[ <b> </details> <!-- --> ` ``` \\ [a](b) ![ https:// www.e.com &lt; a@b.c * _ ~~ $ x #"
BREAKERS = [*SYNTAX.split(), " ", "\n", "\r", "\x1b[31m", "\u202e", "\u2028", "\x00"]
HOSTILE = st.text(max_size=200) | st.lists(st.sampled_from(BREAKERS)).map("".join)


@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_name_is_a_command_or_a_control_sequence_in_the_terminal(route: str, error: str, scope: str) -> None:
    counted = ledger(1, route=route)
    counted.error(error)
    counted.quota(scope, "core", 1, 1, 0)
    for line in text(counted.stats()).split("\n"):
        assert line.isprintable()
        assert not line.lstrip().startswith("::")
        assert "##[" not in line


@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_name_or_fact_is_more_than_text_in_the_summary(route: str, fact: str, value: str) -> None:
    counted = ledger(1, route=route)
    summary = markdown(counted.stats(), {fact: value})
    assert "::" not in summary
    assert "##[" not in summary
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    tokens = parser.parse(summary)
    shown = [token for i, token in enumerate(tokens) if tokens[i - 1].type == "td_open"]
    assert len(shown) == 3 + 4 + 2
    for token, original in zip((shown[3], shown[7], shown[8]), (route, fact, value), strict=True):
        assert {child.type for child in token.children or ()} <= {"text"}
        printable = "".join(c if c.isprintable() else "\ufffd" for c in original)
        expected = printable if len(printable) <= MAX_CELL else printable[: MAX_CELL - 1] + "…"
        assert "".join(child.content for child in token.children or ()).strip() == expected.strip()
    assert [t.content for t in tokens if t.type == "html_block"] == [
        "<details><summary>Details</summary>\n",
        "</details>\n",
    ]
    assert "www." not in summary.lower()
    assert "://" not in summary


@given(st.dictionaries(HOSTILE, st.integers(0, 10**9), max_size=30))
def test_the_chart_is_a_pie_by_mermaids_grammar_whatever_a_tier_is_called(hits: dict[str, int]) -> None:
    summary = markdown(Ledger().stats() | {"requests": sum(hits.values()) or 1, "hits": hits})
    for chart in re.findall(r"```mermaid\n(.*?)\n```", summary, re.DOTALL):
        first, *slices = chart.split("\n")
        assert first == "pie showData title Answered by"
        assert slices
        # mermaid, pie: a label in double quotes, a colon, a positive number.
        assert all(re.fullmatch(r'  "[A-Za-z0-9 ,]*" : [1-9][0-9]*', line) for line in slices)
    assert summary.count("```") in (0, 2)


def test_the_summary_is_bounded_whatever_the_ledger_holds() -> None:
    long = "|" * 5000
    names = {f"{i}{long}": i for i in range(3000)}
    stats = Ledger().stats() | {
        "requests": 9,
        "misses": 9,
        "hits": names,
        "errors": names,
        "rules": names,
        "routes": [{"route": name} for name in names],
        "quota": [{"scope": n, "resource": long, "limit": 1, "remaining": 1, "reset": 0} for n in names],
        "upstream": {"calls": 1, "by_status": names},
        "time_saved_ms": 5,
        "time_saved_how": long,
    }
    assert len(markdown(stats, dict.fromkeys(names, long)).encode()) < 1 << 20
    assert len(text(stats).encode()) < 1 << 20


def test_stores_are_said_to_be_in_use_or_why_not() -> None:
    stats = ledger(1).stats()
    stats["stores"] = [
        {"name": "s3", "state": "open", "why": "it is away", "calls": 3},
        {"name": "ipfs", "state": "closed", "why": "no answer within 3 s", "calls": 40},
    ]
    for report in (text(stats), markdown(stats)):
        rows = [re.sub(r"[ |\\]+", " ", line).strip() for line in report.splitlines()]
        assert "s3 it is away 3" in rows
        assert "ipfs in use 40" in rows
    assert "Stores" not in text(ledger(1).stats())

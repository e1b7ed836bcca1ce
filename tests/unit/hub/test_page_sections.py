import re
from html.parser import HTMLParser
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from p2pcache.hub.markup import VOID
from p2pcache.hub.page_history import History, Sample
from p2pcache.hub.page_sections import sections, title
from p2pcache.ledger.ledger import Ledger
from p2pcache.ledger.stats import About, PeerStats, read

from .lab import NOW, busy, peer, view

COUNTS = {name: 0 for name in PeerStats.__struct_fields__ if name not in ("connected", "known")}


def text(markup: str) -> str:
    """What a reader sees, its parts apart."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", markup.replace("<wbr>", ""))).strip()


class Elements(HTMLParser):
    """The names of elements and attributes, and whether every element ends where it should."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.names: list[tuple[str, ...]] = []
        self.open: list[str] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append((tag, *(name for name, _ in attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def test_the_saved_calls_come_first() -> None:
    found = sections(view(busy()))
    assert text(found["saved"]).startswith("Saved so far 1,204 API calls saved")
    assert "85.8 % hit rate" in " ".join(reversed(re.findall(r"<d[td]>([^<]*)", found["saved"])[:2]))
    assert title(view(busy())) == "1,204 API calls saved · p2pcache"


def test_a_hub_whose_members_have_nodes_of_their_own_says_what_it_gave() -> None:
    ledger = Ledger(lambda: NOW)
    ledger.peers(2, 2, {**COUNTS, "blocks_given": 52})
    assert title(view(ledger)) == "52 answers given to members · p2pcache"


def test_tiers_say_who_answered_how_much() -> None:
    tiers = text(sections(view(busy()))["tiers"])
    assert tiers.endswith("memory 900 64.1 % disk 100 7.1 % peers 104 7.4 % 304, free of charge 100 7.1 % "
                          "GitHub, a call each 200 14.2 %")  # fmt: skip
    assert "IPFS" not in tiers


def test_arcs_of_tiers_make_a_ring() -> None:
    arcs = re.findall(r'stroke-dasharray="([\d.]+) 100" stroke-dashoffset="-([\d.]+)"', sections(view(busy()))["tiers"])
    begin = 0.0
    for length, offset in arcs:
        assert float(offset) == pytest.approx(begin, abs=0.02)
        begin = float(offset) + float(length) + 0.5
    assert begin == pytest.approx(100, abs=0.1)


def test_quota_says_what_is_left_and_until_when() -> None:
    own, other = re.findall(r"<li.*?</li>", sections(view(busy()))["quota"])
    assert text(own) == "actions:octo/app core 871 of 1,000 resets in 32 min"
    assert text(other) == "token:0123456789abcdef core 20 of 5,000 nearly spent, resets in under a minute"
    assert 'class="part" width="87.10%"' in own
    assert 'class="part low" width="0.40%"' in other


def test_routes_are_the_busiest() -> None:
    ledger = busy()
    for i in range(20):
        ledger.miss(ledger.route(f"GET /x/{i}"))
    routes = sections(view(ledger))["routes"]
    assert "and 14 others" in routes
    rows = re.findall(r"<tr>.*?</tr>", routes)[1:]
    assert len(rows) == 8
    assert text(rows[0]) == "GET /repos/ {owner} / {repo} /issues 1,204 100 %"
    assert text(rows[1]) == "GET /user 200 0 %"


def test_errors_are_the_last_ones_and_say_why() -> None:
    history = History()
    history.take(read({"errors": {}}), NOW - 600)
    history.take(read({"errors": {"upstream": 3, "news": 1}}), NOW - 300)
    rows = [peer("12D3KooWStranger", "refused", since=NOW - 130, reason="another secret"), peer("x", "dropped")]
    errors = re.findall(r"<li.*?</li>", sections(view(None, *rows, history=history))["errors"])
    assert [text(error) for error in errors] == [
        "2 min ago …ranger refused another secret",
        "5 min ago GitHub could not be reached 3 times",
        "5 min ago news",
    ]


def test_a_degraded_node_says_so_first() -> None:
    ledger = busy()
    assert text(sections(view(ledger))["health"]) == ""
    ledger.about = About(degraded=["the disk store hangs", "no peer for 70 s"])
    assert text(sections(view(ledger))["health"]) == "Degraded the disk store hangs no peer for 70 s"


def test_an_empty_page_says_what_will_stand_there() -> None:
    found = {name: text(section) for name, section in sections(view()).items()}
    assert "begins with the first request: curl http://127.0.0.1:8080/rate_limit" in found["saved"]
    assert "others dial /ip4/10.0.0.1/tcp/9100/p2p/12D3KooWHub" in found["peers"]
    assert all(found[name] for name in ("tiers", "routes", "quota"))
    assert found["errors"] == "Last errors Nothing went wrong."
    assert "not joined" in text(sections(view(ready={}))["peers"])


def test_peers_are_drawn_and_listed() -> None:
    rows = [
        peer("12D3KooWHubHub", "hub", rtt_ms=None),
        peer("12D3KooWMember", "member"),
        peer("12D3KooWSlow99", "slow", reason="late"),
        peer("", "unreached", address="/dns4/hub.example/tcp/9100", reason="refused"),
        *(peer(f"12D3KooWBehind{i}", "relayed", rtt_ms=None, address="") for i in range(3)),
        peer("12D3KooWGone", "dropped", reason="broke"),
    ]
    drawn = sections(view(None, *rows, active=frozenset({"12D3KooWMember"})))["peers"]
    assert "1 hub, 1 member, 1 slow, 3 behind a hub, 1 out of reach" in drawn
    assert len(re.findall(r'<g class="peer|class="peer ', drawn)) == 7
    assert 'class="peer member active"' in drawn
    assert "…Member" in drawn
    assert "0.4 ms" in drawn
    assert "hub.example:9100" in drawn
    assert drawn.count('scope="row"') == 7
    assert "Gone" not in drawn


def test_a_crowd_is_drawn_within_bounds() -> None:
    rows = [peer(f"p{i}") for i in range(500)] + [peer(f"r{i}", "relayed") for i in range(500)]
    drawn = sections(view(None, *rows))["peers"]
    assert "500 members, 500 behind a hub" in drawn
    assert drawn.count("<circle") < 100
    assert drawn.count("<tr>") == 101
    for at, bound in (("cx", 210), ("cy", 160)):
        assert all(abs(float(n)) < bound for n in re.findall(rf'{at}="(-?[\d.]+)"', drawn))


def charted(*samples: Sample) -> str:
    history = History()
    history.hour.extend(samples)
    return sections(view(busy(), history=history))["saved"]


def test_the_chart_has_the_rate_and_what_was_asked() -> None:
    chart = charted(Sample(NOW - 120, 0, 0, 0), Sample(NOW - 60, 10, 0, 0), Sample(NOW, 20, 10, 5))
    assert "Hit rate over the last 2 min: 100 % last, 0 % at least, 100 % at most, of 20 requests" in chart
    assert '<path d="M250.0 218.0C500.0 218.0 500.0 8.0 750.0 8.0" class="line">' in chart
    heights = dict(re.findall(r'<rect class="(\w+)".*?height="([\d.]+)"', chart))
    assert heights == {"asked": "37.3", "saved": "37.3", "given": "18.7"}


def test_the_chart_says_when_nothing_was_asked() -> None:
    chart = charted(Sample(NOW - 120, 5, 5, 0), Sample(NOW, 5, 5, 0))
    assert "no request yet" in chart
    assert 'class="line"' not in chart


HOSTILE = st.sampled_from(
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "' onmouseover='alert(1)",
        "</title></style></script><svg onload=alert(1)>",
        "javascript:alert(1)",
        "]]>--><!--",
        "&lt;b&gt;",
        "\u202egpj.exe",
        "\x00\x1b[2J",
    ]
) | st.text(max_size=30)


def strange(value: str) -> dict[str, str]:
    """A page on which every text of a stranger is `value`."""
    ledger = Ledger(lambda: NOW)
    ledger.about = About(value, value, NOW, 1.0, [value])
    ledger.miss(ledger.route(value))
    ledger.hit(value, ledger.route(value), 1, 1)
    ledger.quota(value, value, 10, 5, int(NOW) + 60)
    history = History()
    history.take(read({"errors": {}}), NOW - 5)
    history.take(read({"errors": {value: 1}}), NOW)
    rows: list[dict[str, Any]] = [
        peer(value, state, address=value, reason=value) for state in ("hub", "member", "relayed", "refused", value)
    ]
    ready = {"api_url": value, "multiaddrs": [value]}
    shown = view(ledger, *rows, history=history, ready=ready, active=frozenset({value}))
    alone = view(None, history=history, ready=ready)
    return {**sections(shown), "title": title(shown), **{f"alone {n}": s for n, s in sections(alone).items()}}


@hypothesis.given(HOSTILE)
def test_nothing_of_a_stranger_becomes_markup(value: str) -> None:
    harmless, hostile = strange("harmless"), strange(value)
    for name, section in hostile.items():
        read_back, expected = Elements(section), Elements(harmless[name])
        assert not read_back.open
        known = set(expected.names)
        assert {names for names in read_back.names if names not in known} <= {("span", "class"), ("wbr",)}, name

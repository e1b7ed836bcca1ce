"""The ledger adds up, whatever is counted in whatever order, across restarts too."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.ledger import ledger as module
from p2pcache.ledger.ledger import Ledger, merge
from p2pcache.ledger.stats import TIERS, About, PeerStats, StoreStats, read

ISSUES = "GET /repos/{owner}/{repo}/issues"


def counted(clock: Any = lambda: 1000.0) -> Any:
    ledger = Ledger(clock)
    route = ledger.route(ISSUES)
    ledger.hit("memory", route, 100, 30)
    ledger.hit("peer", route, 200, 40)
    ledger.revalidated(route, 300, 10)
    ledger.miss(route)
    ledger.bypassed(ledger.route("POST /graphql"))
    ledger.upstream(200, charged=True, not_modified=False)
    ledger.upstream(304, charged=False, not_modified=True)
    ledger.quota("actions:octo/app", "core", 1000, 990, 4000)
    ledger.peers(2, 3, {"bytes_in": 1000, "bytes_out": 2000})
    ledger.error("peer_timeout")
    ledger.decided("fresh")
    ledger.delivered("dropped")
    program = ledger.program("node")
    program.requests, program.saved = 3, 2
    return ledger


def swarm(connected: int, known: int, **counts: int) -> Any:
    return msgspec.to_builtins(PeerStats(connected, known, **counts))


def test_the_shape_is_the_public_one() -> None:
    stats = counted().stats()
    assert json.loads(json.dumps(stats)) == stats
    assert {key: stats[key] for key in stats if key not in ("time_saved_how", "hits")} == {
        "requests": 5,
        "revalidated": 1,
        "bypassed": 1,
        "misses": 1,
        "upstream": {"calls": 2, "charged": 1, "not_modified": 1, "by_status": {"200": 1, "304": 1}},
        "hit_rate": 0.75,
        "api_calls_saved": 3,
        "time_saved_ms": 80,
        "bytes_from_cache": 600,
        "scope": "",
        "quota": [{"scope": "actions:octo/app", "resource": "core", "limit": 1000, "remaining": 990, "reset": 4000}],
        "peers": swarm(2, 3, bytes_in=1000, bytes_out=2000),
        "store": msgspec.to_builtins(StoreStats()),
        "node": msgspec.to_builtins(About()),
        "routes": [
            {"route": ISSUES, "requests": 4, "saved": 3},
            {"route": "POST /graphql", "requests": 1, "saved": 0},
        ],
        "errors": {"peer_timeout": 1},
        "rules": {"fresh": 1},
        "etag_rule": {"state": "untested", "agreed": 0, "disagreed": 0, "given_up": [], "lists": True},
        "stores": [],
        "webhooks": {"dropped": 1},
        "programs": {"node": {"requests": 3, "saved": 2}},
    }
    assert tuple(stats["hits"]) == TIERS
    assert stats["hits"]["memory"] == stats["hits"]["peer"] == 1
    assert "GitHub took" in stats["time_saved_how"]


def test_nothing_counted_is_all_zero_and_no_division() -> None:
    stats = Ledger().stats()
    assert stats["requests"] == 0
    assert stats["hit_rate"] == 0.0
    assert stats["quota"] == stats["routes"] == []


def test_a_charged_revalidation_saves_time_but_no_call() -> None:
    ledger = Ledger()
    ledger.revalidated(ledger.route("GET /user"), 10, 5, charged=True)
    stats = ledger.stats()
    assert (stats["revalidated"], stats["api_calls_saved"], stats["hit_rate"]) == (1, 0, 0.0)
    assert stats["routes"] == [{"route": "GET /user", "requests": 1, "saved": 0}]


def test_a_revalidation_slower_than_the_answer_had_been_takes_no_time_away() -> None:
    ledger = Ledger()
    ledger.revalidated(ledger.route("GET /user"), 10, -25)
    assert ledger.stats()["time_saved_ms"] == 0


def test_a_tier_the_contract_does_not_name_is_counted_too() -> None:
    ledger = Ledger()
    ledger.hit("azure", ledger.route("GET /user"), 1, 1)
    stats = ledger.stats()
    assert stats["hits"]["azure"] == 1
    assert stats["requests"] == 1


def test_programs_are_bounded_and_added_up() -> None:
    ledger = counted()
    ledger.absorb(counted().stats())
    for i in range(module.MAX_NAMES + 3):
        ledger.program(f"kind{i}").requests += 1
    programs = ledger.stats()["programs"]
    assert programs["node"] == {"requests": 6, "saved": 4}
    assert (len(programs), programs["other"]["requests"]) == (module.MAX_NAMES, 5)


def test_routes_are_bounded_and_the_rest_is_other() -> None:
    ledger = Ledger()
    for i in range(module.MAX_ROUTES + 50):
        ledger.miss(ledger.route(f"GET /{i}"))
    stats = ledger.stats()
    assert len(stats["routes"]) == module.MAX_ROUTES
    assert stats["routes"][0] == {"route": "other", "requests": 51, "saved": 0}
    assert ledger.route("GET /3").route == "GET /3"


@pytest.mark.parametrize("count", [Ledger.error, Ledger.decided], ids=["errors", "rules"])
def test_names_are_bounded(count: Callable[[Ledger, str], None]) -> None:
    ledger = Ledger()
    for i in range(module.MAX_NAMES + 10):
        count(ledger, f"name {i}")
    table = ledger.stats()["errors" if count is Ledger.error else "rules"]
    assert len(table) == module.MAX_NAMES
    assert table["other"] == 11


def test_buckets_are_bounded_and_the_longest_unseen_gives_way() -> None:
    ledger = Ledger(lambda: 0.0)
    for i in range(module.MAX_BUCKETS):
        ledger.quota(f"token:{i}", "core", 60, 1, 9)
    ledger.quota("token:0", "core", 60, 0, 9)
    ledger.quota("token:new", "core", 60, 1, 9)
    scopes = [bucket["scope"] for bucket in ledger.stats()["quota"]]
    assert len(scopes) == module.MAX_BUCKETS
    assert "token:1" not in scopes
    assert scopes[-2:] == ["token:0", "token:new"]


@pytest.mark.parametrize(("reset", "shown"), [(999, 0), (1000, 0), (1001, 1), (0, 1)])
def test_a_bucket_is_shown_until_its_reset(reset: int, shown: int) -> None:
    ledger = Ledger(lambda: 1000.0)
    ledger.quota("anonymous", "core", 60, 0, reset)
    assert len(ledger.stats()["quota"]) == shown


def test_restored_counts_go_on_and_peers_start_anew() -> None:
    ledger = Ledger.restore(counted().stats(), lambda: 1000.0)
    assert ledger.stats()["peers"] == swarm(0, 0, bytes_in=1000, bytes_out=2000)
    ledger.hit("disk", ledger.route(ISSUES), 1, 1)
    ledger.peers(1, 1, {"bytes_in": 5, "bytes_out": 6})
    stats = ledger.stats()
    assert stats["requests"] == 6
    assert stats["routes"][0] == {"route": ISSUES, "requests": 5, "saved": 4}
    assert stats["peers"] == swarm(1, 1, bytes_in=1005, bytes_out=2006)


@pytest.mark.parametrize(
    "broken",
    [{"requests": -1}, {"hits": {"memory": "many"}}, {"routes": [{"requests": 1}]}, {"quota": 3}, [], None],
    ids=["negative", "text", "no route", "number", "list", "null"],
)
def test_what_is_no_ledger_is_refused_in_a_sentence(broken: Any) -> None:
    with pytest.raises(ValueError, match="not statistics of a p2pcache node"):
        Ledger.restore(broken)


def test_a_newer_version_may_have_more_fields() -> None:
    assert read({"requests": 3, "bypassed": 1, "from_the_future": {}}).cacheable == 2


OPERATIONS = st.one_of(
    st.tuples(st.just("hit"), st.sampled_from(TIERS), st.integers(0, 9), st.integers(0, 9)),
    st.tuples(st.just("revalidated"), st.booleans()),
    st.tuples(st.just("miss")),
    st.tuples(st.just("bypassed")),
)
ROUTES = st.sampled_from(["GET /a", "GET /b", "POST /c"])


def play(ledger: Any, operations: Any) -> None:
    for name, (kind, *args) in operations:
        route = ledger.route(name)
        match kind:
            case "hit":
                ledger.hit(args[0], route, args[1], args[2])
            case "revalidated":
                ledger.revalidated(route, 1, 1, charged=args[0])
            case _:
                getattr(ledger, kind)(route)


def check(stats: Any, operations: Any) -> None:
    kinds = [kind for _, (kind, *_) in operations]
    free = sum(k == "hit" or (k == "revalidated" and not args[0]) for _, (k, *args) in operations)
    cacheable = len(kinds) - kinds.count("bypassed")
    assert stats["requests"] == len(operations)
    assert stats["requests"] == sum(stats["hits"].values()) + stats["revalidated"] + stats["misses"] + stats["bypassed"]
    assert stats["misses"] == kinds.count("miss")
    assert stats["api_calls_saved"] == free
    assert stats["hit_rate"] == (round(free / cacheable, 4) if cacheable else 0.0)
    assert sum(r["requests"] for r in stats["routes"]) == len(operations)
    assert sum(r["saved"] for r in stats["routes"]) == free


@given(st.lists(st.tuples(ROUTES, OPERATIONS), max_size=40), st.integers(0, 40))
def test_the_numbers_add_up_in_one_run_and_across_restarts(operations: Any, cut: int) -> None:
    whole, first, second = Ledger(), Ledger(), Ledger()
    play(whole, operations)
    play(first, operations[:cut])
    play(second, operations[cut:])
    restored = Ledger.restore(first.stats())
    play(restored, operations[cut:])
    check(whole.stats(), operations)
    assert restored.stats() == whole.stats()
    assert merge(first.stats(), second.stats()) == whole.stats()


def test_merge_takes_the_later_view_of_quota_and_peers() -> None:
    earlier, later = counted(), counted()
    later.quota("actions:octo/app", "core", 1000, 800, 4000)
    later.peers(1, 4, {"bytes_in": 10, "bytes_out": 20})
    stats = merge(earlier.stats(), later.stats(), lambda: 1000.0)
    assert stats["quota"][0]["remaining"] == 800
    assert stats["peers"] == swarm(1, 4, bytes_in=1010, bytes_out=2020)
    assert stats["upstream"]["by_status"] == {"200": 2, "304": 2}
    assert stats["errors"] == {"peer_timeout": 2}

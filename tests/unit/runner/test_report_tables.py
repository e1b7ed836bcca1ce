"""Bars, resets and the order of what a person looks at first."""

import pytest

from p2pcache.ledger.stats import PeerStats, ProgramStats, QuotaStats, RouteStats, Stats
from p2pcache.runner.report_tables import EMPTY, FULL, bar, details, tables, utc


@pytest.mark.parametrize(
    ("part", "whole", "full"),
    [(0, 10, 0), (10, 10, 10), (5, 10, 5), (1, 1000, 1), (999, 1000, 9), (11, 10, 10), (3, 0, 0), (-1, 10, 0)],
)
def test_a_bar_is_full_only_for_all_and_empty_only_for_nothing(part: int, whole: int, full: int) -> None:
    assert bar(part, whole) == FULL * full + EMPTY * (10 - full)


@pytest.mark.parametrize(("seconds", "shown"), [(0, ""), (1_790_000_000, "14:13 UTC"), (10**30, "")])
def test_a_reset_is_a_time_of_day_or_nothing(seconds: int, shown: str) -> None:
    assert utc(seconds) == shown


def test_the_quota_of_this_job_stands_first_with_a_bar_and_its_reset() -> None:
    stats = Stats(
        requests=1,
        misses=1,
        scope="actions:octo/app",
        quota=[
            QuotaStats("token:ab", "core", 5000, 5000, 0),
            QuotaStats("actions:octo/app", "core", 1000, 500, 1_790_000_000),
        ],
    )
    quota = next(table for table in tables(stats) if table.title == "Quota")
    assert quota.rows[0] == ("actions:octo/app, core", "500", "1000", FULL * 5 + EMPTY * 5, "14:13 UTC")
    assert quota.rows[1] == ("token:ab, core", "5000", "5000", FULL * 10, "")


def test_operations_show_how_much_of_them_was_saved() -> None:
    stats = Stats(requests=4, misses=4, routes=[RouteStats("GET /user", 4, 3)])
    routes = next(table for table in tables(stats) if table.title == "Busiest operations")
    assert routes.rows == [("GET /user", "4", "3", FULL * 8 + EMPTY * 2)]


def test_peers_are_shown_where_there_were_any() -> None:
    met = Stats(peers=PeerStats(connected=0, known=0, joined=2, blocks_in=3, bytes_in=1_500_000))
    *_, peers = tables(met)
    assert ("sessions since the start", "2") in peers.rows
    assert ("received", "3 answers, 1.5 MB") in peers.rows
    assert ("sent", "0 answers, 0 B") in peers.rows
    *_, peers = tables(Stats())
    assert not peers.rows


def test_nothing_is_explained_of_a_node_that_did_nothing() -> None:
    assert not [table for table in details(Stats()) if table.rows]


def test_clients_without_a_base_url_are_counted_by_their_kind() -> None:
    stats = Stats(programs={"curl": ProgramStats(2, 1), "node": ProgramStats(8, 8)})
    programs = next(table for table in tables(stats) if table.title == "Clients without a base URL")
    assert [row[:3] for row in programs.rows] == [("node", "8", "8"), ("curl", "2", "1")]
    assert not next(table for table in tables(Stats()) if table.title == "Clients without a base URL").rows

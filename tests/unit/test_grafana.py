"""The dashboard asks for metrics that there are, by labels that they have; promtool parses it in tests/e2e."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from p2pcache.ledger.metrics import exposition
from p2pcache.ledger.stats import QuotaStats, RouteStats, ServiceStats, Stats, UpstreamStats
from tests.support.dashboard import DASHBOARD, expressions

OF_PROMETHEUS = {"job", "instance"}


def exposed() -> dict[str, set[str]]:
    """The names of a busy node's samples, with the labels of each."""
    stats = Stats(
        hits={"memory": 1},
        upstream=UpstreamStats(by_status={"200": 1}),
        quota=[QuotaStats("anonymous", "core", 60, 59, 1)],
        routes=[RouteStats("GET /user", 1, 1)],
        errors={"upstream": 1},
        rules={"fresh": 1},
        stores=[ServiceStats("s3")],
    )
    text = exposition(msgspec.to_builtins(stats)).decode()
    return {s.name: set(s.labels) for family in text_string_to_metric_families(text) for s in family.samples}


EXPOSED = exposed()


def asked() -> Iterator[tuple[str, str]]:
    for expression in expressions():
        for name in re.findall(r"\bp2pcache_\w+", expression):
            yield name, expression


@pytest.mark.parametrize(("name", "expression"), list(asked()))
def test_a_metric_of_the_dashboard_is_there_and_has_its_labels(name: str, expression: str) -> None:
    assert name in EXPOSED
    by = {label for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in re.findall(r"\w+", group)}
    assert by <= EXPOSED[name] | OF_PROMETHEUS


def test_a_counter_is_asked_for_its_rate() -> None:
    for name, expression in asked():
        if name.endswith("_total"):
            assert re.search(rf"(rate|increase)\({name}\b", expression), expression


def test_legends_have_the_labels_that_are_left() -> None:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            labels = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            kept = {each for group in re.findall(r"\bby \(([^)]*)\)", target["expr"]) for each in group.split(", ")}
            assert labels <= kept, target


def test_panels_stand_side_by_side() -> None:
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for grid in [panel["gridPos"]]
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])

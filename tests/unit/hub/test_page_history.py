import tracemalloc

import pytest

from p2pcache.hub.page_history import (
    DAY_EVERY,
    DAY_SAMPLES,
    HOUR_SAMPLES,
    LEAST_SPAN,
    MAX_INCIDENTS,
    MAX_POINTS,
    SAMPLE_SECONDS,
    History,
    Sample,
    points,
)
from p2pcache.ledger.stats import PeerStats, Stats


def counted(cacheable: int, saved: int, given: int = 0, **errors: int) -> Stats:
    return Stats(requests=cacheable, api_calls_saved=saved, peers=PeerStats(blocks_given=given), errors=dict(errors))


def test_an_hour_and_a_day_are_kept_and_no_more() -> None:
    history = History()
    for i in range(3 * HOUR_SAMPLES):
        history.take(counted(i, i), i * SAMPLE_SECONDS)
    assert len(history.hour) == HOUR_SAMPLES
    assert history.hour[-1].at - history.hour[0].at == pytest.approx(3600, abs=SAMPLE_SECONDS)
    assert [sample.cacheable for sample in history.day] == list(range(0, 3 * HOUR_SAMPLES, DAY_EVERY))
    assert history.day.maxlen == DAY_SAMPLES
    assert DAY_SAMPLES * DAY_EVERY * SAMPLE_SECONDS == 86_400


def test_a_full_history_grows_no_more() -> None:
    history, stats = History(), counted(10**12, 10**12, 10**12, **{f"kind{i}": 1 for i in range(64)})
    tracemalloc.start()
    try:
        for i in range(DAY_SAMPLES * DAY_EVERY + 100):
            history.take(stats, 1.8e9 + i * SAMPLE_SECONDS)
        full, _ = tracemalloc.get_traced_memory()
        for i in range(3 * HOUR_SAMPLES):
            history.take(stats, 1.9e9 + i * SAMPLE_SECONDS)
        later, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert later - full < 10_000
    assert full < 500_000


def test_errors_that_come_together_are_one_incident() -> None:
    history = History()
    history.take(counted(0, 0, upstream=7), 1000)  # of before this page: nobody knows when
    assert not history.incidents
    history.take(counted(0, 0, upstream=8), 1005)
    history.take(counted(0, 0, upstream=10, cache=1), 1010)
    history.take(counted(0, 0, upstream=10, cache=1), 1200)
    history.take(counted(0, 0, upstream=11, cache=1), 1205)
    assert [(i.at, i.kind, i.times) for i in history.incidents] == [
        (1010, "upstream", 3),
        (1010, "cache", 1),
        (1205, "upstream", 1),
    ]


def test_incidents_are_bounded_and_those_of_peers_stand_elsewhere() -> None:
    history = History()
    for i in range(50):
        history.take(counted(0, 0, upstream=i, refused=i, dropped=i), i * 100.0)
    assert len(history.incidents) == MAX_INCIDENTS
    assert {incident.kind for incident in history.incidents} == {"upstream"}


def test_a_stretch_has_what_came_in_it() -> None:
    found, width = points([Sample(1000, 10, 5, 0), Sample(1060, 20, 14, 2), Sample(1120, 20, 14, 2)], SAMPLE_SECONDS)
    assert width == LEAST_SPAN
    assert [(point.start, point.cacheable, point.saved, point.given, point.rate) for point in found] == [
        (0.0, 10, 9, 2, 0.9),
        (0.5, 0, 0, 0, None),
    ]


@pytest.mark.parametrize("samples", [[], [Sample(1000, 1, 1, 1)]], ids=["none", "one"])
def test_nothing_is_drawn_from_less_than_two_samples(samples: list[Sample]) -> None:
    assert points(samples, SAMPLE_SECONDS) == ([], LEAST_SPAN)


def test_a_full_chart_has_few_stretches_and_leaves_no_request_out() -> None:
    samples = [Sample(1000 + i * SAMPLE_SECONDS, i * 3, i * 2, i) for i in range(HOUR_SAMPLES)]
    found, width = points(samples, SAMPLE_SECONDS)
    assert len(found) <= MAX_POINTS + 1
    assert width == pytest.approx(3600, abs=SAMPLE_SECONDS)
    first = next(i for i, sample in enumerate(samples) if 1 - (samples[-1].at - sample.at) / width >= found[0].start)
    assert sum(point.cacheable for point in found) == samples[-1].cacheable - samples[first].cacheable


def test_a_stretch_keeps_its_samples_while_others_come() -> None:
    samples = [Sample(1000 + i * SAMPLE_SECONDS, i * i, 0, 0) for i in range(HOUR_SAMPLES + 1)]
    before, _ = points(samples[:-1], SAMPLE_SECONDS)
    after, _ = points(samples[1:], SAMPLE_SECONDS)
    assert [point.cacheable for point in before][2:-2] == [point.cacheable for point in after][2:-2] or (
        [point.cacheable for point in before][2:-2] == [point.cacheable for point in after][1:-3]
    )


def test_a_ledger_that_went_back_is_nothing_and_not_less() -> None:
    found, _ = points([Sample(1000, 10, 5, 0), Sample(1060, 0, 0, 0)], SAMPLE_SECONDS)
    assert found[0].cacheable == 0

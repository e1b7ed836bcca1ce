import math

import pytest

from p2pcache.stores.actions.pacing import Pace, Pacing, Step

PACE = Pace()


class Paced:
    """A pacing whose jitter is a half, at a time that the test sets."""

    def __init__(self, authors: int = 1) -> None:
        self.now = 1000.0
        self.pacing = Pacing(lambda: self.now, lambda: 0.5)
        self.pacing.authors = authors

    def next(self, *, cold: bool = False, news: int = 0) -> tuple[Step | None, float]:
        step, seconds = self.pacing.next(cold=cold, news=news)
        return (None if seconds == math.inf else step), seconds


def test_without_a_reason_nothing_is_done() -> None:
    assert Paced().next() == (None, math.inf)


def test_the_first_look_up_is_at_once() -> None:
    assert Paced().next(cold=True) == (Step.READ, 0.0)


def test_look_ups_that_find_nothing_new_are_further_and_further_apart() -> None:
    paced, gaps = Paced(), []
    for _ in range(8):
        paced.pacing.read(new=False)
        gaps.append(round(paced.next(cold=True)[1] / 1.05, 2))
        paced.now += 100.0
    assert gaps[:4] == [7.5, 11.25, 16.88, 25.31]
    assert set(gaps[4:]) == {PACE.longest_read}
    paced.pacing.read(new=True)
    assert paced.next(cold=True)[1] == pytest.approx(PACE.read * 1.05)


@pytest.mark.parametrize(("authors", "gap"), [(1, 5.0), (10, 5.0), (20, 6.0), (21, 21.0), (50, 50.0)])
def test_many_authors_look_up_less_often(authors: int, gap: float) -> None:
    paced = Paced(authors)
    paced.pacing.read(new=True)
    step, seconds = paced.next(cold=True)
    assert step is Step.READ
    assert seconds == pytest.approx(gap * 1.05)
    assert paced.next(cold=False) == (None, math.inf)


def test_the_first_pack_comes_a_while_after_the_first_news() -> None:
    paced = Paced()
    assert paced.next(news=1) == (Step.WRITE, PACE.first * 1.25)
    paced.now += 2.0
    assert paced.next(news=9) == (Step.WRITE, PACE.first * 1.25 - 2.0)
    assert paced.next(news=0) == (None, math.inf)


def test_packs_are_further_and_further_apart() -> None:
    paced, gaps = Paced(authors=2), []
    for _ in range(4):
        paced.pacing.wrote()
        paced.pacing.read(new=False)
        gaps.append(round(paced.next(news=5)[1] / 1.125, 2))
        paced.now += 100.0
    assert gaps == [20.0, 40.0, 60.0, 60.0]
    paced.pacing.authors = 40
    paced.pacing.wrote()
    assert paced.next(news=100)[1] == pytest.approx(80.0 * 1.125)


@pytest.mark.parametrize(
    ("authors", "news", "written"), [(1, 1, True), (2, 1, False), (2, 2, True), (20, 10, False), (20, 11, True)]
)
def test_where_many_write_a_pack_needs_more_news(authors: int, news: int, written: bool) -> None:
    assert (Paced(authors).next(news=news)[0] is Step.WRITE) is written


def test_one_that_is_alone_writes_once() -> None:
    paced = Paced()
    paced.pacing.wrote()
    paced.pacing.read(new=False)
    assert paced.next(news=50) == (None, math.inf)
    paced.pacing.authors = 2
    assert paced.next(news=50)[0] is Step.WRITE


def test_a_pack_is_followed_by_a_look_up_but_for_where_many_write() -> None:
    paced = Paced(authors=20)
    paced.pacing.wrote()
    assert paced.next() == (Step.READ, PACE.check * 1.25)
    paced.pacing.read(new=False)
    assert paced.next() == (None, math.inf)
    paced.pacing.authors = 21
    paced.pacing.wrote()
    assert paced.next() == (None, math.inf)


@pytest.mark.parametrize(("limited", "goes_on"), [(Step.READ, Step.WRITE), (Step.WRITE, Step.READ)])
def test_a_limit_pauses_one_kind_of_step(limited: Step, goes_on: Step) -> None:
    paced = Paced()
    paced.pacing.limited(limited, 30.0)
    assert (paced.pacing.pause(limited), paced.pacing.pause(goes_on)) == (30.0, 0.0)
    assert paced.next(cold=True, news=5)[0] is goes_on
    paced.now += 31.0
    assert paced.pacing.pause(limited) == 0.0


def test_a_denial_is_for_the_job() -> None:
    paced = Paced()
    paced.pacing.denied(Step.WRITE)
    assert paced.next(cold=True, news=9) == (Step.READ, 0.0)
    assert paced.next(news=9) == (None, math.inf)
    paced.pacing.denied(Step.READ)
    paced.now += 1e6
    assert paced.next(cold=True, news=9) == (None, math.inf)
    denied = Paced()
    denied.pacing.denied(Step.READ)
    assert denied.next(news=9) == (None, math.inf), "it would displace what others wrote"


def test_failures_in_a_row_rest_the_service() -> None:
    paced = Paced()
    paced.pacing.failed()
    assert paced.pacing.pause(Step.READ) == paced.pacing.pause(Step.WRITE) == PACE.read
    paced.pacing.failed()
    assert paced.next(cold=True) == (Step.READ, PACE.rest)
    paced.now += PACE.rest
    paced.pacing.read(new=False)
    paced.pacing.failed()
    assert paced.pacing.pause(Step.READ) == PACE.read, "one success ends the row"


def test_a_failure_shortens_no_pause() -> None:
    paced = Paced()
    paced.pacing.limited(Step.READ, 300.0)
    paced.pacing.failed()
    assert paced.pacing.pause(Step.READ) == 300.0


def test_a_leader_writes_soon_and_often_for_a_while() -> None:
    paced = Paced(authors=20)
    paced.pacing.lead()
    assert paced.next(news=1) == (Step.WRITE, PACE.leader_first * 1.25), "whatever the others write"
    paced.pacing.wrote()
    paced.pacing.read(new=False)
    assert paced.next(news=1) == (Step.WRITE, PACE.leader_write * 1.125)
    paced.now += PACE.leading
    paced.pacing.wrote()
    paced.pacing.read(new=False)
    assert paced.next(news=1) == (None, math.inf)
    assert paced.next(news=11)[1] > PACE.leader_write * 1.125


def test_a_leader_that_is_alone_goes_on_writing() -> None:
    paced = Paced()
    paced.pacing.lead()
    paced.pacing.wrote()
    paced.pacing.read(new=False)
    assert paced.next(news=1)[0] is Step.WRITE


@pytest.mark.parametrize(("authors", "gap"), [(1, PACE.urgent), (20, 6.0), (30, 30.0)])
def test_an_urgent_look_up_is_sooner_but_not_at_once(authors: int, gap: float) -> None:
    paced = Paced(authors)
    for _ in range(5):
        paced.pacing.read(new=False)
    paced.pacing.urge()
    assert paced.next(cold=True)[1] == pytest.approx(gap)
    paced.now += 100.0
    paced.pacing.urge()
    assert paced.next(cold=True) == (Step.READ, 0.0)

from __future__ import annotations

from p2pcache.github.trial import FOREIGN, MAX_SHAPES, PATIENCE, RELAPSE, RETRY_SECONDS, RuleTrial

REPO, ISSUES = "GET /repos/{owner}/{repo} json", "GET /repos/{owner}/{repo}/issues json"


def observe(trial: RuleTrial, agrees: bool, times: int = 1, shape: str = REPO, now: float = 0.0) -> list[bool]:
    return [trial.observe(shape, now, agrees=agrees) for _ in range(times)]


def test_it_is_used_before_it_is_known() -> None:
    trial = RuleTrial()
    assert trial.usable(REPO, 0.0)
    assert trial.state(REPO, 0.0) == "untested"
    assert trial.summary(0.0) == {"state": "untested", "agreed": 0, "disagreed": 0, "given_up": [], "lists": True}


def test_one_agreement_proves_it() -> None:
    trial = RuleTrial()
    assert observe(trial, agrees=True) == [False]
    assert trial.state(REPO, 0.0) == "holds"
    assert trial.state(ISSUES, 0.0) == "untested"
    assert trial.summary(0.0)["state"] == "holds"


def test_a_shape_that_never_agrees_is_given_up_once() -> None:
    trial = RuleTrial()
    flips = observe(trial, agrees=False, times=100)
    assert (flips.index(True), flips.count(True)) == (PATIENCE - 1, 1)
    assert not trial.usable(REPO, 0.0)
    assert trial.given_up(0.0) == [REPO]


def test_a_shape_is_given_up_and_not_the_rule() -> None:
    trial = RuleTrial()
    observe(trial, agrees=True, shape=ISSUES)
    observe(trial, agrees=False, times=PATIENCE)
    assert (trial.state(REPO, 0.0), trial.state(ISSUES, 0.0)) == ("given up", "holds")
    assert trial.summary(0.0)["state"] == "holds"


def test_it_survives_unstable_bodies() -> None:
    trial = RuleTrial()
    observe(trial, agrees=True)
    for _ in range(100):
        assert not any(observe(trial, agrees=False, times=RELAPSE - 1))
        observe(trial, agrees=True)
    assert trial.state(REPO, 0.0) == "holds"
    assert (trial.agreed, trial.disagreed) == (101, 100 * (RELAPSE - 1))


def test_a_change_of_the_rule_is_noticed_and_its_return_too() -> None:
    trial = RuleTrial()
    observe(trial, agrees=True)
    flips = observe(trial, agrees=False, times=RELAPSE)
    assert flips.index(True) == RELAPSE - 1
    assert not trial.usable(REPO, 0.0)
    observe(trial, agrees=True)
    assert trial.usable(REPO, 0.0)
    assert not any(observe(trial, agrees=False))


def test_after_an_hour_it_is_tried_again() -> None:
    trial = RuleTrial()
    observe(trial, agrees=False, times=PATIENCE)
    assert not trial.usable(REPO, RETRY_SECONDS - 1)
    later = RETRY_SECONDS + 1
    assert trial.usable(REPO, later)
    flips = observe(trial, agrees=False, times=PATIENCE, now=later)
    assert flips.index(True) == PATIENCE - 1
    assert not trial.usable(REPO, later)


def test_where_nothing_agrees_no_further_shape_is_tried() -> None:
    trial = RuleTrial()
    for number in range(FOREIGN):
        assert not trial.foreign(0.0)
        observe(trial, agrees=False, times=PATIENCE, shape=f"GET /{number} json")
    assert trial.foreign(0.0)
    assert not trial.usable("GET /another json", 0.0)
    assert trial.summary(0.0)["state"] == "given up"
    assert trial.usable("GET /another json", RETRY_SECONDS)
    observe(trial, agrees=True, shape="GET /another json")
    assert trial.usable("GET /a third json", 0.0)


def test_shapes_are_bounded() -> None:
    trial = RuleTrial()
    observe(trial, agrees=False, times=PATIENCE)
    for number in range(MAX_SHAPES):
        observe(trial, agrees=True, shape=str(number))
    assert trial.given_up(0.0) == []

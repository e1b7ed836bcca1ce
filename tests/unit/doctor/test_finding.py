"""What a finding needs to be one."""

from collections.abc import Callable

import pytest

from p2pcache.doctor.finding import CheckFinding, CheckVerdict, NotApplicableError, Patient, failed, warned, worst


@pytest.mark.parametrize("make", [failed, warned])
def test_what_is_not_as_it_should_be_needs_an_advice(make: Callable[..., CheckFinding]) -> None:
    with pytest.raises(ValueError, match="needs an advice"):
        make("it is broken", "")


def test_the_worst_verdict_counts() -> None:
    everything = list(CheckVerdict)
    assert worst(everything) is CheckVerdict.FAIL
    assert worst([CheckVerdict.PASS, CheckVerdict.WARN, CheckVerdict.SKIP]) is CheckVerdict.WARN
    assert worst([CheckVerdict.PASS, CheckVerdict.SKIP]) is CheckVerdict.PASS
    assert worst([]) is CheckVerdict.SKIP


def test_settings_that_cannot_be_read_say_why() -> None:
    with pytest.raises(NotApplicableError, match="CACHE_TTL: read 'soon'"):
        _ = Patient(problem="CACHE_TTL: read 'soon'").settings

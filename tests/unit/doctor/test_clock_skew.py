"""Check 11: how far the clock is off, and what an answer must have to tell."""

from email.utils import formatdate
from pathlib import Path

import pytest

from p2pcache.doctor.clock_skew import SET_CLOCK, examine, judged
from p2pcache.doctor.finding import CheckVerdict
from tests.support.http_service import http_service
from tests.support.patients import findings, patient

NOW = 1_800_000_000.0
UPSTREAM = "https://api.github.com"


@pytest.mark.parametrize(
    ("theirs", "verdict", "found"),
    [
        (NOW, CheckVerdict.PASS, "agrees"),
        (NOW + 5, CheckVerdict.PASS, "agrees"),
        (NOW - 5, CheckVerdict.PASS, "agrees"),
        (NOW + 30, CheckVerdict.WARN, "29 s behind"),
        (NOW - 30, CheckVerdict.WARN, "29 s ahead of"),
        (NOW + 600, CheckVerdict.FAIL, "599 s behind"),
        (NOW - 600, CheckVerdict.FAIL, "599 s ahead of"),
    ],
)
def test_a_clock_that_is_off_is_a_warning_or_a_failure(theirs: float, verdict: CheckVerdict, found: str) -> None:
    finding = judged({"date": formatdate(theirs, usegmt=True)}, NOW, NOW + 1, UPSTREAM)
    assert finding.verdict is verdict
    assert found in finding.found
    assert finding.advice == ("" if verdict is CheckVerdict.PASS else SET_CLOCK)


def test_the_age_of_a_proxys_answer_counts() -> None:
    headers = {"date": formatdate(NOW - 600, usegmt=True), "age": "600"}
    assert judged(headers, NOW, NOW, UPSTREAM).verdict is CheckVerdict.PASS


@pytest.mark.parametrize(
    "headers",
    [{}, {"date": "yesterday"}, {"date": formatdate(NOW), "age": "old"}, {"date": formatdate(NOW), "age": "nan"}],
)
def test_an_answer_without_a_time_is_a_warning(headers: dict[str, str]) -> None:
    finding = judged(headers, NOW, NOW, UPSTREAM)
    assert finding.verdict is CheckVerdict.WARN
    assert "no usable Date" in finding.found


async def test_the_api_is_asked_without_a_token(tmp_path: Path) -> None:
    async with http_service({"/rate_limit": b"{}"}) as service:
        examined = patient(tmp_path, {"upstream": service.url}, GITHUB_TOKEN="ghp_5ecre7")
        (finding,) = await findings(examine, examined)
    (asked,) = service.asked
    assert finding.verdict is CheckVerdict.PASS
    assert "authorization" not in {name.lower() for name in asked.headers}


async def test_without_a_network_it_is_a_warning(tmp_path: Path) -> None:
    (finding,) = await findings(examine, patient(tmp_path, {"upstream": "http://127.0.0.1:9"}))
    assert finding.verdict is CheckVerdict.WARN
    assert "HTTPS_PROXY" in finding.advice

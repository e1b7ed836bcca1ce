"""Lines for people and JSON for programs."""

import json

from p2pcache.doctor.examination import Examined
from p2pcache.doctor.finding import Check, CheckFinding, failed, passed, skipped, warned
from p2pcache.doctor.rendering import as_json, lines, summary


def result(number: int, *findings: CheckFinding) -> Examined:
    return Examined(Check(number, f"check {number}", "x:y"), findings, 0.25)


RESULTS = [
    result(1, passed("all there")),
    result(4, failed("nobody listens", "start a hub"), warned("slow", "be patient", "took 2 s")),
    result(9, skipped("no token")),
]


def test_lines_have_number_verdict_what_was_found_and_advice() -> None:
    text = "\n".join(line for each in RESULTS for line in lines(each, coloured=False))
    assert text.splitlines() == [
        " 1  pass  check 1           all there",
        " 4  fail  check 4           nobody listens",
        "                            -> start a hub",
        "    warn                    slow",
        "                            took 2 s",
        "                            -> be patient",
        " 9  skip  check 9           no token",
    ]


def test_colours_change_nothing_but_colours() -> None:
    plain, coloured = ("\n".join(lines(RESULTS[1], coloured=c)) for c in (False, True))
    assert "\x1b[31mfail\x1b[0m" in coloured
    assert "\x1b" not in plain


def test_the_last_line_counts_in_words() -> None:
    assert summary(RESULTS) == "3 checks: 1 passed, 1 failed, 1 skipped"
    assert summary([result(1, warned("a", "b"))]) == "1 check: 1 warning"
    assert summary([result(n, warned("a", "b")) for n in (1, 2)]) == "2 checks: 2 warnings"


def test_json_is_as_documented() -> None:
    assert json.loads(json.dumps(as_json(RESULTS[1:2]))) == {
        "version": 1,
        "checks": [
            {
                "number": 4,
                "name": "check 4",
                "verdict": "fail",
                "seconds": 0.25,
                "findings": [
                    {"verdict": "fail", "found": "nobody listens", "advice": "start a hub", "detail": []},
                    {"verdict": "warn", "found": "slow", "advice": "be patient", "detail": ["took 2 s"]},
                ],
            }
        ],
        "verdict": "fail",
        "summary": "1 check: 1 failed",
    }

"""The table for a terminal, Markdown and JSON, of the same outcomes."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import msgspec
from rich.console import Console

from p2pcache import __version__
from p2pcache.scenarios import side_by_side
from p2pcache.scenarios.fleet import Workload
from p2pcache.scenarios.outcome import Figures, Outcome, Result

LOAD = Workload()
SHARED = Figures(
    runners=3, connected=3, peers=(3, 2, 3), requests=90, charged=10, not_modified=2, hit_rate=0.8889, median_ms=1.25,
    p95_ms=131.4,
)  # fmt: skip
ALONE = Figures(
    runners=3, connected=0, peers=(0, 0, 0), requests=90, charged=90, not_modified=0, hit_rate=0.0, median_ms=103.4,
    p95_ms=110.0,
)  # fmt: skip
OUTCOMES = (
    Outcome(name="no-cache", title="no cache", status=Result.OK, figures=ALONE),
    Outcome(name="one-host", title="P2P on one host", status=Result.OK, figures=SHARED),
    Outcome(name="bridge", title="bridge", status=Result.FAILED, reason="runner-1 was connected to no peer | [x]"),
    Outcome(name="ipfs", title="over IPFS", status=Result.MISSING, reason="ipfs is not on the PATH: install Kubo"),
)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("| ").split("|")]


def test_markdown_is_a_table_its_sentences_and_the_workload() -> None:
    table, sentences, workload = side_by_side.markdown(OUTCOMES, LOAD).split("\n\n")
    head, rule, alone, shared, failed, missing = table.splitlines()
    assert cells(head) == list(side_by_side.HEAD)
    assert cells(rule) == ["---", *["---:"] * 7]
    assert cells(alone) == ["no cache", "-", "-", "90 of 90", "0", "0 %", "103 ms", "110 ms"]
    assert cells(shared) == ["P2P on one host", "3 of 3", "2 to 3", "10 of 90", "2", "88 %", "1.2 ms", "131 ms"]
    assert cells(failed)[:3] == ["bridge", "failed", "-"]
    assert cells(missing)[:3] == ["over IPFS", "left out", "-"]
    assert sentences.splitlines() == [
        "- bridge: failed: runner-1 was connected to no peer \\| [x]",
        "- over IPFS: left out: ipfs is not on the PATH: install Kubo",
    ]
    assert workload == side_by_side.described(LOAD)


def test_markdown_of_what_all_ran_has_no_sentences_of_reasons() -> None:
    assert side_by_side.markdown(OUTCOMES[:2], LOAD).count("\n\n") == 1


def test_json_has_every_figure() -> None:
    found = json.loads(side_by_side.as_json(OUTCOMES, LOAD))
    assert found["version"] == __version__
    assert found["workload"] == {"runners": 3, "resources": 10, "rounds": 3, "latency": 0.1}
    assert [(each["name"], each["status"]) for each in found["scenarios"]] == [
        ("no-cache", "ok"), ("one-host", "ok"), ("bridge", "failed"), ("ipfs", "missing"),
    ]  # fmt: skip
    assert found["scenarios"][1]["figures"] == {
        "runners": 3, "connected": 3, "peers": [3, 2, 3], "requests": 90, "charged": 10, "not_modified": 2,
        "hit_rate": 0.8889, "median_ms": 1.25, "p95_ms": 131.4,
    }  # fmt: skip
    assert found["scenarios"][3]["figures"] is None
    assert found["scenarios"][3]["reason"] == OUTCOMES[3].reason


def test_the_documents_sample_has_the_reports_form() -> None:
    document = Path(__file__).parents[3] / "docs/scenarios.md"
    (sample,) = re.findall(r"```json\n(.*?)```", document.read_text("utf-8"), re.DOTALL)
    written = json.loads(sample)
    assert json.loads(msgspec.json.encode(msgspec.convert(written, side_by_side.Report))) == written


def test_the_terminals_table_has_a_line_for_each_and_fits() -> None:
    output = io.StringIO()
    Console(file=output, width=100).print(side_by_side.terminal(OUTCOMES))
    lines = [line.strip() for line in output.getvalue().splitlines() if line.strip()]
    assert [line.split("  ")[0] for line in lines[2:]] == [outcome.title for outcome in OUTCOMES]
    assert lines[3].split() == re.split(" ", "P2P on one host 3 of 3 2 to 3 10 of 90 2 88 % 1.2 ms 131 ms")


def test_the_workload_is_described_in_its_figures() -> None:
    said = side_by_side.described(Workload(runners=4, resources=5, rounds=2, latency=0.05))
    assert said.startswith("4 jobs of one repository, a token each, read 5 resources 2 times: 40 requests.")
    assert "50 ms" in said


def test_a_line_for_each_that_ended() -> None:
    assert side_by_side.brief(OUTCOMES[1]) == "10 of 90 API calls, median 1.2 ms"
    assert side_by_side.brief(OUTCOMES[3]) == f"left out: {OUTCOMES[3].reason}"

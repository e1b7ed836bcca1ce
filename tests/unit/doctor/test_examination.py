"""The frame around checks: deadlines, exceptions, order, and what is skipped when the installation is broken."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from types import ModuleType

import pytest

from p2pcache.doctor.examination import Examined, examined
from p2pcache.doctor.finding import (
    Check,
    CheckFinding,
    CheckVerdict,
    NotApplicableError,
    Patient,
    failed,
    passed,
    skipped,
    warned,
)

NEVER = 60.0
ENOUGH = threading.Event()
"""What frees the thread of a check that hangs, once the test has ended."""


async def good(patient: Patient) -> Iterable[CheckFinding]:
    return [passed(f"{patient.environ['NAME']} is well")]


def thread(patient: Patient) -> Iterable[CheckFinding]:
    yield warned("in a thread", "mind it")
    yield passed("still there")


def raising(patient: Patient) -> Iterable[CheckFinding]:
    raise RuntimeError("it\nbroke")


def half_way(patient: Patient) -> Iterable[CheckFinding]:
    yield passed("so far")
    raise RuntimeError("it broke")


async def slow(patient: Patient) -> Iterable[CheckFinding]:
    await asyncio.sleep(NEVER)
    return []


def blocking(patient: Patient) -> Iterable[CheckFinding]:
    ENOUGH.wait(NEVER)
    return []


def elsewhere(patient: Patient) -> Iterable[CheckFinding]:
    raise NotApplicableError("no hub here")


def needs_settings(patient: Patient) -> Iterable[CheckFinding]:
    return [passed(str(patient.settings.hub))]


def nothing(patient: Patient) -> Iterable[CheckFinding]:
    return []


def many(patient: Patient) -> Iterable[CheckFinding]:
    return (passed(str(i)) for i in range(10_000))


def broken_installation(patient: Patient) -> Iterable[CheckFinding]:
    return [failed("msgspec is missing", "install it")]


@pytest.fixture(autouse=True)
def checks_of_this_file(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = ModuleType("checks_of_a_test")
    module.__dict__.update({name: value for name, value in globals().items() if not name.startswith("__")})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    ENOUGH.clear()
    yield
    ENOUGH.set()


def check(number: int, name: str, seconds: float = 20, *, bare: bool = False) -> Check:
    return Check(number, name, f"checks_of_a_test:{name}", seconds, bare)


async def results(*checks: Check, patient: Patient | None = None) -> list[Examined]:
    return [result async for result in examined(patient or Patient({"NAME": "the node"}), checks)]


async def only(name: str, seconds: float = 20, patient: Patient | None = None) -> tuple[CheckFinding, ...]:
    (result,) = await results(check(1, name, seconds), patient=patient)
    return result.findings


async def test_coroutines_and_generators_are_checks() -> None:
    first, second = await results(check(1, "good"), check(2, "thread"))
    assert first.findings == (passed("the node is well"),)
    assert second.findings == (warned("in a thread", "mind it"), passed("still there"))
    assert (first.verdict, second.verdict) == (CheckVerdict.PASS, CheckVerdict.WARN)


@pytest.mark.parametrize("name", ["raising", "half_way"])
async def test_an_exception_is_a_failure_with_a_sentence(name: str) -> None:
    (finding,) = await only(name)
    assert finding.verdict is CheckVerdict.FAIL
    assert finding.found.startswith("the check itself failed: RuntimeError: it")
    assert finding.found.endswith("broke")
    assert "--only 1" in finding.advice


@pytest.mark.parametrize("name", ["slow", "blocking"])
async def test_a_check_that_hangs_is_a_failure_when_its_deadline_passes(name: str) -> None:
    (finding,) = await only(name, 0.05)
    assert (finding.verdict, finding.found) == (CheckVerdict.FAIL, "no result within 0.05 s")
    assert finding.advice


async def test_a_check_that_does_not_apply_says_why() -> None:
    assert await only("elsewhere") == (skipped("no hub here"),)
    assert await only("nothing") == (skipped("nothing to examine here"),)


async def test_without_settings_what_needs_them_is_skipped_with_the_reason() -> None:
    (finding,) = await only("needs_settings", patient=Patient(problem="--share: read 'all'"))
    assert finding.verdict is CheckVerdict.SKIP
    assert "--share: read 'all'" in finding.found


async def test_a_module_that_is_missing_is_a_failure_with_advice() -> None:
    (result,) = await results(Check(3, "gone", "no_such_module_here:examine"))
    assert result.verdict is CheckVerdict.FAIL
    assert "no_such_module_here" in result.findings[0].found
    assert "check 1" in result.findings[0].advice


async def test_a_broken_installation_is_all_that_is_examined() -> None:
    first, second, third = await results(
        check(1, "broken_installation", bare=True), check(2, "good", bare=True), check(3, "raising")
    )
    assert [each.verdict for each in (first, second, third)] == [
        CheckVerdict.FAIL,
        CheckVerdict.PASS,
        CheckVerdict.SKIP,
    ]
    assert third.findings[0].found == "not examined, since check 1 failed"


async def test_checks_run_side_by_side_and_are_shown_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first waits for the second: one after the other they would never end."""
    second_ran = asyncio.Event()

    async def waits(patient: Patient) -> Sequence[CheckFinding]:
        await second_ran.wait()
        return [passed("first")]

    async def frees(patient: Patient) -> Sequence[CheckFinding]:
        second_ran.set()
        return [passed("second")]

    module = sys.modules["checks_of_a_test"]
    monkeypatch.setattr(module, "waits", waits, raising=False)
    monkeypatch.setattr(module, "frees", frees, raising=False)
    shown = await results(check(1, "waits"), check(2, "frees"))
    assert [result.findings[0].found for result in shown] == ["first", "second"]


async def test_what_is_shown_is_bounded() -> None:
    assert len(await only("many")) < 100


async def test_nobody_waits_for_the_rest_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled = asyncio.Event()

    async def waits(patient: Patient) -> Sequence[CheckFinding]:
        try:
            await asyncio.sleep(NEVER)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return []

    monkeypatch.setattr(sys.modules["checks_of_a_test"], "waits", waits, raising=False)
    results_so_far: AsyncIterator[Examined] = examined(Patient({"NAME": "x"}), [check(1, "good"), check(2, "waits")])
    await anext(results_so_far)
    await asyncio.sleep(0)
    await results_so_far.aclose()  # type: ignore[attr-defined]
    assert cancelled.is_set()


async def test_secrets_are_not_shown() -> None:
    patient = Patient({"NAME": "5ecre7value", "CACHE_SECRET": "5ecre7value"})
    (finding,) = await only("good", patient=patient)
    assert finding.found == "*** is well"

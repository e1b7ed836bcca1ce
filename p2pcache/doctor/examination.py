"""Run checks: those of the installation first, the others side by side; each within its deadline, none may raise."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import pkgutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from p2pcache.doctor.finding import (
    Check,
    CheckFinding,
    CheckVerdict,
    NotApplicableError,
    Patient,
    failed,
    skipped,
    worst,
)
from p2pcache.doctor.redaction import Redaction

T = TypeVar("T")
MOST_FINDINGS = 50
_REPORT = "run it again with --only {}; if it fails again, open an issue with this line"


@dataclass(frozen=True, slots=True)
class Examined:
    """A check that ran, its findings (at least one), and how long it took."""

    check: Check
    findings: tuple[CheckFinding, ...]
    seconds: float

    @property
    def verdict(self) -> CheckVerdict:
        """The worst of its findings'."""
        return worst(finding.verdict for finding in self.findings)


async def examined(
    patient: Patient, checks: Sequence[Check], hide: Callable[[str], str] = str
) -> AsyncIterator[Examined]:
    """Yield the checks in their order, each when it and all before it have ended.

    Where a `Check.bare` one fails, the installation is broken: the others are skipped, not run. `hide` is that of
    `Redaction`.
    """
    redaction = Redaction(patient, hide)
    broken: Check | None = None
    for check in (check for check in checks if check.bare):
        result = await _run(check, patient, redaction)
        broken = check if broken is None and result.verdict is CheckVerdict.FAIL else broken
        yield result
    others = [check for check in checks if not check.bare]
    if broken:
        for check in others:
            yield Examined(check, (skipped(f"not examined, since check {broken.number} failed"),), 0.0)
        return
    tasks = [asyncio.create_task(_run(check, patient, redaction)) for check in others]
    try:
        for task in tasks:
            yield await task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _run(check: Check, patient: Patient, redaction: Redaction) -> Examined:
    started = time.monotonic()
    try:
        async with asyncio.timeout(check.seconds) as deadline:
            found = await _in_thread(lambda: pkgutil.resolve_name(check.examine)(patient))
            if inspect.isawaitable(found):
                found = await found
            findings = tuple(found)[:MOST_FINDINGS] or (skipped("nothing to examine here"),)
    except NotApplicableError as error:
        findings = (skipped(str(error)),)
    except Exception as error:  # noqa: BLE001 - whatever a check meets, the others run and people get a sentence
        findings = (_unexpected(check, error, late=isinstance(error, TimeoutError) and deadline.expired()),)
    return Examined(check, tuple(redaction.of(finding) for finding in findings), time.monotonic() - started)


def _unexpected(check: Check, error: Exception, *, late: bool) -> CheckFinding:
    again = _REPORT.format(check.number)
    if late:
        return failed(f"no result within {check.seconds:g} s", again)
    if isinstance(error, ImportError):
        return failed(f"a package cannot be imported: {error}", "install p2pcache again; check 1 has what is missing")
    return failed(f"the check itself failed: {type(error).__name__}: {error}", again)


async def _in_thread(call: Callable[[], T]) -> T:
    """Run `call` in a thread that does not keep the process alive, unlike `asyncio.to_thread`'s."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Any] = loop.create_future()

    def deliver(value: object, error: BaseException | None) -> None:
        if result.done():
            return  # the deadline passed
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)

    def work() -> None:
        value: object = None
        caught: BaseException | None = None
        try:
            value = call()
            if inspect.isgenerator(value):
                value = tuple(value)  # what it does belongs in this thread too
        except Exception as error:  # noqa: BLE001 - raised again where it is awaited
            caught = error
        with contextlib.suppress(RuntimeError):  # the deadline passed, and the loop is closed
            loop.call_soon_threadsafe(deliver, value, caught)

    threading.Thread(target=work, daemon=True, name="doctor").start()
    return await result  # type: ignore[no-any-return]  # what `call` returned

"""Check 10: each configured backend is examined by what its declaration names, and none spoils another's."""

from __future__ import annotations

import asyncio
import pkgutil
from pathlib import Path

import pytest

from p2pcache import backends
from p2pcache.doctor import backend_details
from p2pcache.doctor.backend_details import examine
from p2pcache.doctor.finding import CheckFinding, CheckVerdict, Patient, passed
from tests.support.patients import findings, patient

PASS, WARN, FAIL, SKIP = CheckVerdict.PASS, CheckVerdict.WARN, CheckVerdict.FAIL, CheckVerdict.SKIP


@pytest.mark.parametrize("backend", [each for each in backends.known() if each.examination], ids=lambda each: each.name)
def test_the_examination_that_is_named_is_there(backend: backends.Backend) -> None:
    assert callable(pkgutil.resolve_name(backend.examination))


async def test_a_backend_that_is_not_configured_is_one_line(tmp_path: Path) -> None:
    found = await findings(examine, patient(tmp_path))
    skipped = {finding.found.partition(":")[0] for finding in found if finding.verdict is SKIP}
    assert skipped == set(backends.names()) - {"disk", "p2p"}


async def test_a_service_that_ended_is_named(tmp_path: Path) -> None:
    found = await findings(examine, patient(tmp_path, CACHE_BACKENDS="disk,storacha"))
    (ended,) = [finding for finding in found if finding.found.startswith("storacha")]
    assert (ended.verdict, "ended on" in ended.found) == (WARN, True)
    assert "remove storacha" in ended.advice


async def fine(patient: Patient) -> list[CheckFinding]:
    return [passed("fine")]


async def broken(patient: Patient) -> list[CheckFinding]:
    raise RuntimeError("with a secret in it")


async def hangs(patient: Patient) -> list[CheckFinding]:
    await asyncio.Event().wait()
    return []


async def lacks(patient: Patient) -> list[CheckFinding]:
    raise ImportError("no", name="obstore")


@pytest.mark.parametrize(
    ("examination", "found", "advice"),
    [
        (broken, "failed: RuntimeError", "--only 10"),
        (hangs, "no result within 0.05 s", "its service"),
        (lacks, "a package is missing: obstore", "pip install 'p2pcache[s3]'"),
    ],
)
async def test_one_that_cannot_be_examined_is_one_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, examination: object, found: str, advice: str
) -> None:
    both = {"s3": examination, "disk": fine}
    monkeypatch.setattr(
        pkgutil, "resolve_name", lambda name: both[name.split(".")[2].removesuffix("_examination:examine")]
    )
    monkeypatch.setattr(backend_details, "SECONDS", 0.05)
    seen = await findings(examine, patient(tmp_path, CACHE_BACKENDS="disk,s3"))
    assert seen[0] == passed("fine")
    assert (seen[1].verdict, found in seen[1].found, advice in seen[1].advice) == (FAIL, True, True), seen[1]
    assert "secret" not in repr(seen[1])

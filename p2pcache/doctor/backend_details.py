"""Check 10: each configured backend by the examination that its declaration names, side by side."""

from __future__ import annotations

import asyncio
import inspect
import pkgutil
from collections.abc import Iterable

from p2pcache import backends
from p2pcache.backends import Backend
from p2pcache.doctor.finding import CheckFinding, Patient, failed, skipped, warned

SECONDS = 25.0
"""For one backend."""


async def examine(patient: Patient) -> list[CheckFinding]:
    """Examine the backends of the settings."""
    chosen = patient.settings.backends
    every = (*backends.known(), *backends.ended())
    found = await asyncio.gather(*(_examined(patient, each) for each in every if each.name in chosen))
    others = [each.name for each in backends.known() if each.name not in chosen]
    unused = [skipped(f"{name}: not configured (--backends or CACHE_BACKENDS)") for name in others]
    return [finding for each in found for finding in each] + unused


async def _examined(patient: Patient, backend: Backend) -> Iterable[CheckFinding]:
    if backend.ended:
        return [warned(f"{backend.name}: {backend.ended}", f"remove {backend.name} from the settings")]
    if not backend.examination:
        return []
    try:
        async with asyncio.timeout(SECONDS):
            examination = pkgutil.resolve_name(backend.examination)
            if inspect.iscoroutinefunction(examination):
                return tuple(await examination(patient))
            return tuple(await asyncio.to_thread(examination, patient))
    except TimeoutError:
        return [failed(f"{backend.name}: no result within {SECONDS:g} s", "see whether its service can be reached")]
    except ImportError as error:
        extra = f"pip install 'p2pcache[{backend.extra}]'" if backend.extra else "install p2pcache again"
        return [failed(f"{backend.name}: a package is missing: {error.name}", extra)]
    except Exception as error:  # noqa: BLE001 - one backend's failure is not the others'
        again = "run it again with --only 10; if it fails again, open an issue with this line"
        return [failed(f"{backend.name}: the examination itself failed: {type(error).__name__}", again)]

"""What `p2pcache doctor` examines, for the tests of its checks."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p2pcache import settings
from p2pcache.cache.sealing import generate_secret
from p2pcache.doctor.finding import CheckFinding, Patient

SECRET = generate_secret()


def patient(directory: Path, flags: Mapping[str, str] | None = None, **variables: str) -> Patient:
    """A node's settings in `directory`, from these flags and variables."""
    environ = {"CACHE_DIR": str(directory), "HOME": str(directory), **variables}
    return Patient(environ, flags or {}, settings.load(flags, environ))


async def findings(examine: Any, patient: Patient) -> list[CheckFinding]:
    """What a check finds."""
    found = examine(patient)
    return list(await found if inspect.isawaitable(found) else found)

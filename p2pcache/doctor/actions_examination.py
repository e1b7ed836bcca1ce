"""Check 10, the backend actions: the variables of the Actions cache, and a look-up of a key that is not there."""

from __future__ import annotations

import asyncio
import secrets
import time
from pathlib import Path

from p2pcache.backends.actions import BACKEND
from p2pcache.doctor.finding import CheckFinding, Patient, failed, passed, skipped, warned
from p2pcache.gateway.ask import NodeError, ask
from p2pcache.stores.actions.cache_service import CacheService, DeniedError, LimitedError, ServiceError, grant_of
from p2pcache.values import Secret
from p2pcache.wording import counted

_URL, _TOKEN = "ACTIONS_RESULTS_URL", "ACTIONS_RUNTIME_TOKEN"
_PERSIST = "use the Action with persist: true; it hands the variables to the node"


async def examine(patient: Patient) -> list[CheckFinding]:
    """Ask the service, where this process has its variables; else the node that does."""
    url, token = (patient.environ.get(name, "").strip() for name in (_URL, _TOKEN))
    if patient.environ.get("GITHUB_ACTIONS") != "true":
        return [skipped("actions: only a job of GitHub Actions has an Actions cache")]
    if patient.environ.get("ACT") == "true":
        return [skipped("actions: act has no such service")]
    if url and token:
        return [await _look_up(url, Secret(token))]
    if patient.node is not None:
        return [await asyncio.to_thread(_of_node, patient.node)]
    missing = " and ".join(name for name, value in ((_URL, url), (_TOKEN, token)) if not value)
    return [
        warned(f"actions: {missing} not set: run steps get none of them, JavaScript and Docker actions do", _PERSIST)
    ]


async def _look_up(url: str, token: Secret) -> CheckFinding:
    grant = grant_of(token)
    try:
        service = CacheService(url, token)
    except ValueError as error:
        return failed(f"actions: {_URL}, {_TOKEN}: {error}", "do not set them by hand: the runner does")
    began = time.monotonic()
    try:
        await service.find(f"p2pcache-doctor-{secrets.token_hex(8)}")
    except DeniedError as error:
        return failed(f"actions: the service refuses: {error}", "see the job's permissions and cache-mode")
    except LimitedError as error:
        return warned(f"actions: {error}", "run fewer jobs that use the Actions cache at once")
    except ServiceError as error:
        return failed(
            f"actions: the service does not answer: {error}", "look at githubstatus.com; the job goes on without"
        )
    finally:
        await service.close()
    may = f"writes {grant.own or 'its ref'}" if grant.writable else "only reads: this trigger may not write"
    return passed(f"actions: a look-up took {1000 * (time.monotonic() - began):.0f} ms; this job {may}")


def _of_node(socket: Path) -> CheckFinding:
    try:
        stores = ask(str(socket), "/-/stats").get("stores", [])
    except NodeError as error:
        return warned(f"actions: {error}", "see its log; p2pcache up starts it again")
    row = next((row for row in stores if isinstance(row, dict) and row.get("name") == BACKEND.detail), None)
    if row is None:
        return warned("actions: the running node does not use it", _PERSIST)
    if why := row.get("why"):
        return warned(f"actions: the running node has trouble with it: {why}", "docs/actions-cache.md#what-it-costs")
    calls = row.get("calls", 0)
    if not calls:
        return warned(
            "actions: the running node made no call yet: it sleeps until it is handed the variables", _PERSIST
        )
    return passed(f"actions: the running node made {counted(calls, 'call')}, and the service answers")

"""Check 13: a job's way to OIDC tokens; a hub's issuer and its keys, its webhook secret, and its MCP server."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import http.client
import json
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from p2pcache import __version__
from p2pcache.doctor.finding import CheckFinding, Patient, failed, passed, skipped, warned
from p2pcache.gateway.ask import UnixConnection
from p2pcache.gateway.routing import Upstreams
from p2pcache.hub import mcp
from p2pcache.hub.issuer_keys import KEPT, IssuerKeys
from p2pcache.hub.webhook import webhook_of
from p2pcache.ledger.ledger import Ledger
from p2pcache.settings import Settings, SettingsError
from p2pcache.wording import counted

URL, KEY = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
PERMISSION = "give the job `permissions: id-token: write`"
UNAUTHORIZED = 401
MAX_ANSWER = 1 << 20


async def examine(patient: Patient) -> list[CheckFinding]:
    """Return what is found of the job's part and of the hub's."""
    settings = patient.settings
    found = list(of_job(patient, settings))
    if settings.oidc_repositories or settings.oidc_owners:
        found.append(await of_issuer(settings))
    if settings.webhook_secrets:
        found.append(await asyncio.to_thread(of_webhook, patient, settings))
    if settings.hub:
        found.append(await asyncio.to_thread(of_mcp, patient))
    return found or [skipped("no hub is configured here, and no OIDC token is there for this job")]


def of_job(patient: Patient, settings: Settings) -> Iterator[CheckFinding]:
    """Yield a finding for a job that could prove itself by OIDC, or needs to."""
    has = [name for name in (URL, KEY) if patient.environ.get(name, "").strip()]
    if settings.hub:
        return
    if len(has) == 1:
        yield failed(f"of the runner's two variables for OIDC tokens only {has[0]} is there", PERMISSION)
    elif not has:
        named = any("/p2p/" in address for address in settings.bootstrap) or bool(settings.hub_peer_id)
        if named and not settings.secrets and patient.environ.get("GITHUB_ACTIONS") == "true":
            yield warned("no secret, and no OIDC token to prove this job to the hub", PERMISSION)
    elif settings.secrets:
        yield passed("the runner gives this job OIDC tokens; they are not needed, since there is a secret")
    elif not settings.bootstrap:
        yield warned(
            "the runner gives this job OIDC tokens, and no hub is named that would take them",
            "name the hub with its peer id in CACHE_BOOTSTRAP_PEERS (docs/admission.md), or set CACHE_SECRET",
        )
    else:
        yield passed("the runner gives this job OIDC tokens, and without a secret the hub is shown one")


async def of_issuer(settings: Settings) -> CheckFinding:
    """Fetch the keys of the issuer, as a hub does when the first job shows a token."""
    keys = IssuerKeys(settings.oidc_issuer, time.monotonic)
    started = time.monotonic()
    found = await keys.current()
    await keys.close()
    if not found:
        return failed(
            keys.trouble or f"the OIDC issuer {settings.oidc_issuer} publishes no keys that can be used",
            "let this machine reach it (HTTPS_PROXY, SSL_CERT_FILE), or correct CACHE_OIDC_ISSUER",
        )
    seconds, minutes = time.monotonic() - started, KEPT / 60
    return passed(
        f"{settings.oidc_issuer} publishes {counted(len(found), 'key')} that can be used",
        f"fetched now, in {seconds:.1f} s; a hub asks for newer ones when its own are {minutes:.0f} min old",
        f"admitted are {counted(len(settings.oidc_repositories), 'repository', 'repositories')} "
        f"and {counted(len(settings.oidc_owners), 'owner')}",
    )


def of_webhook(patient: Patient, settings: Settings) -> CheckFinding:
    """Try the secrets as a node does at its start; send the running node a signed ping."""

    async def nothing(topics: tuple[str, ...]) -> None:
        del topics

    try:
        webhook_of(settings, Upstreams(settings.upstream), nothing, Ledger()).close()
    except SettingsError as error:
        sentence, _, advice = str(error).rpartition(": ")
        return failed(sentence or str(error), advice)
    if patient.node is None:
        return passed("the webhook secret is strong enough; no node runs here that would take a delivery")
    body = b'{"zen": "p2pcache doctor"}'
    secret = settings.webhook_secrets[0].reveal().encode()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "ping",
        "X-GitHub-Delivery": str(uuid.uuid4()),
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest(),
    }
    status, _ = _post(patient.node, "/-/webhook", body, headers, patient.seconds)
    if status == http.client.OK:
        return passed("the node takes a delivery that is signed with the webhook secret")
    if status == UNAUTHORIZED:
        return failed(
            "the node refuses a delivery that is signed with this CACHE_WEBHOOK_SECRET: it was started with another",
            "start the node anew, with the secret that GitHub has",
        )
    return failed(
        f"the node answers a webhook delivery with {_status(status)}", "start it with CACHE_WEBHOOK_SECRET set"
    )


def of_mcp(patient: Patient) -> CheckFinding:
    """Ask the hub for its MCP tools' server, as an agent does first."""
    if not mcp.installed():
        return skipped(f"no MCP: {mcp.MISSING}")
    if patient.node is None:
        return skipped("no hub runs here whose MCP server could be asked")
    about = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "doctor", "version": __version__},
    }
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": about}).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    status, answer = _post(patient.node, "/-/mcp", body, headers, patient.seconds)
    if status == http.client.OK and b"serverInfo" in answer:
        return passed("MCP answers at /-/mcp")
    return failed(
        f"MCP at /-/mcp answers with {_status(status)}",
        "read the hub's log; docs/mcp.md says what an agent has to send",
    )


def _post(path: Path, target: str, body: bytes, headers: Mapping[str, str], seconds: float) -> tuple[int, bytes]:
    """Return status and body; 0 where there is no answer."""
    connection = UnixConnection(str(path), seconds)
    try:
        connection.request("POST", target, body, dict(headers))
        response = connection.getresponse()
        return response.status, response.read(MAX_ANSWER)
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def _status(status: int) -> str:
    return f"status {status}" if status else "nothing"

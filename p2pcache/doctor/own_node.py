"""Check 3: the node that runs here is well; or else one starts, with peers, and its addresses are free."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from p2pcache import __version__, files
from p2pcache.addresses import parse
from p2pcache.cache.sealing import generate_secret
from p2pcache.doctor.finding import CheckFinding, Patient, failed, passed, warned
from p2pcache.gateway.ask import NodeError, ask
from p2pcache.gateway.listen import ListenError, tcp
from p2pcache.node import Node
from p2pcache.participation import READY
from p2pcache.settings import Settings, SettingsError
from p2pcache.values import Listen, Secret

SWARM_SECONDS = 20.0
START = "start one with: p2pcache serve --log-level debug, and read what it logs"
RESTART = 'start it anew with: eval "$(p2pcache down)" && eval "$(p2pcache up)"'


async def examine(patient: Patient) -> Sequence[CheckFinding]:
    """Return what is found of the running node, or of one that is started and stopped."""
    settings = patient.settings
    if patient.node:
        return await asyncio.to_thread(of_running, patient.node, settings, patient.seconds)
    return [*taken_addresses(settings), await of_new(settings)]


def of_running(socket: Path, settings: Settings, seconds: float) -> list[CheckFinding]:
    """Ask the node at `socket` how it is."""
    try:
        health = ask(str(socket), "/-/healthz", seconds)
        about: dict[str, Any] = ask(str(socket), "/-/stats", seconds)["node"]
    except (NodeError, KeyError) as error:
        return [failed(f"the node at {socket} does not answer: {error}", RESTART)]
    minutes = float(about["uptime_seconds"]) / 60
    found = [passed(f"a node runs, since {minutes:.0f} min, and answers at {socket}")]
    found += [warned(f"the node reports: {reason}", advice_for(reason)) for reason in health.get("reasons", ())]
    if about["version"] != __version__:
        found.append(warned(f"the running node is version {about['version']}, this is {__version__}", RESTART))
    if about["upstream"] != settings.upstream:
        sentence = f"the running node serves {about['upstream']}, the settings here name {settings.upstream}"
        found.append(warned(sentence, RESTART))
    return found


def advice_for(reason: str) -> str:
    """Return what to do about a reason of ``/-/healthz``."""
    if reason.startswith("peer to peer failed"):
        return RESTART
    if reason.startswith("no peer"):
        return "run p2pcache doctor --only 4, which tries each bootstrap peer"
    if "disk" in reason:
        return "run p2pcache doctor --only 5, which tries the stores"
    return "run p2pcache doctor --only 9,10, which try GitHub and each backend"


def taken_addresses(settings: Settings) -> Iterator[CheckFinding]:
    """Yield a finding for each address of the settings that a node could not listen on."""
    wanted = [("--listen", settings.listen.host, settings.listen.port)]
    if (outside := settings.gateway_host) and outside.beside:
        wanted.append(("--gateway-host", outside.host, outside.port or 0))
    for flag, host, port in wanted:
        try:
            tcp(host, port, flag).close()
        except ListenError as error:
            yield _as_failure(str(error))
    if not settings.p2p:
        return
    host, port = _peers_address(settings)
    try:
        tcp(host, port, "--p2p-listen").close()
    except ListenError as error:
        if settings.hub:
            yield _as_failure(str(error))
        else:
            sentence, _, _ = str(error).partition(";")
            yield warned(f"{sentence}: the node takes a free port instead", "name another port, or none")


def _as_failure(sentence: str) -> CheckFinding:
    found, _, advice = sentence.partition("; ")
    return failed(found, advice or START)


def _peers_address(settings: Settings) -> tuple[str, int]:
    if settings.p2p_listen:
        address = parse(settings.p2p_listen, listen=True)
        return address.host, address.port
    return "0.0.0.0", settings.p2p_port  # noqa: S104 - as the node does


async def of_new(settings: Settings) -> CheckFinding:
    """Start a node with a secret and stores of its own on the loopback, ask it, and stop it."""
    with files.socket_folder("p2pcache-doctor-") as folder:
        own = Settings(
            listen=Listen("127.0.0.1", 0),
            directory=folder,
            socket=folder / "node.sock",
            secrets=(Secret(generate_secret()),),
            p2p=settings.p2p,
            p2p_listen="/ip4/127.0.0.1/tcp/0",
            upstream=settings.upstream,
        )
        started = time.monotonic()
        try:
            async with Node(own) as node:
                health = await asyncio.to_thread(ask, str(node.socket), "/-/healthz")
                answered = time.monotonic() - started
                await node.settled(SWARM_SECONDS)
                joined = time.monotonic() - started
                state, peer = node.participation.state, node.participation.peer_id
        except (ListenError, SettingsError, NodeError, OSError) as error:
            return failed(f"no node starts: {error}", START)
    gateway = f"gateway: {health['status']} after {answered * 1000:.0f} ms"
    if not settings.p2p:
        return passed("a node starts and answers; peer to peer is off (--no-p2p or CACHE_ENABLE_P2P)", gateway)
    if state != READY:
        return failed(f"a node starts, without peers: peer to peer {state}", START, gateway)
    times = f"peers: {state} after {joined * 1000:.0f} ms, peer id {peer}"
    return passed("a node starts with peer to peer on the loopback, answers, and stops", gateway, times)

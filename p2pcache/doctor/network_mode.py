"""Check 8: the network mode with its evidence, what it means for being reached, and what helps where it cannot be."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from p2pcache import addresses
from p2pcache.declarations import HUB_PORT
from p2pcache.doctor.finding import CheckFinding, Patient, failed, passed, skipped, warned
from p2pcache.runner import evidence
from p2pcache.runner.network import Evidence, Mode, Network, decide
from p2pcache.settings import Settings

_MEANS = {
    Mode.NOT_DOCKER: (
        "a hub on this machine is at 127.0.0.1",
        "peers reach this node at this machine's addresses, from containers too",
    ),
    Mode.HOST: (
        "a hub on the host is at 127.0.0.1",
        "peers reach this node at the host's addresses, from containers too",
    ),
    Mode.BRIDGE: (
        "a hub on the host is at the default gateway, unless it listens on 127.0.0.1 alone",
        "peers reach this node from the host and from containers of the same bridge, not from other machines",
    ),
    Mode.CUSTOM: (
        "services are found by their names, a hub on the host at the default gateway, unless it listens on 127.0.0.1",
        "peers reach this node from the host and from containers of the same network, not from other machines",
    ),
    Mode.NONE: ("neither GitHub nor a peer can be reached",),
}


def examine(patient: Patient) -> Iterator[CheckFinding]:
    """Decide the network mode as the Action does, and compare it with the settings."""
    seen = evidence.collect()
    network = decide(seen)
    yield mode_of(network, seen)
    if patient.given is not None and network.via is not Mode.NONE:
        yield reach_of(network, patient.given)


def mode_of(network: Network, seen: Evidence) -> CheckFinding:
    """Return the finding on the mode itself."""
    found = f"{'not in a container' if network.mode is Mode.NOT_DOCKER else network}: {network.reason}"
    lines = (*_MEANS[network.via], *_evidence(seen))
    if network.via is Mode.NONE:
        return failed(found, "run the container with --network bridge or host", *lines)
    return passed(found, *lines)


def _evidence(seen: Evidence) -> Iterator[str]:
    if seen.mount_id:
        yield f"evidence: files of container {seen.mount_id[:12]} are mounted on /etc"
    else:
        yield "evidence: no container's files are mounted on /etc"
    interfaces = [f"{each.name} {each.address}" for each in seen.interfaces if each.name != "lo" and each.address]
    yield f"evidence: interfaces: {', '.join(interfaces) or 'only the loopback has an address'}"
    yield f"evidence: default gateway: {seen.gateway or 'none'}"
    if seen.mount_id:
        names = ", ".join(seen.own_names)
        yield f"evidence: Docker's resolver: {'there' if seen.docker_dns else 'not there'}{names and f', {names}'}"


def reach_of(network: Network, settings: Settings) -> CheckFinding:
    """Return whether peers reach the node where it listens."""
    if not settings.p2p:
        return skipped("peer to peer is off: no peer has to reach this node")
    role = "hub" if settings.hub else "node"
    anywhere = f"--p2p-listen /ip4/0.0.0.0/tcp/{_port(settings)}"
    if settings.p2p_listen and _on_loopback(settings.p2p_listen):
        found = f"the {role} listens at {settings.p2p_listen}"
        if not network.shares_host:
            return failed(f"{found}, which is this container alone: no peer reaches it", f"use {anywhere}")
        return warned(f"{found}: from containers it is reached in host mode only", f"use {anywhere}")
    if settings.hub and network.via is Mode.BRIDGE and not settings.announce:
        return warned(
            "the hub is in a bridge network: other machines and networks do not reach the container's address",
            f"publish its port (docker run -p {HUB_PORT}:{HUB_PORT}) and name the host: "
            f"--announce /ip4/HOST/tcp/{HUB_PORT}; or run it with --network host",
        )
    where = settings.p2p_listen or "all addresses of this network"
    return passed(f"the {role} listens at {where}")


def _port(settings: Settings) -> int:
    return addresses.parse(settings.p2p_listen, listen=True).port if settings.p2p_listen else settings.p2p_port


def _on_loopback(multiaddr: str) -> bool:
    return ipaddress.ip_address(addresses.parse(multiaddr, listen=True).host).is_loopback

"""Check 4: every bootstrap peer, from its name to a round trip; one finding each, about the first step that fails."""

from __future__ import annotations

import asyncio

from p2pcache import addresses
from p2pcache.addresses import Address
from p2pcache.doctor.finding import CheckFinding, Patient, failed, passed, skipped, warned
from p2pcache.gateway.ask import NodeError, ask
from p2pcache.keys import asks_for_keys, keyring_of, with_secret
from p2pcache.participation import bootstrap_of, enrolled, token_source
from p2pcache.runner import evidence
from p2pcache.runner.bootstrap import Target, resolve
from p2pcache.runner.network import decide
from p2pcache.settings import Settings, SettingsError
from p2pcache.swarm.probing import Probe, probe
from p2pcache.swarm.protocol.frames import MAJOR, MINOR
from p2pcache.swarm.rules.reasons import Reason
from p2pcache.swarm.services.link import DialStep

MOST_PEERS = 16
SLOW_MS = 250.0
"""Above it, a peer is given up before it answers (`swarm.rules.config.Limits.peer_deadline`)."""
_MEMBERSHIP = {
    Reason.SECRET: "give both sides the same CACHE_SECRET (p2pcache keygen makes one)",
    Reason.CLOCK: "set the clocks of both machines by NTP",
    Reason.TOKEN: "let the workflow have id-token: write and the hub CACHE_OIDC_REPOSITORIES, or set CACHE_SECRET",
    Reason.UNLISTED: "add the repository's id to the hub's CACHE_OIDC_REPOSITORIES (gh api repos/OWNER/NAME --jq .id)",
    Reason.OLD_HUB: "update p2pcache on the hub, or set CACHE_SECRET on both sides",
    Reason.FULL: "start another hub, or wait until members have left",
}
_AGAIN = "look into the log of that peer; then try again"


async def examine(patient: Patient) -> list[CheckFinding]:
    """Dial every bootstrap peer of the settings."""
    settings = patient.settings
    peers = [addresses.parse(text) for text in bootstrap_of(settings)]
    if not settings.p2p:
        return [skipped("peer to peer is off (--no-p2p or CACHE_ENABLE_P2P)")]
    if not peers and settings.hub:
        return [skipped("none is named, and a hub needs none: members dial it")]
    given = await enrolled(settings)
    try:
        if settings.hub and (settings.directory / "secret").exists():
            settings, _ = with_secret(settings)
        keyring, alone = keyring_of(settings, given)
    except SettingsError as error:
        return [failed(f"no node starts with these settings: {error}", "change what the sentence names")]
    if given.problem:
        return [failed(given.problem, "give both sides the same CACHE_SECRET, or see what the hub's log has")]
    if alone and not peers:
        return [skipped(f"none is named, and none would be dialled: {alone}")]
    if alone:
        return [failed(f"{len(peers)} named, and none is dialled: {alone}", "set CACHE_SECRET, the same on both sides")]
    unnamed = () if peers else await asyncio.to_thread(_on_this_host, settings)
    if not peers and not unnamed:
        return [await asyncio.to_thread(_of_running, patient) or _without_peers(settings)]
    token = token_source(settings) if asks_for_keys(settings) else None
    chosen = tuple(peers or unnamed)
    probes = await probe(chosen[:MOST_PEERS], keyring.membership_keys, token=token)
    found = [finding_of(each, evidence.nameservers()) for each in probes]
    if len(chosen) > MOST_PEERS:
        found.append(skipped(f"{len(chosen) - MOST_PEERS} more are named, and not examined"))
    return found


def _on_this_host(settings: Settings) -> tuple[Address, ...]:
    """Return the hub that `up`, `run` and the Action find where none is named; nothing where none answers."""
    seen = evidence.collect()
    found = resolve((Target(peer_id=settings.hub_peer_id),), decide(seen), seen)
    return tuple(addresses.parse(text) for text in found.multiaddrs) if found.reachable else ()


def _of_running(patient: Patient) -> CheckFinding | None:
    """Return what the running node has, whose own flags may name peers that the settings here do not."""
    try:
        connected = ask(str(patient.node), "/-/stats", patient.seconds)["peers"]["connected"] if patient.node else 0
    except (NodeError, KeyError):  # which check 3 shows
        return None
    return passed(f"none is named here; the node that runs is connected to {connected}") if connected else None


def _without_peers(settings: Settings) -> CheckFinding:
    if settings.mdns:
        return skipped("none is named; members on the local network are found by mDNS")
    if settings.secrets:
        return warned(
            "none is named and no hub is found on this host, so this node meets no other, unless they dial it",
            "start a hub (p2pcache serve --hub), or name one: --bootstrap /ip4/ADDRESS/tcp/9100",
        )
    return skipped("none is named, and no hub is found on this host")


def finding_of(seen: Probe, resolvers: tuple[str, ...]) -> CheckFinding:
    """Return the finding for a peer.

    Args:
        seen: what dialling it gave.
        resolvers: the addresses of the name servers of this machine.
    """
    where = str(seen.address.bare())
    match seen.failed:
        case None:
            return _reached(seen, where)
        case DialStep.NAME if seen.address.kind.startswith("dns"):
            asked = ", ".join(resolvers) or "no name server"
            return failed(
                f"{where}: the name {seen.address.host} is not resolved: {seen.why} (asked: the hosts file, {asked})",
                _name_advice(seen.address, resolvers),
            )
        case DialStep.TCP:
            return failed(f"{where}: no TCP connection: {seen.why}", _tcp_advice(seen))
        case DialStep.NOISE:
            return failed(
                f"{where}: something listens that is no libp2p peer: {seen.why}",
                'give the port that the hub\'s log names after "listens at"; 9100 is also that of metrics exporters',
            )
        case DialStep.PEER_ID:
            return failed(
                f"{where}: another peer than {seen.address.peer} answers: {seen.peer}",
                f"if that is your hub, end its address in /p2p/{seen.peer}; else check the address",
            )
        case DialStep.PROTOCOL:
            return failed(f"{where}: {_protocol(seen)}", _protocol_advice(seen))
        case DialStep.MEMBERSHIP:
            advice = _MEMBERSHIP.get(seen.reason, _AGAIN) if seen.reason is not None else _AGAIN
            side = "refused by the peer" if seen.refused else "refused here"
            return failed(f"{where}: membership is not proved, {side}: {seen.why}", advice)
        case _:
            return failed(f"{where}: no round trip: {seen.why}", _AGAIN)


def _reached(seen: Probe, where: str) -> CheckFinding:
    kind = "hub" if seen.hub else "member"
    minor = int(seen.protocol.rpartition(".")[2])
    found = f"{where}: {kind} {seen.peer}, protocol {seen.protocol}, round trip {seen.rtt_ms:.1f} ms"
    if seen.rtt_ms > SLOW_MS:
        return warned(f"{found}: too slow to be of use", "use a hub that is nearer to the runners")
    if minor != MINOR:
        return passed(found, f"this node speaks {MAJOR}.{MINOR}: they work together by the lower version")
    return passed(found)


def _name_advice(address: Address, resolvers: tuple[str, ...]) -> str:
    if "." not in address.host.rstrip(".") and "127.0.0.11" not in resolvers:
        return "names of services are known in their Docker network alone: join it, or give the hub's address"
    return "check the name, or give the address: /ip4/ADDRESS/tcp/PORT"


def _tcp_advice(seen: Probe) -> str:
    loopback = seen.address.host == "localhost" or seen.address.host.startswith("127.")
    if seen.why == "nothing listens there" and loopback:
        return "start the hub; in a container 127.0.0.1 is the container itself: check 8 has the address of the host"
    if seen.why == "nothing listens there":
        return f"start the hub there with --p2p-listen /ip4/0.0.0.0/tcp/{seen.address.port}, not on 127.0.0.1"
    return "check the address, and that no firewall is between"


def _protocol(seen: Probe) -> str:
    if seen.reason is Reason.VERSION:
        return f"another version of the protocol: {seen.why}"
    return f"it speaks libp2p, but not p2pcache's protocol: {seen.why}"


def _protocol_advice(seen: Probe) -> str:
    if seen.reason is not Reason.VERSION:
        return "give the address of a p2pcache hub: another libp2p service is there"
    side = "here" if not seen.refused else "there"
    return f"update p2pcache {side}, or use the same release on both sides"

"""Candidate addresses of the hub (docs/architecture.md), their probes, and remedies for those that fail."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from p2pcache import addresses
from p2pcache.addresses import Address
from p2pcache.declarations import HUB_PORT
from p2pcache.runner.network import Evidence, Mode, Network, NetworkOwner, subnet_firsts

HUB_NAMES = ("p2pcache-hub", "hub")
"""Names of a hub's service in compose files and job services."""
DOCKER0 = "172.17.0.1"
HOST_NAME = "host.docker.internal"
PROBE_SECONDS = 1.0
AUTO = "auto"
GIVEN = "given"
MOST_TARGETS = 16
_HELLO = b"\x13/multistream/1.0.0\n"  # first message of every libp2p listener (multistream-select 1.0.0)

Outcome = Literal["hub", "refused", "no answer", "unknown name", "not a hub"]


class BootstrapError(ValueError):
    """An unusable bootstrap peer; the message quotes it and gives valid forms."""


@dataclass(frozen=True, slots=True)
class Target:
    """The hub as the user configured it. Without `host`: any hub on this host at `port`; `named`: not a default."""

    host: str = ""
    port: int = HUB_PORT
    peer_id: str = ""
    protocol: str = ""
    named: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address to probe, and in a few words why."""

    host: str
    port: int
    why: str
    peer_id: str = ""
    protocol: str = ""

    @property
    def multiaddr(self) -> str:
        """The address as a value of ``--bootstrap``."""
        protocol = self.protocol or ("ip4" if self.host.replace(".", "").isdecimal() else "dns4")
        return str(Address(protocol, self.host, self.port, self.peer_id or None))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """The bootstrap addresses of the node, and why these.

    Attributes:
        multiaddrs: values of ``--bootstrap``.
        reachable: whether one of them answered.
        sentence: for the log.
        missed: for each configured hub that did not answer, its address and the replacement.
        rows: the same for a table, as (fact, value) with short values.
    """

    multiaddrs: tuple[str, ...]
    reachable: bool
    sentence: str
    missed: tuple[str, ...] = ()
    rows: tuple[tuple[str, str], ...] = ()


def parse(text: str) -> Target:
    """Read one bootstrap peer: a multiaddr, ``/tcp/PORT[/p2p/ID]`` for a hub on the host, or ``auto``.

    Raises:
        BootstrapError: for anything else.
    """
    if text == AUTO:
        return Target()
    on_this_host = text.startswith("/tcp/")
    try:
        address = addresses.parse(f"/ip4/127.0.0.1{text}" if on_this_host else text)
    except ValueError:
        raise BootstrapError(
            f"bootstrap peer {text[:120]!r}: expected a multiaddr such as /ip4/172.17.0.1/tcp/9100, "
            f"/dns4/hub/tcp/9100/p2p/12D3..., /tcp/9100 for a hub on this host, or {AUTO}"
        ) from None
    host, protocol = ("", "") if on_this_host else (address.host, address.kind)
    return Target(host, address.port, address.peer or "", protocol, named=True)


def candidates(target: Target, network: Network, seen: Evidence, *, strict: bool = False) -> tuple[Candidate, ...]:
    """Return the addresses to probe, likeliest first: the order of docs/architecture.md#where-a-job-looks-for-a-hub.

    With `strict`, a configured hub has no replacement, unless its peer id proves that it is the same.
    """
    places: list[tuple[str, str]] = []
    if target.host:
        places.append((target.host, GIVEN))
    if network.via is not Mode.NONE and not (strict and target.host and not target.peer_id):
        if network.kind is not None:
            places += [(name, "service name") for name in HUB_NAMES]
        if network.shares_host:
            places.append(("127.0.0.1", "loopback of the host"))
        if network.via is not Mode.NOT_DOCKER:
            places.append((HOST_NAME, "Docker's name for the host"))
        if not network.shares_host:
            # In host mode the default gateway is the router of the LAN.
            places += [(seen.gateway, "default gateway")] if seen.gateway else []
            places += [(first, "first address of the subnet") for first in subnet_firsts(seen)]
            places.append((DOCKER0, "docker0"))
    unique: dict[str, Candidate] = {}
    for host, why in places:
        protocol = target.protocol if why == GIVEN else ""
        unique.setdefault(host, Candidate(host, target.port, why, target.peer_id, protocol))
    return tuple(unique.values())


def probe(candidate: Candidate, seconds: float = PROBE_SECONDS) -> Outcome:
    """Return whether a libp2p listener answers; a bare connect would mistake a metrics exporter on 9100 for a hub."""
    try:
        with socket.create_connection((candidate.host, candidate.port), seconds) as connection:
            connection.settimeout(seconds)
            connection.sendall(_HELLO)
            return "hub" if connection.recv(len(_HELLO), socket.MSG_WAITALL) == _HELLO else "not a hub"
    except socket.gaierror:
        return "unknown name"
    except ConnectionRefusedError:
        return "refused"
    except ConnectionResetError:
        return "not a hub"
    except OSError:
        return "no answer"


def probe_all(
    places: Sequence[Candidate],
    ask: Callable[[Candidate], Outcome] = probe,
    seconds: float = PROBE_SECONDS + 0.5,
) -> tuple[Outcome, ...]:
    """Probe all concurrently for at most `seconds`; return early once the first candidate in order that can win has."""
    outcomes: list[Outcome | None] = [None] * len(places)
    changed = threading.Condition()

    def run(index: int) -> None:
        outcome = ask(places[index])
        with changed:
            outcomes[index] = outcome
            changed.notify()

    def decided() -> bool:
        for outcome in outcomes:
            if outcome in (None, "hub"):
                return outcome == "hub"
        return True

    for index in range(len(places)):
        # A hanging resolver cannot be interrupted: daemon threads are abandoned.
        threading.Thread(target=run, args=(index,), daemon=True).start()
    end = time.monotonic() + seconds
    with changed:
        while not decided() and (left := end - time.monotonic()) > 0:
            changed.wait(left)
        return tuple(outcome or "no answer" for outcome in outcomes)


def choose(target: Target, network: Network, places: Sequence[Candidate], outcomes: Sequence[Outcome]) -> Bootstrap:
    """Return the addresses for the node and the sentences for the user."""
    # A configured hub may start later and is worth retrying; a guess is not.
    given = tuple(place.multiaddr for place in places if place.why == GIVEN)
    for place, outcome in zip(places, outcomes, strict=True):
        if outcome == "hub":
            sentence = f"{network}: the hub answers at {place} ({place.why})"
            row = ("Hub", f"{place} ({place.why})")
            if place.why == GIVEN:
                return Bootstrap(given, True, sentence, rows=(row,))
            if not target.host or target.peer_id:
                return Bootstrap((*given, place.multiaddr), True, sentence, rows=(row,))
            missed = f"the hub that was named is not at {places[0]} ({outcomes[0]})"
            instead = f"{missed}: the one at {place} ({place.why}) is used instead"
            return Bootstrap((*given, place.multiaddr), True, sentence, (instead,), (row, ("Named", missed)))
    tried = "; ".join(f"{place} {outcome}" for place, outcome in zip(places, outcomes, strict=True))
    why, remedy = _remedy(target, network, outcomes)
    sentence = f"{network}: no hub reached ({tried or 'nothing to try'}): {why}: {remedy}"
    rows = (("Hub", "not reached"), ("Tried", tried or "nothing"), ("Why", why), ("What helps", remedy))
    return Bootstrap(given, False, sentence, (sentence,) if target.named else (), rows)


def resolve(
    targets: Sequence[Target],
    network: Network,
    seen: Evidence,
    ask: Callable[[Candidate], Outcome] = probe,
    *,
    strict: bool = False,
) -> Bootstrap:
    """Probe the candidates of all targets and choose an address for each; `strict` as in `candidates`."""

    def one(target: Target) -> Bootstrap:
        places = candidates(target, network, seen, strict=strict)
        return choose(target, network, places, probe_all(places, ask))

    with ThreadPoolExecutor(max_workers=MOST_TARGETS) as pool:
        found = list(pool.map(one, targets[:MOST_TARGETS]))
    return Bootstrap(
        tuple(address for one in found for address in one.multiaddrs),
        any(one.reachable for one in found),
        "; ".join(one.sentence for one in found),
        tuple(missed for one in found for missed in one.missed),
        next((one for one in found if one.reachable), found[0]).rows if found else (),
    )


def _elsewhere(target: Target, network: Network) -> bool:
    """Return whether the configured hub is neither on this host nor a service of this network."""
    here = target.host in ("localhost", "::1", HOST_NAME, DOCKER0) or target.host.startswith("127.")
    return bool(target.host) and not here and not (network.kind is not None and target.host in HUB_NAMES)


def _remedy(target: Target, network: Network, outcomes: Sequence[Outcome]) -> tuple[str, str]:
    """Return the likeliest reason that no hub was reached, and the remedy."""
    port = target.port
    if network.via is Mode.NONE:
        return "a container without a network reaches no hub", "run it with --network bridge or host"
    if _elsewhere(target, network) and outcomes[0] != "not a hub":
        if outcomes[0] == "unknown name":
            return f"the name of {target.host[:60]} cannot be resolved", "check the name in bootstrap-peers"
        return "it does not answer", "check the address and the firewall, and that it listens on more than 127.0.0.1"
    if "not a hub" in outcomes:
        return f"something else listens on port {port}", "give the hub's own port as /tcp/PORT"
    if network.shares_host:
        return (
            "none listens on this machine",
            f"start one with `p2pcache serve --hub`, or name another in bootstrap-peers (port {port})",
        )
    where = f"start the hub with --p2p-listen /ip4/0.0.0.0/tcp/{port}"
    if network.kind in (NetworkOwner.COMPOSE, NetworkOwner.GITHUB_ACTIONS):
        where += f", or add it to this network as a service named {HUB_NAMES[1]}"
    return "a hub bound to 127.0.0.1 is reached in host mode only", where

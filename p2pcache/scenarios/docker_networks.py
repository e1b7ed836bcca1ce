"""Jobs in containers, by the network that they are in."""

from __future__ import annotations

from collections.abc import Callable

from p2pcache.scenarios.containers import Containers, Seat, bridge_address
from p2pcache.scenarios.fleet import GITHUB, HUB
from p2pcache.scenarios.outcome import Figures
from p2pcache.scenarios.places import LOOPBACK
from p2pcache.scenarios.scenario import Scenario, Series, joined

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - of a container


async def _in_containers(series: Series, seats: Callable[[str], Seat], network: str = "") -> Figures:
    async with Containers(await series.docker_image(), series.label, seats, network) as place:
        return await joined(series.trial(place))


async def _host(series: Series) -> Figures:
    return await _in_containers(series, lambda _: Seat("host", LOOPBACK, LOOPBACK))


async def _bridge(series: Series) -> Figures:
    host = await bridge_address()

    def seat(name: str) -> Seat:
        # The hub stands on the host, at an address that no other machine reaches.
        return Seat("host", host, host) if name in (GITHUB, HUB) else Seat("bridge", EVERY_ADDRESS, "")

    return await _in_containers(series, seat)


async def _compose(series: Series) -> Figures:
    network = f"{series.label}_default"
    return await _in_containers(series, lambda name: Seat(network, EVERY_ADDRESS, name), network)


SCENARIOS = tuple(
    Scenario(name, title, shows, run, Series.docker_image)
    for name, title, shows, run in (
        ("host-network", "host network", "containers with --network host, and a hub on the host", _host),
        ("bridge", "bridge, host's address", "containers on the default bridge, and a hub on the host", _bridge),
        ("compose", "compose, DNS name", "containers of one network, which call the hub by its name", _compose),
    )
)

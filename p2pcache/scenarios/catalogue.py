"""All scenarios, in the order in which they run."""

from __future__ import annotations

from p2pcache.scenarios import apart, docker_networks, single_host

SCENARIOS = (*single_host.SCENARIOS, *docker_networks.SCENARIOS, *apart.SCENARIOS)

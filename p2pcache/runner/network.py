"""The network mode of this process: a pure decision over collected evidence."""

from __future__ import annotations

import enum
import ipaddress
from dataclasses import dataclass


class Mode(enum.StrEnum):
    """The network mode, in Docker's terms."""

    NONE = "none"
    HOST = "host"
    BRIDGE = "bridge"
    CUSTOM = "custom"
    CONTAINER = "container"
    NOT_DOCKER = "not-docker"


class NetworkOwner(enum.StrEnum):
    """The creator of a custom network."""

    COMPOSE = "compose"
    GITHUB_ACTIONS = "github-actions"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface; `address` is IPv4 with its prefix, or ""; `hardware`: a device is behind it."""

    name: str
    address: str = ""
    hardware: bool = False
    bridge: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence; `evidence.collect` gathers it.

    Attributes:
        hostname: of this UTS namespace.
        mount_id: the container whose /etc files are mounted here (64 hex digits), or "".
        cgroup_id: the container of this process's cgroup, where the cgroup namespace shows it, or "".
        interfaces: loopback included.
        gateway: the default route's next hop, or "".
        docker_dns: whether Docker's resolver (127.0.0.11) serves this network.
        own_names: that resolver's names for this container's addresses, ``container.network``.
        compose_project: from the engine, if its socket is mounted, or "".
    """

    hostname: str = ""
    mount_id: str = ""
    cgroup_id: str = ""
    interfaces: tuple[Interface, ...] = ()
    gateway: str = ""
    docker_dns: bool = False
    own_names: tuple[str, ...] = ()
    compose_project: str = ""


@dataclass(frozen=True, slots=True)
class Network:
    """The decision. `via` is the mode whose addressing applies; it differs from `mode` for a shared network only."""

    mode: Mode
    via: Mode
    reason: str
    kind: NetworkOwner | None = None

    @property
    def shares_host(self) -> bool:
        """Whether 127.0.0.1 is the host's."""
        return self.via in (Mode.HOST, Mode.NOT_DOCKER)

    def __str__(self) -> str:
        return f"{self.mode} network" + (f" ({self.kind})" if self.kind else "")


def decide(seen: Evidence) -> Network:
    """Decide the mode. The signals held in 30 of 30 real containers (engine 26); each is explained where it is used."""
    if not seen.mount_id:
        # Docker mounts /etc/hosts, hostname and resolv.conf from its own folder in every mode. /.dockerenv proves
        # nothing (VM images keep it), and /proc/1/cgroup is empty under a private cgroup namespace.
        return Network(Mode.NOT_DOCKER, Mode.NOT_DOCKER, "no container's files are mounted on /etc")
    via, kind, reason = _addressing(seen)
    if seen.cgroup_id and seen.cgroup_id != seen.mount_id:
        # /etc/hosts belongs to the container whose network this is, the cgroup to the one that runs here.
        return Network(Mode.CONTAINER, via, f"shares the network of container {seen.mount_id[:12]}: {reason}", kind)
    return Network(via, via, reason, kind)


def _addressing(seen: Evidence) -> tuple[Mode, NetworkOwner | None, str]:
    outward = [i for i in seen.interfaces if i.name != "lo"]
    # Kernel modules put devices without an address (tunl0, ifb0) into every network.
    if not any(i.address for i in outward) and not seen.gateway:
        return Mode.NONE, None, "no interface but the loopback has an address"
    if hardware := next((i for i in outward if i.hardware), None):
        return Mode.HOST, None, f"{hardware.name} is a device of the host"
    if (bridge := next((i for i in outward if i.bridge), None)) and not seen.mount_id.startswith(seen.hostname or "-"):
        return Mode.HOST, None, f"{bridge.name} is a bridge of the host, whose name {seen.hostname} this container has"
    if seen.docker_dns:
        return Mode.CUSTOM, _kind(seen), "Docker's resolver 127.0.0.11 serves this network"
    return Mode.BRIDGE, None, "there is a container's interface and no resolver of Docker's"


def _kind(seen: Evidence) -> NetworkOwner:
    networks = [name.partition(".")[2] for name in seen.own_names]
    if any(network.startswith("github_network_") for network in networks):
        return NetworkOwner.GITHUB_ACTIONS
    if seen.compose_project or any(network.endswith("_default") for network in networks):
        return NetworkOwner.COMPOSE
    return NetworkOwner.USER


def subnet_firsts(seen: Evidence) -> tuple[str, ...]:
    """Return the first address of each attached subnet, the host's even in an internal network without a gateway."""
    firsts = []
    for interface in seen.interfaces:
        if interface.name == "lo" or not interface.address:
            continue
        own = ipaddress.IPv4Interface(interface.address)
        first = own.network.network_address + 1
        if own.network.prefixlen <= 30 and first != own.ip:
            firsts.append(str(first))
    return tuple(firsts)

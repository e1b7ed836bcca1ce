"""Evidence of the network from inside: /proc, /sys, the interfaces, and one query to Docker's resolver."""

from __future__ import annotations

import re
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import ifaddr

from p2pcache.runner import docker
from p2pcache.runner.docker import DockerEngine, EngineError
from p2pcache.runner.network import Evidence, Interface

if TYPE_CHECKING:
    import dns.message

DOCKER_DNS = "127.0.0.11"
ASK_SECONDS = 0.5
_ETC_MOUNT = re.compile(r"/containers/([0-9a-f]{64})/(?:hosts|hostname|resolv\.conf) /etc/")
_CGROUP_ID = re.compile(r"(?:/docker/|docker-)([0-9a-f]{64})")


def collect(root: Path = Path("/"), engine: Path = docker.SOCKET) -> Evidence:
    """Collect the evidence. Never raises; unreadable sources count as absent."""
    interfaces = _interfaces(root)
    docker_dns = DOCKER_DNS in nameservers(root) or _bound_to_docker_dns(_read(root / "proc/net/udp"))
    mount = _ETC_MOUNT.search(_read(root / "proc/self/mountinfo"))
    own = [i.address.partition("/")[0] for i in interfaces if i.name != "lo" and i.address]
    return Evidence(
        hostname=socket.gethostname(),
        mount_id=mount[1] if mount else "",
        cgroup_id=_last_id(_read(root / "proc/self/cgroup")),
        interfaces=interfaces,
        gateway=_gateway(_read(root / "proc/net/route")),
        docker_dns=docker_dns,
        own_names=tuple(name for address in own if docker_dns and (name := _reverse(address))),
        compose_project=_compose_project(mount[1], engine) if mount and docker_dns else "",
    )


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _last_id(cgroup: str) -> str:
    found = _CGROUP_ID.findall(cgroup)
    return str(found[-1]) if found else ""


def nameservers(root: Path = Path("/")) -> tuple[str, ...]:
    """Return the addresses of the name servers that this machine asks (resolv.conf(5))."""
    lines = (line.split() for line in _read(root / "etc/resolv.conf").splitlines())
    return tuple(words[1] for words in lines if len(words) > 1 and words[0] == "nameserver")


def _bound_to_docker_dns(udp: str) -> bool:
    # proc(5): the local address in hexadecimal, in the machine's byte order.
    wanted = f"{int.from_bytes(socket.inet_aton(DOCKER_DNS), 'little'):08X}:"
    return any(len(words) > 1 and words[1].startswith(wanted) for words in map(str.split, udp.splitlines()))


def _gateway(route: str) -> str:
    for words in map(str.split, route.splitlines()[1:]):
        if len(words) > 2 and words[1] == "00000000" and words[2] != "00000000":
            return socket.inet_ntoa(struct.pack("<I", int(words[2], 16)))
    return ""


def _interfaces(root: Path) -> tuple[Interface, ...]:
    net = root / "sys/class/net"
    names = sorted(path.name for path in net.iterdir() if path.is_dir()) if net.is_dir() else []
    addresses = {
        adapter.name: f"{ip.ip}/{ip.network_prefix}"
        for adapter in ifaddr.get_adapters()
        for ip in reversed(list(adapter.ips))  # the first of an adapter counts
        if ip.is_IPv4
    }
    return tuple(
        Interface(name, addresses.get(name, ""), (net / name / "device").exists(), (net / name / "bridge").exists())
        for name in names
    )


def _reverse(address: str, resolver: tuple[str, int] = (DOCKER_DNS, 53)) -> str:
    """Return the name of `address` at Docker's resolver, ``container.network``, or "".

    The system's own look-up would find it in /etc/hosts, without the network.
    """
    import dns.message  # 30 ms, in custom networks alone
    import dns.reversename

    query = dns.message.make_query(dns.reversename.from_address(address), "PTR")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(ASK_SECONDS)
        try:
            client.connect(resolver)
            client.send(query.to_wire())
            return parse_pointer(query, client.recv(512))
        except OSError:
            return ""


def parse_pointer(query: dns.message.Message, packet: bytes) -> str:
    """Return the first name in the response to a PTR query, or "" for anything else (RFC 1035 section 3.5)."""
    import dns.exception
    import dns.message
    import dns.rdatatype

    try:
        response = dns.message.from_wire(packet)
    except (dns.exception.DNSException, ValueError):
        return ""
    names = (each for each in response.answer if each.rdtype == dns.rdatatype.PTR)
    found = next(names, None) if query.is_response(response) else None
    return found[0].target.to_text(omit_final_dot=True) if found else ""


def _compose_project(container: str, engine: Path) -> str:
    """Return the compose project of `container`: if its network has a custom name, only the engine has it."""
    try:
        labels = DockerEngine(engine, ASK_SECONDS).inspect(container)["Config"]["Labels"]
        return str(labels.get("com.docker.compose.project", ""))
    except (EngineError, KeyError, TypeError, AttributeError):
        return ""

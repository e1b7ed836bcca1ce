"""What can be seen of the network from inside: files under /proc and /sys, one question to Docker's resolver."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import re
import secrets
import socket
import struct
from pathlib import Path

from p2pcache.runner import docker
from p2pcache.runner.docker import DockerEngine, EngineError
from p2pcache.runner.network import Evidence, Interface

DOCKER_DNS = "127.0.0.11"
DOCKER_SOCKET = docker.SOCKET
ASK_SECONDS = 0.5
_SIOCGIFADDR, _SIOCGIFNETMASK = 0x8915, 0x891B  # netdevice(7)
_ETC_MOUNT = re.compile(r"/containers/([0-9a-f]{64})/(?:hosts|hostname|resolv\.conf) /etc/")
_CGROUP_ID = re.compile(r"(?:/docker/|docker-)([0-9a-f]{64})")


def collect(root: Path = Path("/")) -> Evidence:
    """Look around. Never raises: what cannot be read is not seen."""
    interfaces = _interfaces(root)
    docker_dns = DOCKER_DNS in _nameservers(root) or _bound_to_docker_dns(_read(root / "proc/net/udp"))
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
        compose_project=_compose_project(mount[1]) if mount and docker_dns else "",
    )


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _last_id(cgroup: str) -> str:
    found = _CGROUP_ID.findall(cgroup)
    return str(found[-1]) if found else ""


def _nameservers(root: Path) -> list[str]:
    lines = (line.split() for line in _read(root / "etc/resolv.conf").splitlines())
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


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
    return tuple(
        Interface(name, _address(name), (net / name / "device").exists(), (net / name / "bridge").exists())
        for name in names
    )


def _address(name: str) -> str:
    request = struct.pack("256s", name.encode()[:15])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        address = socket.inet_ntoa(fcntl.ioctl(probe, _SIOCGIFADDR, request)[20:24])
        mask = socket.inet_ntoa(fcntl.ioctl(probe, _SIOCGIFNETMASK, request)[20:24])
        return ipaddress.IPv4Interface(f"{address}/{mask}").with_prefixlen
    return ""


def _reverse(address: str) -> str:
    """What Docker's resolver calls `address`: ``container.network``, or "" (RFC 1035 section 3.5)."""
    ident = secrets.token_bytes(2)
    labels = [*reversed(address.split(".")), "in-addr", "arpa"]
    name = b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(ASK_SECONDS)
        try:
            client.connect((DOCKER_DNS, 53))
            client.send(ident + struct.pack("!HHHHH", 0x0100, 1, 0, 0, 0) + name + struct.pack("!HH", 12, 1))
            return parse_pointer(client.recv(512), ident, 12 + len(name) + 4)
        except OSError:
            return ""


def parse_pointer(answer: bytes, ident: bytes, question_end: int) -> str:
    """The name in the first answer of a PTR response, or "" for anything else."""
    try:
        if answer[:2] != ident or struct.unpack("!H", answer[6:8])[0] < 1:
            return ""
        start = question_end
        while answer[start] and answer[start] < 0xC0:
            start += answer[start] + 1
        start += 2 if answer[start] >= 0xC0 else 1
        if struct.unpack("!H", answer[start : start + 2])[0] != 12:
            return ""
        at, labels = start + 10, []
        while answer[at] and answer[at] < 0xC0:
            labels.append(answer[at + 1 : at + 1 + answer[at]].decode("ascii", "replace"))
            at += answer[at] + 1
        return ".".join(labels)
    except (IndexError, struct.error):
        return ""


def _compose_project(container: str) -> str:
    """Which compose project `container` belongs to: only the engine knows when its network has a name of its own."""
    try:
        labels = DockerEngine(DOCKER_SOCKET, ASK_SECONDS).inspect(container)["Config"]["Labels"]
        return str(labels.get("com.docker.compose.project", ""))
    except (EngineError, KeyError, TypeError, AttributeError):
        return ""

"""The IP addresses of this machine, from the kernel."""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
from pathlib import Path

import ifaddr

_INET6 = Path("/proc/net/if_inet6")
_SIOCGIFADDR = 0x8915  # netdevice(7)


def interfaces(inet6: Path = _INET6) -> list[str]:
    """Return the addresses of all interfaces, IPv4 first."""
    if sys.platform != "linux":
        ips = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips]
        return [ip for ip in ips if isinstance(ip, str)] + [ip[0] for ip in ips if isinstance(ip, tuple)]
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                raw = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:
                continue  # no IPv4 address on it
            found.append(socket.inet_ntoa(raw[20:24]))
    try:
        lines = inet6.read_text(encoding="ascii").splitlines()
    except OSError:
        lines = []  # a kernel without IPv6
    return found + [socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line.split()[0])) for line in lines]

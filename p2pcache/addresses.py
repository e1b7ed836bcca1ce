"""The addresses that nodes listen at and dial: TCP multiaddrs, with or without a peer id.

Grammar: https://github.com/multiformats/multiaddr. Of it, what this transport can dial:
``/ip4|ip6|dns|dns4|dns6/<host>/tcp/<port>`` and optionally ``/p2p/<peer id>``.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass, replace

EXAMPLE = "/ip4/172.17.0.1/tcp/9100 or /dns4/hub/tcp/9100"
"""Equal to the one in the settings' reference."""

_HOSTS = ("ip4", "ip6", "dns", "dns4", "dns6")
_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?\Z")
# base58btc of an identity (12D3KooW...) or SHA-256 (Qm...) multihash: https://github.com/libp2p/specs peer-ids
_PEER = re.compile(r"(12D3KooW[1-9A-HJ-NP-Za-km-z]{44}|Qm[1-9A-HJ-NP-Za-km-z]{44})\Z")


@dataclass(frozen=True, slots=True)
class Address:
    """Somewhere to listen or dial.

    Attributes:
        kind: ``ip4``, ``ip6``, ``dns``, ``dns4`` or ``dns6``.
        host: address or name.
        port: 0 to 65535; 0 only to listen.
        peer: the one that must answer, or None for any member.
    """

    kind: str
    host: str
    port: int
    peer: str | None = None

    def __str__(self) -> str:
        tail = f"/p2p/{self.peer}" if self.peer else ""
        return f"/{self.kind}/{self.host}/tcp/{self.port}{tail}"

    @property
    def family(self) -> socket.AddressFamily:
        """The family of the addresses to which a name may resolve."""
        families = {"4": socket.AF_INET, "6": socket.AF_INET6}
        return families.get(self.kind[-1], socket.AF_UNSPEC)

    def bare(self) -> Address:
        """Return the address without its peer id."""
        return replace(self, peer=None)


def parse(text: str, *, listen: bool = False) -> Address:
    """Read a multiaddr.

    Raises:
        ValueError: one sentence with what was read and what would be right.
    """
    shown = text if len(text) <= 100 and text.isprintable() else "the value"
    match text.strip().rstrip("/").split("/"):
        case ["", kind, host, "tcp", port] if kind in _HOSTS:
            peer = None
        case ["", kind, host, "tcp", port, "p2p" | "ipfs", peer] if kind in _HOSTS:
            if not _PEER.match(peer):
                raise ValueError(f"{shown} has no valid peer id after /p2p/: it looks like 12D3KooW...")
        case ["", kind, *_] if kind in _HOSTS:
            raise ValueError(f"{shown} is not a TCP multiaddr: write it like {EXAMPLE}")
        case ["", kind, *_]:
            raise ValueError(f"{shown} begins with none of /{', /'.join(_HOSTS)}: write it like {EXAMPLE}")
        case _:
            raise ValueError(f"{shown} is not a multiaddr: write it like {EXAMPLE}")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and (0 if listen else 1) <= int(port) <= 65_535):
        raise ValueError(f"{shown} has no valid port: a number from {0 if listen else 1} to 65535")
    if listen and (kind.startswith("dns") or peer):
        raise ValueError(f"{shown} cannot be listened on: give an address of this machine, like /ip4/0.0.0.0/tcp/9000")
    return Address(kind, _host(kind, host, shown), int(port), peer)


def _host(kind: str, host: str, shown: str) -> str:
    if kind.startswith("dns"):
        if not _NAME.match(host):
            raise ValueError(f"{shown} has no valid host name after /{kind}/")
        return host
    try:
        return str(ipaddress.IPv4Address(host) if kind == "ip4" else ipaddress.IPv6Address(host))
    except ValueError:
        raise ValueError(f"{shown} has no valid {'IPv4' if kind == 'ip4' else 'IPv6'} address after /{kind}/") from None

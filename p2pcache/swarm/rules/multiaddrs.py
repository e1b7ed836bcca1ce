"""The addresses at which members are dialled: those that a node announces, and those that a member has proved."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from dataclasses import replace

from p2pcache.addresses import Address, parse


def announced(listening: Address, interfaces: Iterable[str]) -> tuple[Address, ...]:
    """Return where others can dial a listener: of a wildcard, every interface address but loopback (unless alone)."""
    if not ipaddress.ip_address(listening.host).is_unspecified:
        return (listening,)
    version = 4 if listening.kind == "ip4" else 6
    found = [ip for ip in map(ipaddress.ip_address, interfaces) if ip.version == version and not ip.is_link_local]
    far = [ip for ip in found if not ip.is_loopback]
    return tuple(replace(listening, host=str(ip)) for ip in (far or found)[:8])


def proved(seen: str, dialled: bool, claimed: Iterable[str], interfaces: Collection[str]) -> tuple[str, ...]:
    """Return those of the addresses that a member claims at which it has shown itself: others are to dial no others.

    Args:
        seen: the other end of the connection to it.
        dialled: whether this node dialled that.
        claimed: the addresses in its `Welcome`.
        interfaces: addresses of this machine.
    """
    there = parse(seen)
    # What comes from this machine may come from any of its addresses.
    here = {there.host, *interfaces} if there.host in interfaces else {there.host}
    found = [str(there)] if dialled else []
    for text in claimed:
        try:
            address = parse(text).bare()
        except ValueError:
            continue
        if address.host in here and str(address) not in found:
            found.append(str(address))
    return tuple(found[:8])

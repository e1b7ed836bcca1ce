"""Members on the local network, found by multicast DNS (RFC 6762, DNS-SD RFC 6763); an option, off by default.

The TXT record is that of the libp2p specification (https://github.com/libp2p/specs discovery/mdns): one
``dnsaddr=<multiaddr>`` for each address. The service type is our own: a libp2p peer of another kind is not dialled.
What is found is only a hint: a peer that is found still has to prove the secret.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Collection

import trio

from p2pcache.addresses import parse

SERVICE = "_p2pcache._tcp.local."
_LOOKUP_MS = 2_000
_ADDRESSES = 8
_WAITING = 64
"""Names that wait to be looked up; what is more is announced again."""


async def discover(peer: str, addresses: Collection[str], found: Callable[[str, list[str]], None]) -> None:
    """Announce this node and call `found(peer id, addresses)` for others, in this trio task, until cancelled.

    Raises:
        OSError: there is no network that multicast works on.
    """
    from zeroconf import Error, ServiceBrowser, ServiceInfo, ServiceListener, Zeroconf

    token = trio.lowlevel.current_trio_token()
    send, names = trio.open_memory_channel[str](_WAITING)

    def offer(name: str) -> None:
        with contextlib.suppress(trio.WouldBlock):
            send.send_nowait(name)

    class Listener(ServiceListener):
        """Called in the browser's thread, which waits for nothing, so that it can be ended at any time."""

        def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:  # noqa: ARG002  # zeroconf's signature
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(offer, name)

        update_service = add_service

        def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:
            """Do nothing: the connection shows that a member left."""

    own = [parse(address) for address in addresses][:_ADDRESSES]
    # A record without an address is incomplete to zeroconf; readers take the multiaddrs.
    hosts = [address.host for address in own if address.kind in ("ip4", "ip6")] or ["127.0.0.1"]
    text = b"".join(_text(f"dnsaddr={address.bare()}/p2p/{peer}") for address in own)
    info = ServiceInfo(
        SERVICE, f"{secrets.token_hex(8)}.{SERVICE}", own[0].port, properties=text, parsed_addresses=hosts
    )
    async with contextlib.AsyncExitStack() as closing:
        zeroconf = await trio.to_thread.run_sync(Zeroconf)
        closing.push_async_callback(_shielded, zeroconf.close)  # it says goodbye, which takes a moment
        try:
            await trio.to_thread.run_sync(zeroconf.register_service, info)
        except Error as error:
            raise OSError from error
        # What is not ended before zeroconf is raises in its thread.
        closing.push_async_callback(_shielded, ServiceBrowser(zeroconf, SERVICE, Listener()).cancel)
        async for name in names:
            with contextlib.suppress(Error):  # a machine too busy to look it up: it is announced again
                record = await trio.to_thread.run_sync(zeroconf.get_service_info, SERVICE, name, _LOOKUP_MS)
                if record is not None:
                    report(record.text, peer, found)


async def _shielded(close: Callable[[], object]) -> None:
    with trio.CancelScope(shield=True):
        await trio.to_thread.run_sync(close)


def _text(entry: str) -> bytes:
    """One string of a TXT record."""
    data = entry.encode()[:255]
    return bytes([len(data)]) + data


def entries(text: bytes) -> list[str]:
    """Return the strings of a TXT record; what is cut off is left out."""
    found = []
    while text:
        length = text[0]
        if len(text) > length:
            found.append(text[1 : 1 + length].decode(errors="replace"))
        text = text[1 + length :]
    return found


def report(text: bytes, me: str, found: Callable[[str, list[str]], None]) -> None:
    """Call `found` with the addresses of a record, grouped by the peer id at their end."""
    peers: dict[str, list[str]] = {}
    for entry in entries(text)[:_ADDRESSES]:
        address, _, peer = entry.removeprefix("dnsaddr=").rpartition("/p2p/")
        if address and peer != me:
            peers.setdefault(peer, []).append(address)
    for peer, addresses in peers.items():
        found(peer, addresses)

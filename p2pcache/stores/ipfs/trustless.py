"""Trustless gateways (specs.ipfs.tech/http-gateways/trustless-gateway): blocks and IPNS records, verified here."""

from __future__ import annotations

from p2pcache.stores.driver import StoreError
from p2pcache.stores.ipfs.ipns import LARGEST
from p2pcache.stores.service import Service

SECONDS = 2.5
_ABSENT = frozenset({404, 410, 412, 504})
"""Not found; gone; not here, and not to be looked for elsewhere; not found in time."""
_NOT_FOUND = b"not found"
"""In Kubo's text for a name without a record, with status 500."""


class TrustlessGateway:
    """A gateway, which is only read.

    Args:
        url: its address, e.g. ``https://trustless-gateway.link``.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._service = Service(url, {}, proxied=True)

    async def block(self, cid: str, most: int) -> bytes | None:
        """Return a block of at most `most` bytes, or None; the caller verifies it."""
        return await self._get(f"/ipfs/{cid}", "raw", "application/vnd.ipld.raw", most)

    async def record(self, name: str) -> bytes | None:
        """Return the IPNS record of a name, or None; the caller verifies it."""
        return await self._get(f"/ipns/{name}", "ipns-record", "application/vnd.ipfs.ipns-record", LARGEST)

    async def close(self) -> None:
        """Close its connections."""
        await self._service.close()

    async def _get(self, path: str, form: str, media: str, most: int) -> bytes | None:
        query = [("format", form)]
        reply = await self._service.ask("GET", path, query, most=most, seconds=SECONDS, headers={"Accept": media})
        match reply.status:
            case 200:
                return reply.body
            case status if status in _ABSENT or (status == 500 and _NOT_FOUND in reply.body):
                return None
            case status if 300 <= status < 400:
                raise StoreError("it redirects: name the address that it redirects to", lasting=True)
            case status:
                raise StoreError(f"HTTP {status}")

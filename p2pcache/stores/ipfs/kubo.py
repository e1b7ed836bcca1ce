"""The RPC of a Kubo daemon (docs.ipfs.tech/reference/kubo/rpc): blocks, IPNS records and pins.

Every call is a POST below ``/api/v0``. Kubo waits for ever for a block that it does not have, so each call has either
``offline`` or a ``timeout``, and a deadline here as well.
"""

from __future__ import annotations

import io
from typing import TypeVar

import aiohttp
import msgspec

from p2pcache.stores.driver import StoreError, check_credential
from p2pcache.stores.ipfs.ipns import LARGEST
from p2pcache.stores.service import Query, Service

S = TypeVar("S", bound=msgspec.Struct)
LARGEST_BLOCK = 2 << 20
"""Bytes; Kubo takes larger ones when asked to, and cannot send them to another daemon (IPFS's limit for bitswap)."""

READ_SECONDS = 2.0
WRITE_SECONDS = 5.0
REMOTE_SECONDS = 2.0
"""For a pinning service to take note of a pin: it holds up the writes of a node that ends."""
FETCH_SECONDS = 1.0
"""For a block of another daemon: the pointer may have arrived before it, or outlived it."""
_LARGEST_CONFIG = 256 << 10
_LARGEST_REPLY = 64 << 10
_ROOT = "/api/v0"
_BUSY = frozenset({429, 502, 503, 504})
"""Answers of a proxy before a daemon."""
_DHT_ALONE = frozenset({"dht", "dhtclient", "dhtserver"})
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_MISSING = ("not found", "record is expired")
_NOT_IN_TIME = "deadline exceeded"
_NO_PEER = "failed to find any peer"
_SUPERSEDED = "existing IPNS record has sequence"
_NOT_PINNED = "not pinned"
_ANNOUNCES = ", and announces the CIDs of what it keeps there: set its Provide.Enabled to false"


class _Refusal(msgspec.Struct, rename="pascal"):
    message: str = ""


class _Pin(msgspec.Struct, rename="pascal"):
    cid: str
    name: str = ""


class _Routing(msgspec.Struct, rename="pascal"):
    type: str | None = None
    delegated_routers: list[str] | None = None


class _Ipns(msgspec.Struct, rename="pascal"):
    delegated_publishers: list[str] | None = None


class _Provide(msgspec.Struct, rename="pascal"):
    enabled: bool | None = None


class _Version(msgspec.Struct, rename="pascal"):
    version: str


class _Peers(msgspec.Struct, rename="pascal"):
    peers: list[msgspec.Raw] | None = None


class _Services(msgspec.Struct, rename="pascal"):
    service: str


class _RemoteServices(msgspec.Struct, rename="pascal"):
    remote_services: list[_Services] | None = None


class _Variables(msgspec.Struct):
    cmdline: list[str]


class RepositorySize(msgspec.Struct, rename="pascal", frozen=True):
    """What a daemon's repository takes, and may take, in bytes."""

    repo_size: int
    storage_max: int


class _Config(msgspec.Struct, rename="pascal"):
    """The part of a daemon's configuration that decides where it asks."""

    bootstrap: list[str] | None = None
    routing: _Routing = msgspec.field(default_factory=_Routing)
    ipns: _Ipns = msgspec.field(default_factory=_Ipns)
    provide: _Provide = msgspec.field(default_factory=_Provide)


class RpcError(StoreError):
    """The daemon's own refusal; `message` is its text, which is only compared."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"an error in answer to {path}")
        self.message = message


class Kubo:
    """A daemon.

    Args:
        url: of its RPC, e.g. ``http://127.0.0.1:5001``.
        token: the secret of ``API.Authorizations``; "" where it asks for none.

    Attributes:
        public: whether it is part of the public network, or may be: then it is used `offline`, as a store alone.
    """

    def __init__(self, url: str, token: str) -> None:
        self._token = token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._service = Service(url, headers, proxied=False)
        self.public = True

    async def open(self) -> str:
        """Find out how the daemon may be used; return why it is used offline, "" where it is not.

        Raises:
            StoreError: there is none, or the token cannot be sent.
        """
        check_credential("CACHE_IPFS_TOKEN", self._token)
        await self._call("/version", seconds=READ_SECONDS)
        try:
            shown = await self._call("/config/show", seconds=READ_SECONDS, most=_LARGEST_CONFIG)
            why = _public(msgspec.json.decode(shown, type=_Config))
        except (StoreError, *_MALFORMED):
            why = "it does not show its configuration, and may be part of the public network"
        self.public = bool(why)
        return why

    async def block(self, cid: str) -> bytes | None:
        """Return a block that the daemon has, or None; the caller verifies it."""
        return await self._found("/block/get", [("arg", cid), _OFFLINE], LARGEST_BLOCK, READ_SECONDS)

    async def fetch(self, cid: str) -> bytes | None:
        """Return a block that a daemon may have to which this one is connected, or None; the caller verifies it."""
        if self.public:
            return None
        return await self._found("/block/get", [("arg", cid)], LARGEST_BLOCK, FETCH_SECONDS, _NOT_IN_TIME)

    async def record(self, name: str) -> bytes | None:
        """Return the IPNS record of a name, or None; the caller verifies it."""
        body = None
        if not self.public:
            query = [("arg", name)]
            body = await self._found("/name/get", query, LARGEST, FETCH_SECONDS, _NOT_IN_TIME, _NO_PEER)
        return body or await self._found("/name/get", [("arg", name), _OFFLINE], LARGEST, READ_SECONDS)

    async def put_record(self, name: str, record: bytes) -> bool:
        """Store an IPNS record; False where there is one of at least its sequence number."""
        query = [("arg", name), ("allow-offline", "true"), *self._offline]
        try:
            await self._call("/name/put", query, seconds=WRITE_SECONDS, body=_form(record))
        except RpcError as error:
            if _SUPERSEDED in error.message:
                return False
            raise
        return True

    async def put_block(self, data: bytes) -> None:
        """Store a block under its CID: version 1, raw, sha2-256."""
        query = [("cid-codec", "raw"), ("mhtype", "sha2-256"), *self._offline]
        await self._call("/block/put", query, seconds=WRITE_SECONDS, body=_form(data))

    async def put_archive(self, car: bytes) -> None:
        """Store the blocks of a CAR."""
        query = [("pin-roots", "false"), ("fast-provide-root", "false"), *self._offline]
        await self._call("/dag/import", query, seconds=WRITE_SECONDS, body=_form(car))

    async def pin(self, cid: str, name: str) -> None:
        """Pin what a block links to, and give the pin a name in place of the one that it has."""
        query = [("arg", cid), ("name", name), ("fast-provide-root", "false"), _OFFLINE]
        await self._call("/pin/add", query, seconds=WRITE_SECONDS)

    async def pins(self, part: str, most: int) -> list[tuple[str, str]]:
        """Return the CIDs and the names of pins of which the name has this part: as many as `most` bytes have room for.

        The daemon sends them one by one; what comes later is not read.
        """
        query = [("type", "recursive"), ("name", part), ("names", "true"), ("stream", "true"), _OFFLINE]
        body = await self._call("/pin/ls", query, seconds=WRITE_SECONDS, most=most, cut=True)
        try:
            found = [msgspec.json.decode(line, type=_Pin) for line in body.rpartition(b"\n")[0].splitlines()]
        except _MALFORMED as error:
            raise StoreError("its list of pins is malformed") from error
        return [(pin.cid, pin.name) for pin in found]

    async def unpin(self, cid: str) -> None:
        """Remove a pin, unless another node did."""
        try:
            await self._call("/pin/rm", [("arg", cid), _OFFLINE], seconds=WRITE_SECONDS)
        except RpcError as error:
            if _NOT_PINNED not in error.message:
                raise

    async def pin_remotely(self, cid: str, name: str, service: str) -> None:
        """Have a pinning service that the daemon knows fetch a block and what it links to, and keep them."""
        query = [("arg", cid), ("name", name), ("service", service), ("background", "true")]
        await self._call("/pin/remote/add", query, seconds=REMOTE_SECONDS)

    async def unpin_remotely(self, name: str, service: str) -> None:
        """Remove all pins of a name at a pinning service."""
        states = ("queued", "pinning", "pinned", "failed")
        query = [("name", name), ("service", service), ("force", "true"), *(("status", state) for state in states)]
        await self._call("/pin/remote/rm", query, seconds=WRITE_SECONDS)

    async def remove_block(self, cid: str) -> None:
        """Remove a block that is not pinned."""
        await self._call("/block/rm", [("arg", cid), ("force", "true"), _OFFLINE], seconds=WRITE_SECONDS)

    async def version(self) -> str:
        """Return the daemon's version."""
        return (await self._shown("/version", _Version)).version

    async def peers(self) -> int:
        """Return the number of daemons that it is connected to."""
        return len((await self._shown("/swarm/peers", _Peers, most=_LARGEST_CONFIG)).peers or ())

    async def repository(self) -> RepositorySize:
        """Return the size of its repository, and the bound."""
        return await self._shown("/repo/stat", RepositorySize, [("size-only", "true")])

    async def pin_services(self) -> tuple[str, ...]:
        """Return the names of the pinning services that it knows."""
        shown = await self._shown("/pin/remote/service/ls", _RemoteServices)
        return tuple(each.service for each in shown.remote_services or ())

    async def collects(self) -> bool:
        """Return whether it was started to collect garbage, as its command line shows: no call of the RPC does."""
        reply = await self._service.ask("GET", "/debug/vars", most=_LARGEST_CONFIG, seconds=READ_SECONDS)
        try:
            line = msgspec.json.decode(reply.body, type=_Variables).cmdline
        except _MALFORMED as error:
            raise StoreError("it does not show its command line") from error
        return any(word in ("--enable-gc", "--enable-gc=true") for word in line)

    async def close(self) -> None:
        """Close its connections."""
        await self._service.close()

    async def _shown(self, path: str, shape: type[S], query: Query = (), *, most: int = _LARGEST_REPLY) -> S:
        body = await self._call(path, query, seconds=READ_SECONDS, most=most)
        try:
            return msgspec.json.decode(body, type=shape)
        except _MALFORMED as error:
            raise StoreError(f"its answer to {path} is malformed") from error

    @property
    def _offline(self) -> Query:
        return [_OFFLINE] if self.public else []

    async def _found(self, path: str, query: Query, most: int, seconds: float, *missing: str) -> bytes | None:
        """Return an answer; None where the daemon reports that there is none, in words like `_MISSING` or `missing`."""
        try:
            return await self._call(path, query, seconds=seconds, most=most)
        except RpcError as error:
            if any(words in error.message for words in (*_MISSING, *missing)):
                return None
            raise

    async def _call(
        self,
        path: str,
        query: Query = (),
        *,
        seconds: float,
        most: int = _LARGEST_REPLY,
        cut: bool = False,
        body: aiohttp.FormData | None = None,
    ) -> bytes:
        query = [*query, ("timeout", f"{seconds * 1000:.0f}ms")]
        later = seconds + 0.5  # so that the daemon's own sentence comes first
        reply = await self._service.ask("POST", _ROOT + path, query, most=most, seconds=later, body=body, cut=cut)
        if reply.status == 200:
            return reply.body
        if reply.status in (401, 403):
            reason = "it refuses %s: see CACHE_IPFS_TOKEN, and the AllowedPaths of its API.Authorizations"
            raise StoreError(reason % path, lasting=True)
        if reply.status == 500:
            raise RpcError(path, _message(reply.body))
        if reply.status in _BUSY:
            raise StoreError(f"HTTP {reply.status} in answer to {path}")
        raise StoreError(f"HTTP {reply.status} in answer to {path}: it is not the RPC of Kubo", lasting=True)


_OFFLINE = ("offline", "true")


def _form(data: bytes) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(data), filename="file", content_type="application/octet-stream")
    return form


def _message(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Refusal).message
    except _MALFORMED:
        return ""


def _public(config: _Config) -> str:
    """Return why a daemon of this configuration may reach the public network; "" where it does not."""
    announces = "" if config.provide.enabled is False else _ANNOUNCES
    if config.bootstrap:
        return f"it is on the public network (its Bootstrap is not empty){announces}"
    routing = config.routing
    if routing.type not in _DHT_ALONE and (routing.delegated_routers or config.ipns.delegated_publishers):
        return f"it asks public routers (its DelegatedRouters or DelegatedPublishers are not empty){announces}"
    if routing.type in ("none", "delegated", "custom"):
        return "its Routing.Type reaches no other daemon by a DHT of its own"
    return ""

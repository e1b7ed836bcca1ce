"""IPFS as a store: a Kubo daemon to read and write, trustless gateways to read.

Blocks are kept under their own CIDs. The record of a resource is an IPNS record, under a name of which only nodes with
the secret have the key. Its sequence number is its version: a daemon refuses one that is not higher than what it has.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from p2pcache.backends.ipfs import BACKEND, DEFAULT_API
from p2pcache.cache.codec import cid_of, cid_text
from p2pcache.cache.sealing import Keyring
from p2pcache.cache.tiers import Opening
from p2pcache.clock import unix_time
from p2pcache.stores.driver import Record, StoreError
from p2pcache.stores.ipfs import car
from p2pcache.stores.ipfs.gateways import Gateways
from p2pcache.stores.ipfs.ipns import LARGEST_DATA, IpnsName, Published, RecordError
from p2pcache.stores.ipfs.kubo import LARGEST_BLOCK, Kubo
from p2pcache.stores.ipfs.pins import Pins
from p2pcache.stores.ipfs.trustless import TrustlessGateway
from p2pcache.stores.store_tier import StoreTier

_log = logging.getLogger(__name__)

VALID_SECONDS = 7 * 86_400.0
"""How long a record is valid. Daemons of one another's DHT drop it after 48 hours (the specification, Validity)."""
_WRITES_BITS = 20
"""Room for more writes of a record a day than a daemon could take."""


class IpfsDriver:
    """Implements `driver.Driver`.

    Args:
        keyring: has the keys of the IPNS names.
        kubo: the daemon; None where gateways alone are read.
        gateways: asked for blocks that the daemon does not have; without a daemon for records too.
        pins: of the daemon.
        where: the place in a few words.
        clock: Unix seconds.
    """

    largest_block = LARGEST_BLOCK
    largest_record = LARGEST_DATA

    def __init__(
        self,
        keyring: Keyring,
        kubo: Kubo | None,
        gateways: Sequence[TrustlessGateway],
        pins: Pins | None,
        where: str,
        clock: Callable[[], float] = unix_time,
    ) -> None:
        self.where = where
        self.writable = kubo is not None and pins is not None
        self._keyring = keyring
        self._kubo = kubo
        self._gateways = Gateways(gateways, spared=kubo is not None)
        self._pins = pins
        self._clock = clock
        self._logged = ""
        self._expiring: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """See `driver.Driver`."""
        if self._kubo is None:
            return
        why = await self._kubo.open()
        if why and why != self._logged:
            _log.info("ipfs: %s is used with offline=true: %s", self.where, why)
        self._logged = why

    def lacks(self, name: bytes) -> bool:  # noqa: ARG002 - another service may have a list
        """Return False: what a daemon does not have is asked for in a millisecond."""
        return False

    async def record(self, name: bytes) -> Record | None:
        """See `driver.Driver`; where there is a daemon it decides, since a gateway may take seconds to find nothing."""
        names = [IpnsName(seed) for seed in self._keyring.record_seeds(name)]
        if self._kubo is not None:
            found = await self._published(self._kubo, names)
        else:
            found = await self._gateways.first(lambda each: self._published(each, names), lambda it: it is not None)
        return Record(found.data, str(found.sequence)) if found else None

    async def _published(self, source: Kubo | TrustlessGateway, names: Iterable[IpnsName]) -> Published | None:
        """Return the record of one of `names` that a source has; they are asked for at once.

        Raises:
            StoreError: there is none, and a call failed.
        """
        calls = [asyncio.create_task(self._verified(source, name)) for name in names]
        failure: StoreError | None = None
        try:
            for done in asyncio.as_completed(calls):
                try:
                    if (found := await done) is not None:
                        return found
                except StoreError as error:
                    failure = error
        finally:
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        if failure is not None:
            raise failure
        return None

    async def _verified(self, source: Kubo | TrustlessGateway, name: IpnsName) -> Published | None:
        received = await source.record(str(name))
        if received is None:
            return None
        try:
            return name.verify(received, self._clock())
        except RecordError as error:
            _log.debug("ipfs: a record was ignored: %s", error)
            return None

    async def put_record(self, name: bytes, data: bytes, version: str | None) -> str | None:
        """See `driver.Driver`."""
        signer = IpnsName(self._keyring.record_seeds(name)[0])
        sequence = self._first_sequence() if version is None else int(version) + 1
        record = signer.sign(Published(sequence, data), self._clock() + VALID_SECONDS)
        kubo, _ = self._writer()
        return str(sequence) if await kubo.put_record(str(signer), record) else None

    async def block(self, cid: bytes) -> bytes | None:
        """See `driver.Driver`; what the daemon does not have itself is asked for everywhere else at once."""
        text = cid_text(cid)
        if self._kubo is not None and (found := await self._kubo.block(text)) is not None:
            return found
        others = [self._kubo.fetch(text)] if self._kubo is not None else []
        return await self._gateways.first(
            lambda gateway: gateway.block(text, LARGEST_BLOCK),
            lambda block: block is not None and cid_of(block) == cid,
            *others,
        )

    async def put_blocks(self, blocks: Sequence[tuple[bytes, bytes]]) -> None:
        """See `driver.Driver`; several are one upload and one pin."""
        kubo, pins = self._writer()
        root, data = blocks[0]
        if len(blocks) == 1:
            await kubo.put_block(data)
        else:
            root, data = car.list_of([cid for cid, _ in blocks])
            await kubo.put_archive(car.archive(root, [(root, data), *blocks]))
        await pins.add(cid_text(root))
        if self._expiring is None:
            self._expiring = asyncio.create_task(pins.expire())

    async def close(self) -> None:
        """See `driver.Driver`."""
        if self._expiring is not None:
            self._expiring.cancel()
            await asyncio.gather(self._expiring, return_exceptions=True)
        await self._gateways.close()
        if self._kubo is not None:
            await self._kubo.close()

    def _first_sequence(self) -> int:
        """Return the sequence number of a new record: that of today.

        It is higher than those of a record that expired, which a daemon remembers; and the same for two nodes that both
        saw none, of which the daemon refuses the second.
        """
        return int(self._clock() // 86_400) << _WRITES_BITS

    def _writer(self) -> tuple[Kubo, Pins]:
        if self._kubo is None or self._pins is None:
            raise StoreError("it can only be read", lasting=True)
        return self._kubo, self._pins


def open_tier(opening: Opening) -> StoreTier:
    """Open the backend."""
    options = opening.options
    gateways: tuple[str, ...] = options["ipfs_gateways"]
    api: str = options["ipfs_api"] or ("" if gateways else DEFAULT_API)
    service: str = options["ipfs_pin_service"]
    if service and not api:
        _log.warning("CACHE_IPFS_PIN_SERVICE is ignored: a daemon pins, and CACHE_IPFS_API names none")
    kubo = Kubo(api, options["ipfs_token"].reveal()) if api else None
    driver = IpfsDriver(
        opening.keyring,
        kubo,
        [TrustlessGateway(url) for url in gateways],
        Pins(kubo, service) if kubo else None,
        f"the daemon at {api}" if api else f"the gateway{'s' * (len(gateways) > 1)} {', '.join(gateways)}",
    )
    return StoreTier(BACKEND, driver, opening.keyring)

"""Check 10, the backend ipfs: the daemon, who else reaches its RPC, its repository, a record and a block, gateways."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import secrets
import time
from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

import ifaddr

from p2pcache.backends.ipfs import DEFAULT_API
from p2pcache.cache.codec import cid_of, cid_text
from p2pcache.clock import unix_time
from p2pcache.doctor.finding import CheckFinding, Patient, failed, passed, skipped, warned
from p2pcache.stores.driver import StoreError
from p2pcache.stores.ipfs.ipns import IpnsName, Published, RecordError
from p2pcache.stores.ipfs.kubo import Kubo
from p2pcache.stores.ipfs.trustless import TrustlessGateway
from p2pcache.stores.service import Service

VALID_SECONDS = 60.0
"""Of the record that is put: a daemon serves it no longer than that."""
_FULL = 0.9
_MENDED = "docs/ipfs.md has a table of what each sentence is mended by"
_START = "start it (ipfs daemon), or name another in CACHE_IPFS_API"
_EMPTY_BLOCK = "bafkqaaa"
"""A CID that has its block, of no bytes, in itself: every gateway answers it without a look-up."""
_AUTHORIZE = "give it API.Authorizations (docs/ipfs.md#a-daemon), or Addresses.API on 127.0.0.1: the RPC is root on it"


async def examine(patient: Patient) -> list[CheckFinding]:
    """Examine the daemon and the gateways of the settings."""
    options = patient.settings.options
    gateways: tuple[str, ...] = options["ipfs_gateways"]
    api: str = options["ipfs_api"] or ("" if gateways else DEFAULT_API)
    found: list[CheckFinding] = []
    if api:
        kubo = Kubo(api, options["ipfs_token"].reveal())
        try:
            found += await _daemon(kubo, api, options["ipfs_pin_service"])
        finally:
            await kubo.close()
    found += await asyncio.gather(*(_gateway(url) for url in gateways))
    return found


async def _daemon(kubo: Kubo, api: str, pin_service: str) -> list[CheckFinding]:
    try:
        found = [*await _reached(kubo, api), await _exposure(api)]
    except StoreError as error:
        return [failed(f"ipfs: the daemon at {api}: {error}", f"{_START}; {_MENDED}")]
    for examination in (_repository, _record, _block):
        try:
            found.append(await examination(kubo))
        except StoreError as error:
            found.append(failed(f"ipfs: the daemon at {api}: {error}", _MENDED))
    if pin_service:
        found.append(await _pin_service(kubo, pin_service))
    return found


async def _reached(kubo: Kubo, api: str) -> list[CheckFinding]:
    public = await kubo.open()
    version = _plain(await kubo.version())
    try:
        peers = f"connected to {await kubo.peers()} other daemons"
    except StoreError as error:
        peers = f"the number of its peers is not shown ({error})"
    there = passed(f"ipfs: Kubo {version} at {api}, {peers}")
    if public:
        advice = "make it private: docs/ipfs.md#a-daemon has the commands"
        return [there, warned(f"ipfs: the daemon is used as a store alone (offline=true): {public}", advice)]
    return [there, passed("ipfs: the daemon is private: it asks no public network")]


async def _exposure(api: str) -> CheckFinding:
    """Return whether others than this machine may use the RPC without a token, which makes them the daemon's owner."""
    places = _beyond_loopback(api)
    answers = await asyncio.gather(*(_answers_without_token(place) for place in places))
    open_at = [place for place, answered in zip(places, answers, strict=True) if answered]
    if open_at:
        found = f"ipfs: the RPC answers without a token at {', '.join(open_at)}: everybody who reaches it commands it"
        return failed(found, _AUTHORIZE)
    if _is_loopback(api):
        return passed("ipfs: the RPC answers at no other address of this machine than the loopback's")
    return passed("ipfs: the RPC asks for a token")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _beyond_loopback(api: str) -> list[str]:
    """Return the URLs at which others would reach the RPC: the given one, or its port at this machine's addresses."""
    if not _is_loopback(api):
        return [api]
    parts = urlsplit(api)
    port = f":{parts.port}" if parts.port else ""
    return [urlunsplit(parts._replace(netloc=f"{host}{port}")) for host in _own_addresses()]


def _own_addresses() -> Iterable[str]:
    for adapter in ifaddr.get_adapters():
        for each in adapter.ips:
            if each.is_IPv4 and isinstance(each.ip, str) and not ipaddress.ip_address(each.ip).is_loopback:
                yield each.ip


async def _answers_without_token(url: str) -> bool:
    service = Service(url, {}, proxied=False)
    try:
        return (await service.ask("POST", "/api/v0/version", most=1 << 16, seconds=2.0)).status == 200
    except StoreError:
        return False
    finally:
        await service.close()


async def _repository(kubo: Kubo) -> CheckFinding:
    try:
        collects: bool | None = await kubo.collects()
    except StoreError:
        collects = None
    gc = "whether it collects garbage is not shown"
    if collects is not None:
        gc = f"garbage collection is {'on' if collects else 'off'}"
    try:
        size = await kubo.repository()
    except StoreError as error:
        found = f"ipfs: {gc}; the size of the repository is not shown ({error})"
        return _uncollected(found) if collects is False else skipped(found)
    share = size.repo_size / size.storage_max if size.storage_max else 0.0
    found = f"ipfs: the repository has {_mb(size.repo_size)} of {_mb(size.storage_max)}; {gc}"
    if collects is False:
        return _uncollected(found)
    if share > _FULL and not collects:
        return warned(found, "start the daemon with --enable-gc, or raise its Datastore.StorageMax")
    return passed(found)


def _uncollected(found: str) -> CheckFinding:
    return warned(f"{found}: it grows beyond its bound", "start the daemon with --enable-gc")


def _mb(size: int) -> str:
    return f"{size / 1_000_000:,.1f} MB"


async def _record(kubo: Kubo) -> CheckFinding:
    """Put an IPNS record under a name that nobody else has the key of, and read it."""
    name, data = IpnsName(secrets.token_bytes(32)), secrets.token_bytes(64)
    began = time.monotonic()
    signed = name.sign(Published(1, data), unix_time() + VALID_SECONDS)
    if not await kubo.put_record(str(name), signed):
        return failed("ipfs: the daemon refuses a record as superseded that nobody wrote before", _MENDED)
    put = time.monotonic()
    read = await kubo.record(str(name))
    try:
        same = read is not None and name.verify(read, unix_time()).data == data
    except RecordError:
        same = False
    if not same:
        return failed("ipfs: a record that was put is not read again", "see the daemon's log; its clock may be wrong")
    return passed(f"ipfs: a record was put in {_ms(put - began)} and read in {_ms(time.monotonic() - put)}")


async def _block(kubo: Kubo) -> CheckFinding:
    """Put a block that is not pinned, read it, and remove it."""
    data = secrets.token_bytes(1024)
    cid = cid_text(cid_of(data))
    began = time.monotonic()
    await kubo.put_block(data)
    put = time.monotonic()
    if await kubo.block(cid) != data:
        return failed("ipfs: a block that was put is not read again", "see the daemon's log: its disk may be full")
    read = time.monotonic()
    await kubo.remove_block(cid)
    return passed(f"ipfs: a block was put in {_ms(put - began)}, read in {_ms(read - put)}, and removed")


async def _pin_service(kubo: Kubo, name: str) -> CheckFinding:
    try:
        known = await kubo.pin_services()
    except StoreError as error:
        return warned(f"ipfs: the pinning services of the daemon are not shown: {error}", _MENDED)
    if name not in known:
        advice = f"ipfs pin remote service add {name} URL KEY, or correct CACHE_IPFS_PIN_SERVICE"
        others = ", ".join(map(_plain, known)) or "none"
        return failed(f"ipfs: the daemon knows no pinning service {name} (it knows {others})", advice)
    return passed(f"ipfs: the daemon knows the pinning service {name}")


def _plain(text: str) -> str:
    """Return a daemon's own text as far as it is of the form of a name or a version."""
    return text if re.fullmatch(r"[\w.+-]{1,64}", text, re.ASCII) else "(not shown)"


async def _gateway(url: str) -> CheckFinding:
    gateway = TrustlessGateway(url)
    began = time.monotonic()
    try:
        answered = await gateway.block(_EMPTY_BLOCK, 64 << 10)
    except StoreError as error:
        return failed(f"ipfs: the gateway {url}: {error}", _MENDED)
    finally:
        await gateway.close()
    if answered != b"":
        return failed(f"ipfs: {url} does not answer as a trustless gateway", "name one that has ?format=raw")
    return passed(f"ipfs: the gateway {url} answers in {_ms(time.monotonic() - began)}")


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"

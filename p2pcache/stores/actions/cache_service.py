"""The Actions cache service v2, as far as packs need it: save bytes under a key, find the newest by a prefix.

GitHub tolerates this interface and does not promise it: what is known of it is in the source of ``@actions/cache``
(actions/toolkit, packages/cache). All of it is in this file. The signed URLs of the service are secrets, as the token
is: neither is in any message.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import ipaddress
import re
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import aiohttp
import msgspec
from yarl import URL

from p2pcache.bounded import gathered
from p2pcache.proxies import Proxies
from p2pcache.values import Secret

MAX_DATA = 4 << 20
"""Bytes of an entry; more is neither saved nor downloaded."""
MAX_ANSWER = 64 << 10
"""Bytes of an answer of the service itself."""
VERSION = hashlib.sha256(b"p2pcache pack 1").hexdigest()
"""Exactly 64 hex digits, opaque to the service: entries of another version are not found."""

_METHODS = "/twirp/github.actions.results.api.v1.CacheService/"
_CALL_SECONDS = 10.0
_DATA_SECONDS = 30.0
_IDLE_SECONDS = 4.0
"""For which a connection is kept: some servers of this interface end theirs after 5 s, and a POST is not repeated."""
_FINALIZE_TRIES = 3
_FINALIZE_SECONDS = 1.0
_RETRY_SECONDS = 60.0
_MOST_RETRY_SECONDS = 600.0
_PIECE = 64 << 10
_TOKEN = re.compile(r"[!-~]{1,16384}")
_RUN = re.compile(r"(?:^| )Actions\.Results:([0-9A-Za-z-]{1,64}):")
_REASON = re.compile(r"cache (?:read|write) denied: [A-Za-z0-9 ,'-]{0,120}")


class ServiceError(Exception):
    """The service did not do it; worth another try later. The message has no URL and no credential."""


class DeniedError(ServiceError):
    """These credentials may not do it: a read-only trigger, ``cache-mode``, an expired token."""


class LimitedError(ServiceError):
    """Too many requests; `seconds` is when to come back."""

    def __init__(self, method: str, seconds: float) -> None:
        super().__init__(f"{method}: limited for {seconds:g} s")
        self.seconds = seconds


class Hit(NamedTuple):
    """A look-up's result: the whole key, and a URL that is good for about ten minutes."""

    key: str
    url: Secret


class CacheGrant(NamedTuple):
    """What a token is for.

    Attributes:
        own: the git ref whose entries it writes.
        others: those that it reads beside it.
        writable: whether it writes at all.
        run: the run of the workflow, the same for all of its jobs; empty where the token has none.
    """

    own: str
    others: tuple[str, ...]
    writable: bool
    run: str = ""


def grant_of(token: Secret) -> CacheGrant:
    """Return what the token's claims say.

    ``ac`` has scopes with permissions, 1 for reading and 2 for writing; ``scp`` the ids of the run and of the job
    (actions/toolkit, packages/artifact). A token of another vendor's runner, without the first, has one nameless ref,
    which it may write.
    """
    try:
        claims = token.reveal().split(".")[1]
        decoded = msgspec.json.decode(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)), type=dict[str, Any])
        scopes = msgspec.json.decode(decoded["ac"], type=list[_Scope])
        found = _RUN.search(str(decoded.get("scp", "")))
    except (IndexError, KeyError, TypeError, ValueError, RecursionError, binascii.Error):
        scopes, found = [], None
    run = found[1] if found else ""
    own = next((scope for scope in scopes if scope.permission & _WRITE), scopes[0] if scopes else None)
    if own is None:
        return CacheGrant("", (), writable=True, run=run)
    others = dict.fromkeys(scope.ref for scope in scopes if scope.permission & _READ and scope.ref != own.ref)
    return CacheGrant(own.ref, tuple(others)[:_MOST_OTHERS], bool(own.permission & _WRITE), run)


class _Scope(msgspec.Struct):
    ref: str = msgspec.field(name="Scope")
    permission: int = msgspec.field(name="Permission")


_READ, _WRITE = 1, 2
_MOST_OTHERS = 2


class CacheService:
    """A client of the service.

    Args:
        results_url: `ACTIONS_RESULTS_URL`, of which the origin counts, as for GitHub's own client.
        token: `ACTIONS_RUNTIME_TOKEN`.

    Raises:
        ValueError: a URL that is not ``https``, or ``http`` on loopback; or what cannot be a token.
    """

    def __init__(self, results_url: str, token: Secret) -> None:
        self._origin = _origin(results_url)
        self._local = self._origin.startswith("http://")
        if not _TOKEN.fullmatch(token.reveal()):
            raise ValueError("the token must be printable ASCII without spaces")
        self._token = token
        self._proxies = Proxies()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=4, keepalive_timeout=_IDLE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "p2pcache"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections."""
        await self._session.close()

    async def find(self, key: str) -> Hit | None:
        """Return the entry of this key, else the newest whose key begins with it; None without one.

        The service looks into one scope after the other: the own ref, a pull request's base, the default branch.

        Raises:
            ServiceError: see its subclasses.
        """
        answer = await self._call("GetCacheEntryDownloadURL", key=key, restore_keys=[key])
        url, found = answer.get("signed_download_url"), answer.get("matched_key")
        if not (answer.get("ok") and isinstance(url, str) and isinstance(found, str)):
            return None
        return Hit(found, Secret(url))

    async def fetch(self, hit: Hit) -> bytes:
        """Download an entry.

        Raises:
            ServiceError: it is too large, or gone; or its URL has expired: another look-up gives a new one.
        """
        status, data, _ = await self._request("download", "GET", hit.url, _DATA_SECONDS, MAX_DATA)
        if status != 200:
            raise ServiceError(f"download: status {status}")
        return data

    async def save(self, key: str, data: bytes) -> None:
        """Keep `data` under a key that was not used before.

        Raises:
            ServiceError: the key is taken, also by an upload that was not finished; see the subclasses.
            ValueError: there is no data, or more than `MAX_DATA`.
        """
        if not 0 < len(data) <= MAX_DATA:
            raise ValueError(f"{len(data)} bytes are no entry")
        url = await self._created(key)
        if url is None:
            raise ServiceError("CreateCacheEntry: refused")
        blob = {"x-ms-blob-type": "BlockBlob", "Content-Type": "application/octet-stream"}
        status, _, _ = await self._request("upload", "PUT", Secret(url), _DATA_SECONDS, MAX_ANSWER, data, blob)
        if status != 201:
            raise ServiceError(f"upload: status {status}")
        for left in reversed(range(_FINALIZE_TRIES)):  # it may not see the blob at once
            done = await self._call("FinalizeCacheEntryUpload", key=key, size_bytes=str(len(data)))
            if done.get("ok"):
                return
            if left:
                await asyncio.sleep(_FINALIZE_SECONDS)
        raise ServiceError("FinalizeCacheEntryUpload: refused")

    async def reserve(self, key: str) -> bool:
        """Take a key for good, without an entry; return False where another caller was first.

        Raises:
            ServiceError: see its subclasses.
        """
        return await self._created(key) is not None

    async def _created(self, key: str) -> str | None:
        """Reserve a key; return the URL for its data, None where it is taken."""
        created = await self._call("CreateCacheEntry", key=key)
        url = created.get("signed_upload_url")
        return url if created.get("ok") and isinstance(url, str) else None

    async def _call(self, method: str, **fields: object) -> dict[str, Any]:
        """Call a method of the service; an answer without ``ok`` means that there is nothing, or the key is taken."""
        body = msgspec.json.encode({**fields, "version": VERSION})
        headers = {"Authorization": f"Bearer {self._token.reveal()}", "Content-Type": "application/json"}
        url = Secret(f"{self._origin}{_METHODS}{method}")
        status, data, retry_after = await self._request(method, "POST", url, _CALL_SECONDS, MAX_ANSWER, body, headers)
        try:
            answer = msgspec.json.decode(data or b"{}", type=dict[str, Any])
        except (ValueError, RecursionError):
            answer = {}
            if status == 200:
                raise ServiceError(f"{method}: an answer that is no JSON object") from None
        code, message = answer.get("code"), str(answer.get("message") or answer.get("msg") or "")
        if (reason := _REASON.match(message)) or status in (401, 403):  # a denied write has status 200
            raise DeniedError(f"{method}: {reason[0] if reason else f'status {status}'}")
        if status == 429 or code == "resource_exhausted":
            raise LimitedError(method, _seconds(retry_after))
        if code in ("already_exists", "not_found"):
            return {}
        if status != 200:
            raise ServiceError(f"{method}: status {status}")
        return answer

    async def _request(
        self,
        what: str,
        method: str,
        url: Secret,
        seconds: float,
        limit: int,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes, str]:
        """Return the status, at most `limit` bytes of body, and ``Retry-After``."""
        text = url.reveal()
        if not (text.startswith("https://") or (self._local and _on_loopback(text))):
            raise ServiceError(f"{what}: the service named a URL that is not https")
        proxy = self._proxies.of(text)
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.request(
                    method,
                    URL(text, encoded=True),
                    data=body,
                    headers={**(headers or {}), **proxy.plain},
                    allow_redirects=False,
                    proxy=proxy.url,
                    proxy_headers=proxy.headers,
                ) as answer,
            ):
                data = await gathered(answer.content.iter_chunked(_PIECE), limit)
                if len(data) > limit:
                    raise ServiceError(f"{what}: more than {limit} bytes")
                return answer.status, data, answer.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ServiceError(f"{what}: {type(error).__name__}") from None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    usable = parts.hostname and parts.port != 0 and "@" not in parts.netloc and url.isascii() and url.isprintable()
    if not usable or " " in url or not (parts.scheme == "https" or _on_loopback(url)):
        raise ValueError("the service's URL must be https, or http on loopback")
    return f"{parts.scheme}://{parts.netloc}"


def _on_loopback(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return parts.scheme == "http" and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False


def _seconds(retry_after: str) -> float:
    """Return ``Retry-After`` in seconds, bounded; a default for a date (RFC 9110 section 10.2.3) or none."""
    seconds = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else _RETRY_SECONDS
    return min(max(seconds, 1.0), _MOST_RETRY_SECONDS)

"""A stand-in of GitHub's Actions cache service v2: what it keeps and finds, in memory, without HTTP.

The rules are those of `@actions/cache` 6.3.0 (actions/toolkit, packages/cache) and of measurements on hosted runners:
a reserved key stays taken, a denied write is no error of HTTP, the newest entry with a prefix wins scope by scope, and
an entry that was saved is not found everywhere at once.
"""

from __future__ import annotations

import base64
import itertools
import json
import math
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

READ, WRITE = 1, 2
MAX_KEY = 512
VERSION = 64
"""Characters of a version, exactly."""
_BLOCKS = re.compile(rb"<(?:Latest|Uncommitted|Committed)>([^<]+)</")


class CacheRefusalError(Exception):
    """An answer other than 200, in the service's own words."""

    def __init__(self, status: int, code: str, message: str, retry_after: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after


@dataclass(frozen=True)
class Rights:
    """What a token may do: in a repository, each scope (a git ref) with its permission, the own one first."""

    repository: str
    scopes: Mapping[str, int]


def runtime_token(repository: str, scopes: Mapping[str, int], run: str = "") -> str:
    """Return a token as a runner has it, unsigned; `run` is the id of the workflow's run."""
    claims = {"repository_id": repository, "ac": json.dumps([{"Scope": s, "Permission": p} for s, p in scopes.items()])}
    if run:
        claims["scp"] = f"Actions.ExampleScope Actions.Results:{run}:1"
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "unsigned"])


def rights_of(authorization: str) -> Rights:
    """Return what the token of an ``Authorization`` header may do.

    Raises:
        CacheRefusalError: it is no token.
    """
    try:
        claims = authorization.removeprefix("Bearer ").split(".")[1]
        decoded = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        scopes = {scope["Scope"]: int(scope["Permission"]) for scope in json.loads(decoded["ac"])}
        return Rights(str(decoded["repository_id"]), scopes)
    except (KeyError, IndexError, TypeError, ValueError):
        raise CacheRefusalError(401, "unauthenticated", "invalid token") from None


@dataclass
class StoredEntry:
    """A reserved key; found by others once it is `visible` (seconds of the clock)."""

    number: int
    repository: str
    scope: str
    key: str
    version: str
    data: bytes | None = None
    blocks: dict[str, bytes] = field(default_factory=dict)
    created: float = 0.0
    visible: float = math.inf


class ActionsCache:
    """The service.

    Args:
        clock: seconds.
        lag: mean seconds from saving to being found, exponentially distributed.
        creations, look_ups: a window's, of each repository; 0 is no limit.
        window: seconds.
        seed: of the lags.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        lag: float = 0.0,
        creations: int = 200,
        look_ups: int = 0,
        window: float = 60.0,
        seed: int = 0,
    ) -> None:
        self.lag = lag
        self.limits = {"CreateCacheEntry": creations, "GetCacheEntryDownloadURL": look_ups}
        self.window = window
        self.calls: list[tuple[float, str]] = []
        self._clock = clock
        self._random = random.Random(seed)  # noqa: S311 - a model's
        self._numbers = itertools.count(1000)
        self._entries: dict[int, StoredEntry] = {}
        self._windows: dict[tuple[str, str], tuple[float, int]] = {}

    def call(self, method: str, rights: Rights, fields: Mapping[str, Any]) -> tuple[dict[str, Any], StoredEntry | None]:
        """Answer a method; with an entry where the answer is to have a signed URL for it.

        Raises:
            CacheRefusalError: any answer but 200.
        """
        self.calls.append((self._clock(), method))
        key, version = str(fields.get("key", "")), str(fields.get("version", ""))
        if not 1 <= len(key) <= MAX_KEY:
            message = "key invalid length for cache entry key: must be between 1 and 512 characters"
            raise CacheRefusalError(400, "invalid_argument", message)
        if len(version) != VERSION:
            message = "version invalid length for cache entry version: must be between 1 and 64 characters"
            raise CacheRefusalError(400, "invalid_argument", message)
        match method:
            case "CreateCacheEntry":
                self._limit(method, rights.repository)
                return self._create(rights, key, version)
            case "FinalizeCacheEntryUpload":
                return self._finalize(rights, key, version, int(fields.get("size_bytes", 0)))
            case "GetCacheEntryDownloadURL":
                self._limit(method, rights.repository)
                return self._find(rights, (key, *map(str, fields.get("restore_keys") or ())), version)
        raise CacheRefusalError(404, "bad_route", f"no handler for {method}")

    def entry(self, number: int) -> StoredEntry | None:
        """Return the entry that a signed URL is about."""
        return self._entries.get(number)

    def upload(self, entry: StoredEntry, data: bytes, query: Mapping[str, str]) -> None:
        """Take a blob, or its blocks and then their list (learn.microsoft.com: Put Blob, Put Block, Put Block List)."""
        match query.get("comp"):
            case "block":
                entry.blocks[query["blockid"]] = data
            case "blocklist":
                entry.data = b"".join(entry.blocks[block.decode()] for block in _BLOCKS.findall(data))
            case _:
                entry.data = data

    def evict(self, prefix: str = "") -> None:
        """Forget the entries whose key begins so, as the service does with the least recently used."""
        self._entries = {n: entry for n, entry in self._entries.items() if not entry.key.startswith(prefix)}

    def saved(self, prefix: str = "") -> list[StoredEntry]:
        """Return the entries that were saved, the oldest first."""
        return [e for e in self._entries.values() if e.created and e.key.startswith(prefix)]

    def count(self, method: str) -> int:
        """Return how often a method was called."""
        return sum(called == method for _, called in self.calls)

    def busiest_minute(self, method: str) -> int:
        """Return the most calls of a method in any 60 seconds."""
        times = [at for at, called in self.calls if called == method]
        return max((sum(at <= other < at + 60 for other in times) for at in times), default=0)

    def _limit(self, method: str, repository: str) -> None:
        limit, now = self.limits[method], self._clock()
        opened, used = self._windows.get((method, repository), (now, 0))
        if now >= opened + self.window:
            opened, used = now, 0
        if limit and used >= limit:
            left = int(opened + self.window - now) + 1
            raise CacheRefusalError(429, "resource_exhausted", "rate limit exceeded", left)
        self._windows[method, repository] = opened, used + 1

    def _create(self, rights: Rights, key: str, version: str) -> tuple[dict[str, Any], StoredEntry | None]:
        scope = next((scope for scope, permission in rights.scopes.items() if permission & WRITE), None)
        if scope is None:
            return {"ok": False, "message": "cache write denied: token has no writable scopes"}, None
        place = rights.repository, scope, key, version
        if any((e.repository, e.scope, e.key, e.version) == place for e in self._entries.values()):
            message = "cache entry with the same key, version, and scope already exists"
            raise CacheRefusalError(409, "already_exists", message)
        entry = StoredEntry(next(self._numbers), *place)
        self._entries[entry.number] = entry
        return {"ok": True}, entry

    def _finalize(self, rights: Rights, key: str, version: str, size: int) -> tuple[dict[str, Any], StoredEntry | None]:
        if size < 1:
            raise CacheRefusalError(400, "invalid_argument", "size invalid cache size value")
        for entry in self._entries.values():
            same = (entry.repository, entry.key, entry.version) == (rights.repository, key, version)
            if same and rights.scopes.get(entry.scope, 0) & WRITE and entry.data is not None:
                if len(entry.data) != size:
                    break
                entry.created = self._clock() or 1e-9
                entry.visible = entry.created + (self._random.expovariate(1 / self.lag) if self.lag else 0.0)
                return {"ok": True, "entry_id": str(entry.number)}, None
        raise CacheRefusalError(404, "not_found", "cache entry not found")

    def _find(self, rights: Rights, wanted: Sequence[str], version: str) -> tuple[dict[str, Any], StoredEntry | None]:
        readable = [scope for scope, permission in rights.scopes.items() if permission & READ]
        if not readable:
            raise CacheRefusalError(403, "permission_denied", "cache read denied: token has no readable scopes")
        now = self._clock()
        for scope in readable:
            place = rights.repository, scope, version
            there = [e for e in self._entries.values() if (e.repository, e.scope, e.version) == place]
            there = [entry for entry in there if entry.visible <= now]
            for key in wanted:
                found = [e for e in there if e.key == key] or [e for e in there if e.key.startswith(key)]
                if found:
                    newest = max(found, key=lambda entry: (entry.created, entry.number))
                    return {"ok": True, "matched_key": newest.key}, newest
        return {"ok": False}, None

"""What is kept: an immutable block, and the small pointers that name it.

A pointer comes from disks and from peers as often as from this node. Its bounds are on its own types, so that every
decoded `Pointer` is within them, whatever its origin.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import msgspec
from msgspec import Meta

from p2pcache.github.etag import Vary

CID_PREFIX = b"\x01\x55\x12\x20"
"""CID version 1, codec raw, multihash sha2-256 of 32 bytes (https://github.com/multiformats/cid)."""
MAX_TOPICS = 64
"""The most topics of a pointer."""

Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]
Short = Annotated[bytes, Meta(min_length=16, max_length=16)]
Cid = Annotated[bytes, Meta(min_length=36, max_length=36)]
Size = Annotated[int, Meta(ge=0, le=2**32)]
Unix = Annotated[float, Meta(ge=0, le=2**40)]
# RFC 9110 section 5.5: a field value that cannot end the line it is written to, of single bytes.
_VALUE = r"\A[\t\x20-\x7e\x80-\xff]*\Z"
Text = Annotated[str, Meta(max_length=512, pattern=_VALUE)]
Link = Annotated[str, Meta(max_length=8192, pattern=_VALUE)]


class Block(msgspec.Struct, frozen=True, array_like=True):
    """An answer as GitHub gave it, without the parts that depend on the caller or the time.

    Attributes:
        status: 200 or 301; no other is kept.
        headers: lower-case name and value, in GitHub's order, those of `github.headers.KEPT`.
        body: byte for byte as GitHub sent it, without content coding.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Pointer(msgspec.Struct, frozen=True, array_like=True):
    """Which scope may be served which block, until when. New fields go to the end, with a default.

    Attributes:
        name: keyed digest of the resource; without the secret no URL can be read from it.
        scope: keyed digest of the scope that fetched or proved the block.
        cid: CIDv1 (raw, sha2-256) of the sealed block, as bytes.
        etag: the validator that GitHub gave to the credential that asked, as received (may be weak), or None.
        last_modified: as received, or None.
        link: the `Link` header of the last unconditional answer, or None: a 304 does not vouch for it.
        lifetime: the class, a `github.request.Lifetime` value.
        proved_at: Unix seconds (this node's clock) when GitHub last vouched for the block, by 200 or 304.
        expires_at: Unix seconds after which it is not served without asking GitHub again.
        cost_ms: milliseconds that the upstream answer took, the base of "time saved".
        size: bytes of the sealed block.
        by: peer id of the node that asked, or "".
        topics: keyed digests of the read's topics, for invalidation.
        vary: the request fields that `etag` is made over, see `github.etag.vary_of`; None without a usable `Vary`.
    """

    name: Digest
    scope: Short
    cid: Cid
    etag: Text | None
    last_modified: Text | None
    link: Link | None
    lifetime: Annotated[str, Meta(pattern=r"\A(?:immutable|slow|normal|live)\Z")]
    proved_at: Unix
    expires_at: Unix
    cost_ms: Annotated[int, Meta(ge=0, le=2**31)]
    size: Size
    by: Annotated[str, Meta(max_length=64, pattern=r"\A[0-9A-Za-z]*\Z")]
    topics: Annotated[tuple[Short, ...], Meta(max_length=MAX_TOPICS)]
    vary: Annotated[Vary, Meta(max_length=3)] | None = None

    def __post_init__(self) -> None:
        """Check the prefix of `cid`, also when decoding: types cannot bound how bytes begin."""
        if not self.cid.startswith(CID_PREFIX):
            raise ValueError("expected a raw CIDv1 of sha2-256")

    @property
    def provable(self) -> bool:
        """Whether GitHub gave a validator, so that a 304 can vouch for it anew."""
        return self.etag is not None or self.last_modified is not None

    def fresh(self, now: float) -> bool:
        """Return whether it may be served to its own scope without asking GitHub."""
        return now < self.expires_at


@dataclass(slots=True, eq=False)
class Entry:
    """An opened pointer and its block, as memory holds them.

    `alive` turns False when the entry is evicted, replaced or dropped, so that an answer rendered from it (on the fast
    path) is known to be void without a look-up.
    """

    pointer: Pointer
    block: Block
    alive: bool = True
    variants: dict[object, bytes] = field(default_factory=dict)

    @property
    def key(self) -> tuple[bytes, bytes]:
        """(resource name, scope name): the key in memory."""
        return self.pointer.name, self.pointer.scope

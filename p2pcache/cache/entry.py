"""What is kept: an immutable block and the small pointers that name it (DESIGN section 4)."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec


class Block(msgspec.Struct, frozen=True, array_like=True):
    """An answer as GitHub gave it, free of everything that depends on who asked or when.

    Attributes:
        status: 200 or 301; nothing else is kept.
        headers: lower-case name and value, in GitHub's order, those of `github.headers.KEPT`.
        body: byte for byte what GitHub sent, before content coding.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Pointer(msgspec.Struct, frozen=True, array_like=True):
    """Who may be served which block, until when.

    Attributes:
        name: keyed digest of the resource (32 bytes); outsiders cannot read a URL from it.
        scope: keyed digest of the scope that fetched or proved the block (16 bytes).
        cid: CIDv1 (raw, sha2-256) of the sealed block, as bytes.
        etag: the validator GitHub gave to the credential that asked, as received (may be weak), or None.
        last_modified: as received, or None.
        link: the `Link` header of the last unconditional answer, or None: a 304 says nothing about it.
        lifetime: the class, a `github.request.Lifetime` value.
        proved_at: Unix seconds (this node's clock) when GitHub last vouched for the block, by 200 or 304.
        expires_at: Unix seconds after which it is not served without asking again.
        cost_ms: how long the upstream answer took, the base of "time saved".
        size: bytes of the sealed block.
        by: peer id of the node that asked, or "".
        topics: keyed digests of the read's topics (16 bytes each), for invalidation.
    """

    name: bytes
    scope: bytes
    cid: bytes
    etag: str | None
    last_modified: str | None
    link: str | None
    lifetime: str
    proved_at: float
    expires_at: float
    cost_ms: int
    size: int
    by: str
    topics: tuple[bytes, ...]

    def fresh(self, now: float) -> bool:
        """Whether it may be served to its own scope without asking GitHub."""
        return now < self.expires_at


@dataclass(slots=True, eq=False)
class Entry:
    """An opened pointer and its block, as memory holds them.

    `alive` turns False when the entry is evicted, replaced or dropped, so that whatever was derived from it
    (a prepared answer on the hit path) is known to be void without a lookup.
    """

    pointer: Pointer
    block: Block
    alive: bool = True
    variants: dict[object, bytes] = field(default_factory=dict)

    @property
    def key(self) -> tuple[bytes, bytes]:
        """(resource name, scope name): what memory is indexed by."""
        return self.pointer.name, self.pointer.scope

"""The interface of a service that keeps bytes: what `store_tier.StoreTier` needs of S3 or IPFS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class StoreError(Exception):
    """The service did not do what it was asked to.

    Args:
        sentence: for the log and ``/-/stats``; without secrets, and without bytes that the service chose.
        lasting: it will not do it the next time either: credentials, or a name, are wrong.
    """

    def __init__(self, sentence: str, *, lasting: bool = False) -> None:
        super().__init__(sentence)
        self.lasting = lasting


def check_credential(variable: str, text: str) -> None:
    """Refuse a credential that no header takes, on which client libraries fail in ways of their own.

    Raises:
        StoreError: it has a character other than the printable ones of ASCII.
    """
    if not (text.isascii() and text.isprintable()):
        raise StoreError(f"{variable} has a character that no credential has, such as a line break", lasting=True)


@dataclass(frozen=True, slots=True)
class Record:
    """The bytes kept under a name, and the version that a writer has to have seen to replace them."""

    data: bytes
    version: str


class Driver(Protocol):
    """A service that keeps blocks by CID and one mutable record for each resource.

    The caller bounds each call in time and cancels it. Every method may raise `StoreError`.

    Attributes:
        where: the place in a few words, for the log: ``the bucket example``.
        largest_block, largest_record: bytes; more is never given to it.
        writable: False where it can only be read.
    """

    where: str
    largest_block: int
    largest_record: int
    writable: bool

    async def open(self) -> None:
        """Connect, and learn what is there as far as that is cheap. Called again after a failure."""
        ...

    def lacks(self, name: bytes) -> bool:
        """Return whether no record of this name was there when last looked, so that a look-up is needless."""
        ...

    async def record(self, name: bytes) -> Record | None:
        """Return the record of a resource (its 32-byte name), or None."""
        ...

    async def put_record(self, name: bytes, data: bytes, version: str | None) -> str | None:
        """Write the record in place of `version` (None: of nothing), and return its own version.

        None: another writer was first.
        """
        ...

    async def block(self, cid: bytes) -> bytes | None:
        """Return the bytes kept under a CID, or None; the caller verifies them."""
        ...

    async def put_blocks(self, blocks: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep blocks, each a CID and its bytes; those that are there already may come again."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...

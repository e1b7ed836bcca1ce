"""What real TLS clients send first, made by Python's own."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence


def hello(server_name: str | None, protocols: Sequence[str] = (), context: ssl.SSLContext | None = None) -> bytes:
    """Return the first flight of a client."""
    if context is None:
        context = ssl.create_default_context()
        context.check_hostname = server_name is not None
    if protocols:
        context.set_alpn_protocols(list(protocols))
    written = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), written, server_hostname=server_name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return written.read()
    raise AssertionError("a client waits for a server")


def in_records(data: bytes, size: int) -> bytes:
    """Return the same message, split over records of at most `size` bytes."""
    return b"".join(data[:3] + len(piece).to_bytes(2) + piece for piece in _pieces(data[5:], size))


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))

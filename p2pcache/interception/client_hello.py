"""What a TLS client says first: whom it wants, what it speaks, and a mark of its kind (RFC 8446 section 4.1.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

RECORD_HEAD = 5
HANDSHAKE, CLIENT_HELLO = 22, 1
LONGEST = 32 << 10
"""Bytes of a ClientHello; the largest seen, with post-quantum key shares, have 2 KB."""
_SERVER_NAME, _GROUPS, _SIGNATURES, _ALPN, _VERSIONS = 0, 10, 13, 16, 43  # IANA, TLS ExtensionType Values
_OF_ONE_CONNECTION = frozenset({21, 35, 41, 42})  # padding, session_ticket, pre_shared_key, early_data
_GREASE = frozenset(0x0A0A + 0x1010 * i for i in range(16))  # RFC 8701 section 2


class NotTlsError(ValueError):
    """These bytes begin no TLS connection, or none that can be read."""


class ClientHello(NamedTuple):
    """The part of a ClientHello that counts here.

    Attributes:
        server_name: lower case; empty where the client names none.
        protocols: of ALPN (RFC 7301), empty where it offers none.
        mark: equal for connections of one TLS library in one configuration.
    """

    server_name: str
    protocols: tuple[str, ...]
    mark: str


def parse(data: bytes) -> ClientHello | None:
    """Return the ClientHello at the beginning of `data`, or None where more bytes are needed.

    Raises:
        NotTlsError: no ClientHello begins here.
    """
    message = _message(data)
    if message is None:
        return None
    try:
        return _hello(_Reader(message))
    except (IndexError, UnicodeDecodeError):
        raise NotTlsError("the ClientHello contradicts itself") from None


def _message(data: bytes) -> bytes | None:
    """Return the first handshake message without its head; it may be split over several records."""
    body = bytearray()
    at = 0
    while True:
        if data[at : at + 1] not in (b"", bytes([HANDSHAKE])):
            raise NotTlsError("this is no TLS")
        if len(data) < at + RECORD_HEAD:
            return None
        size = int.from_bytes(data[at + 3 : at + RECORD_HEAD])
        if not size:
            raise NotTlsError("an empty record")
        body += data[at + RECORD_HEAD : at + RECORD_HEAD + size]
        at += RECORD_HEAD + size
        if body and body[0] != CLIENT_HELLO:
            raise NotTlsError("this is no ClientHello")
        if len(body) >= 4:
            length = int.from_bytes(body[1:4])
            if length > LONGEST:
                raise NotTlsError("the ClientHello is too long")
            if len(body) >= 4 + length:
                return bytes(body[4 : 4 + length])
        if len(data) < at:
            return None


def _hello(message: _Reader) -> ClientHello:
    message.take(2 + 32)  # legacy version, random
    message.vector(1)  # session id
    ciphers = _codes(message.vector(2))
    message.vector(1)  # compression methods
    name = ""
    protocols: tuple[str, ...] = ()
    kinds: list[int] = []
    versions: list[int] = []
    more = b""
    extensions = _Reader(message.vector(2)) if message.left else _Reader(b"")
    while extensions.left:
        kind, value = extensions.number(2), extensions.vector(2)
        if kind in _GREASE:
            continue
        kinds.append(kind)
        if kind == _SERVER_NAME:
            name = _server_name(value)
        elif kind == _ALPN:
            protocols = tuple(_texts(_Reader(value).vector(2)))
        elif kind == _VERSIONS:
            versions = _codes(_Reader(value).vector(1))
        elif kind in (_GROUPS, _SIGNATURES):
            more += repr(_codes(_Reader(value).vector(2))).encode()
    steady = sorted(kind for kind in kinds if kind not in _OF_ONE_CONNECTION)  # browsers shuffle them
    mark = repr((ciphers, steady, protocols, versions)).encode() + more
    return ClientHello(name, protocols, hashlib.sha256(mark).hexdigest()[:16])


def _server_name(value: bytes) -> str:
    names = _Reader(_Reader(value).vector(2))
    while names.left:
        kind, name = names.number(1), names.vector(2)
        if kind == 0:
            return name.decode("ascii").lower()
    return ""


def _codes(packed: bytes) -> list[int]:
    codes = (int.from_bytes(packed[at : at + 2]) for at in range(0, len(packed), 2))
    return [code for code in codes if code not in _GREASE]


def _texts(packed: bytes) -> Iterator[str]:
    reader = _Reader(packed)
    while reader.left:
        yield reader.vector(1).decode("latin-1")


class _Reader:
    """Takes bytes from the front; IndexError where there are too few."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise IndexError
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> bytes:
        """Take what is preceded by its length in `size` bytes."""
        return self.take(self.number(size))

"""Parsers for the text of flags and variables; each returns the value or raises `ValueError`."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from p2pcache import addresses
from p2pcache import backends as registry
from p2pcache.declarations import SOCKET_PATH_BYTES
from p2pcache.github.lifetimes import parse_ttl
from p2pcache.github.request import Lifetime

_PORTS = {"http": 80, "https": 443}
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Bytes = Annotated[int, msgspec.Meta(ge=1 << 20)]


_BUCKET = re.compile(r"(?:(s3)://)?([A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9])((?:/.*)?)")
_FOLDER = re.compile(r"[A-Za-z0-9._=-]{1,128}")
_ID = re.compile(r"[1-9][0-9]{0,19}")
_REGION = re.compile(r"[a-z0-9-]{0,64}")


class Secret:
    """A hidden value: `str`, `repr` and formatting give asterisks, only `reveal` returns it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Listen(msgspec.Struct, frozen=True):
    """The gateway's listening address, or a listener inherited from the supervisor as a file descriptor."""

    host: str = "127.0.0.1"
    port: int = 0
    fd: int | None = None


class GatewayHost(msgspec.Struct, frozen=True):
    """An address for other machines: in place of `Listen`'s where it has no port, else beside it.

    Attributes:
        fd: a listener inherited from the service manager.
    """

    host: str
    port: int | None = None
    fd: int | None = None

    @property
    def beside(self) -> bool:
        """Whether it has a listener of its own."""
        return self.port is not None or self.fd is not None


class BucketName(msgspec.Struct, frozen=True):
    """A bucket of an object store, and the folder in it."""

    name: str
    folder: str = ""


def items(text: str) -> tuple[str, ...]:
    """Split a list at commas and white space."""
    return tuple(part for part in text.replace(",", " ").split() if part)


def secret(text: str) -> Secret:
    """Parse one secret, without the final newline of files and heredocs."""
    return Secret(text.strip())


def token(text: str) -> Secret:
    """Parse a token that is sent in a header field.

    Raises:
        ValueError: it cannot be sent in one.
    """
    found = text.strip()
    if not found.isascii() or not found.isprintable() or " " in found:
        raise ValueError
    return Secret(found)


def secrets(text: str) -> tuple[Secret, ...]:
    """Parse one secret per line."""
    return tuple(secret(line) for line in text.splitlines() if line.strip())


def secrets_in(path: Path) -> tuple[Secret, ...]:
    """Read a file with one secret per line.

    Raises:
        ValueError: it cannot be read, or there is none in it.
    """
    try:
        found = secrets(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(getattr(error, "strerror", None) or "it is no text") from None
    if not found:
        raise ValueError("it is empty")
    return found


def listen(text: str) -> Listen:
    """Parse ``HOST:PORT``, ``[v6]:PORT``, or ``fd:N`` from the supervisor."""
    if text.startswith("fd:"):
        return Listen(fd=msgspec.convert(text[3:], int, strict=False))
    host, _, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not bare or (":" in bare and bare == host):
        raise ValueError
    return Listen(bare, msgspec.convert(port, Port, strict=False))


def gateway_host(text: str) -> GatewayHost:
    """Parse a name or address to listen on, with or without port: ``HOST``, ``HOST:PORT``, ``[v6]:PORT``."""
    if text.endswith("]") or (text.count(":") != 1 and "]" not in text):
        bare = text.removeprefix("[").removesuffix("]")
        listen(f"[{bare}]:0")
        return GatewayHost(bare)
    where = listen(text)
    return GatewayHost(where.host, where.port)


def upstream(text: str) -> str:
    """Return a URL in its normal form (RFC 3986 section 6.2), from which the keys of one server are derived.

    Scheme and host in lower case, no default port, no slash at the end.
    """
    url = urlsplit(text)
    name = (url.hostname or "").rstrip(".")
    if url.scheme not in _PORTS or not name or "@" in url.netloc or url.query or url.fragment:
        raise ValueError
    if url.port == 0 or not text.isprintable() or " " in text:
        raise ValueError
    host = f"[{ipaddress.IPv6Address(name)}]" if ":" in name else name
    port = "" if url.port in (None, _PORTS[url.scheme]) else f":{url.port}"
    return f"{url.scheme}://{host}{port}{url.path.rstrip('/')}"


def https_url(text: str) -> str:
    """Parse the URL of a service that has to prove who it is, see `upstream`."""
    url = upstream(text)
    if not url.startswith("https:"):
        raise ValueError
    return url


def ids(text: str) -> tuple[str, ...]:
    """Parse GitHub's numeric ids; a name can come to mean another repository, an id cannot."""
    found = tuple(dict.fromkeys(items(text)))
    if not all(_ID.fullmatch(item) for item in found):
        raise ValueError
    return found


def urls(text: str) -> tuple[str, ...]:
    """Return URLs in their normal form, each once."""
    return tuple(dict.fromkeys(upstream(item) for item in items(text)))


def ipfs_api(text: str) -> str:
    """Return the URL of a daemon's RPC, given as a URL or as the multiaddr of the daemon's configuration; "" of ""."""
    if not text.startswith("/"):
        return upstream(text) if text else ""
    address = addresses.parse(text.removesuffix("/http"))
    host = f"[{address.host}]" if ":" in address.host else address.host
    return upstream(f"http://{host}:{address.port}")


def service_name(text: str) -> str:
    """Check a name that goes into a request and into the log."""
    if not re.fullmatch(r"[\w.-]{0,64}", text, re.ASCII):
        raise ValueError
    return text


def size(text: str) -> int:
    """Parse a number of bytes, at least a mebibyte."""
    return msgspec.convert(text, Bytes, strict=False)


def lifetimes(text: str) -> dict[Lifetime, float]:
    """Parse lifetimes by class, see `github.lifetimes.parse_ttl`."""
    return parse_ttl(text)


def backends(text: str) -> tuple[str, ...]:
    """Parse names of backends."""
    chosen = tuple(item.lower() for item in items(text))
    valid = {*registry.names(), *(backend.name for backend in registry.ended())}
    if len(set(chosen)) != len(chosen) or not set(chosen) <= valid:
        raise ValueError
    return chosen


def bucket(text: str) -> BucketName | None:
    """Parse ``NAME`` or ``s3://NAME/FOLDER``; None for an empty text."""
    if not text:
        return None
    parts = _BUCKET.fullmatch(text)
    if parts is None:
        raise ValueError
    return BucketName(parts[2], folder(parts[3]))


def folder(text: str) -> str:
    """Check a path of keys, and return it without slashes around it."""
    path = text.strip("/")
    if path and not all(_FOLDER.fullmatch(part) and part not in (".", "..") for part in path.split("/")):
        raise ValueError
    return path


def endpoint(text: str) -> str:
    """Parse the URL of a service, see `upstream`; or nothing."""
    return upstream(text) if text else ""


def region(text: str) -> str:
    """Check the name of a region, or nothing."""
    if not _REGION.fullmatch(text):
        raise ValueError
    return text


def socket_path(text: str) -> Path:
    """Return an absolute path within the length limit of a socket address."""
    path = Path(text).absolute()
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
        raise ValueError
    return path


def path(text: str) -> Path:
    """Return an absolute path; ``~`` is the home directory."""
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise ValueError from error


def multiaddrs(text: str) -> tuple[str, ...]:
    """Check TCP multiaddrs to dial, with or without a peer id."""
    return tuple(_multiaddr(item) for item in items(text))


def multiaddr(text: str) -> str:
    """Check one multiaddr to listen at."""
    found = items(text)
    if len(found) != 1:
        raise ValueError
    return _multiaddr(found[0], listen=True)


def _multiaddr(text: str, *, listen: bool = False) -> str:
    if text.startswith("/tcp/"):
        raise ValueError(f"/tcp/PORT is for the Action alone: name the host, e.g. {addresses.EXAMPLE}")
    addresses.parse(text, listen=listen)
    return text


def repository(text: str) -> str:
    """Check ``OWNER/NAME``."""
    owner, _, name = text.partition("/")
    if not owner or not name or "/" in name:
        raise ValueError
    return text


def pairs(text: str) -> tuple[tuple[int, int], ...]:
    """Parse ``a:b,...``, numbers from the supervisor."""
    return tuple(msgspec.convert(item.split(":"), tuple[int, int], strict=False) for item in items(text))


def pair(text: str) -> tuple[int, int]:
    """Parse ``a:b``."""
    (one,) = pairs(text)
    return one

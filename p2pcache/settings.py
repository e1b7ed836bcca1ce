"""The one reader of the environment: a flag beats a variable, which beats the default (INTERFACE sections 1 and 2)."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

from p2pcache.github.lifetimes import DEFAULT_SECONDS, parse_ttl
from p2pcache.github.request import Lifetime

UPSTREAM = "https://api.github.com"
BACKENDS = ("disk", "p2p")
SOCKET_PATH_BYTES = 107
"""The longest path a unix socket can have on Linux (``sun_path`` less its terminating zero)."""


class SettingsError(ValueError):
    """A flag or variable that cannot be used: one line that names it, what was read and what would be right."""


class Secret:
    """A value that must not be seen: `str`, `repr` and formatting give asterisks, only `reveal` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one place that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Share(enum.StrEnum):
    """What may be served to whom without a proof (DESIGN section 4)."""

    SCOPE = "scope"
    VERIFIED = "verified"
    OFF = "off"


class LogLevel(enum.StrEnum):
    """How much the node says on stderr."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the gateway listens: an address, or a listener inherited from the supervisor as a file descriptor."""

    host: str = "127.0.0.1"
    port: int = 0
    fd: int | None = None

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")


Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Bytes = Annotated[int, msgspec.Meta(ge=1 << 20)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a node can be told, validated."""

    listen: Listen = Listen()
    socket: Path | None = None
    socket_fd: int | None = None
    keeper: tuple[int, int] | None = None
    adopt: tuple[tuple[int, int], ...] = ()
    p2p: bool = True
    p2p_port: Port = 9000
    p2p_listen: str = ""
    bootstrap: tuple[str, ...] = ()
    hub_peer_id: str = ""
    announce: tuple[str, ...] = ()
    mdns: bool = False
    upstream: str = UPSTREAM
    directory: Path = Path()
    backends: tuple[str, ...] = BACKENDS
    share: Share = Share.SCOPE
    lifetimes: Mapping[Lifetime, float] = DEFAULT_SECONDS
    memory_bytes: Bytes = 64 << 20
    disk_bytes: Bytes = 1 << 30
    secrets: tuple[Secret, ...] = ()
    token: Secret | None = None
    control_token: Secret | None = None
    repository: str = ""
    ready_file: Path | None = None
    stats_file: Path | None = None
    hub: bool = False
    log_level: LogLevel = LogLevel.INFO


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a client of a running node needs to know."""

    socket: Path | None = None
    api_url: str = ""
    graphql_url: str = ""
    token: Secret | None = None
    run_directory: Path = Path()

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> ClientSettings:
        """Read `P2PCACHE_*` as the Action or ``p2pcache up`` exported them, and the token gh and PyGithub would use."""
        socket = environ.get("P2PCACHE_SOCKET")
        token = environ.get("GITHUB_TOKEN") or environ.get("GH_TOKEN")
        return cls(
            socket=Path(socket) if socket else None,
            api_url=environ.get("P2PCACHE_API_URL", ""),
            graphql_url=environ.get("P2PCACHE_GRAPHQL_URL", ""),
            token=Secret(token) if token else None,
            run_directory=_cache_directory(environ) / "run",
        )


def _items(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.replace(",", " ").split() if part)


def _secrets(text: str) -> tuple[Secret, ...]:
    return tuple(Secret(line.strip()) for line in text.splitlines() if line.strip())


def _listen(text: str) -> Listen:
    if text.startswith("fd:"):
        return Listen(fd=msgspec.convert(text[3:], int, strict=False))
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port:
        raise ValueError("expected HOST:PORT, e.g. 127.0.0.1:0")
    return Listen(host, msgspec.convert(port, Port, strict=False))


def _upstream(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname or url.username or url.query or url.fragment:
        raise ValueError("expected an http(s) URL without credentials or query, e.g. https://api.github.com")
    if url.port == 0:
        raise ValueError("expected a port from 1 to 65535")
    return text.rstrip("/")


def _backends(text: str) -> tuple[str, ...]:
    known = BACKENDS
    chosen = tuple(item.lower() for item in _items(text))
    for name in chosen:
        if name not in known:
            raise ValueError(f"expected some of {', '.join(known)}, comma separated")
    if len(set(chosen)) != len(chosen):
        raise ValueError("each backend may be named once")
    return chosen


def _socket(text: str) -> Path:
    if len(os.fsencode(Path(text).absolute())) > SOCKET_PATH_BYTES:
        raise ValueError(f"a socket's path has at most {SOCKET_PATH_BYTES} bytes")
    return Path(text).absolute()


def _multiaddrs(text: str) -> tuple[str, ...]:
    items = _items(text)
    for item in items:
        if not item.startswith("/") or len(item) > 512:
            raise ValueError("expected multiaddrs, e.g. /ip4/172.17.0.1/tcp/9100 or /dns4/hub/tcp/9100")
    return items


def _pairs(text: str) -> tuple[tuple[int, int], ...]:
    """``a:b,...``: numbers that the supervisor passes."""
    return tuple(msgspec.convert(item.split(":"), tuple[int, int], strict=False) for item in _items(text))


def _repository(text: str) -> str:
    owner, _, name = text.partition("/")
    if not owner or not name or "/" in name:
        raise ValueError("expected OWNER/NAME")
    return text


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a setting comes from: the flag users type and the variables, in the order in which they count."""

    field: str
    flag: str = ""
    variables: tuple[str, ...] = ()
    parse: Callable[[str], Any] | None = None
    secret: bool = False


_SOURCES = (
    _Source("listen", "--listen", (), _listen),
    _Source("socket", "--socket", (), _socket),
    _Source("socket_fd", "--socket-fd"),
    _Source("keeper", "--keeper", (), lambda text: _pairs(text)[0]),
    _Source("adopt", "--adopt", (), lambda text: _pairs(text)),
    _Source("p2p", "--no-p2p", ("CACHE_ENABLE_P2P",)),
    _Source("p2p_port", "", ("CACHE_LISTEN_PORT",)),
    _Source("p2p_listen", "--p2p-listen", (), lambda text: _multiaddrs(text)[0] if text else ""),
    _Source(
        "bootstrap",
        "--bootstrap",
        ("CACHE_BOOTSTRAP_PEERS", "CACHE_P2P_BOOTSTRAP", "MCP_P2P_BOOTSTRAP_PEERS"),
        _multiaddrs,
    ),
    _Source("hub_peer_id", "", ("MCP_PEER_ID",), str.strip),
    _Source("announce", "--announce", (), _multiaddrs),
    _Source("mdns", "--mdns", ("CACHE_MDNS",)),
    _Source("upstream", "--upstream", ("CACHE_UPSTREAM", "GITHUB_API_URL"), _upstream),
    _Source("directory", "--dir", ("CACHE_DIR",), lambda text: Path(text).expanduser().absolute()),
    _Source("backends", "--backends", ("CACHE_BACKENDS", "CACHE_BACKEND"), _backends),
    _Source("share", "--share", ("CACHE_SHARE",)),
    _Source("lifetimes", "", ("CACHE_TTL",), lambda text: {**DEFAULT_SECONDS, **parse_ttl(text)}),
    _Source("memory_bytes", "", ("CACHE_MEMORY_BYTES",)),
    _Source("disk_bytes", "", ("CACHE_DISK_BYTES",)),
    _Source("secrets", "", ("CACHE_SECRET",), _secrets, secret=True),
    _Source("token", "", ("GITHUB_TOKEN",), Secret, secret=True),
    _Source("control_token", "", ("CACHE_CONTROL_TOKEN",), Secret, secret=True),
    _Source("repository", "", ("GITHUB_REPOSITORY",), _repository),
    _Source("ready_file", "--ready-file", (), lambda text: Path(text).absolute()),
    _Source("stats_file", "--stats-file", (), lambda text: Path(text).absolute()),
    _Source("hub", "--hub"),
    _Source("log_level", "--log-level", ("CACHE_LOG_LEVEL",)),
)
_REPEATED = ("bootstrap", "announce")
_TYPES = {f.name: f.type for f in msgspec.structs.fields(Settings)}


def as_flags(flags: Mapping[str, str]) -> list[str]:
    """The command line that says what `flags` (raw text by field name, as for `load`) say."""
    line: list[str] = []
    for source in _SOURCES:
        if not (value := flags.get(source.field)):
            continue
        if _TYPES[source.field] is bool:
            line.append(source.flag)
        elif source.field in _REPEATED:
            for item in _items(value):
                line += [source.flag, item]
        else:
            line += [source.flag, value]
    return line


def _cache_directory(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "p2pcache"


def load(flags: Mapping[str, str] | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings of a node.

    Args:
        flags: raw text by field name, for each flag that was given; repeated flags joined by commas.
        environ: variables; an empty one counts as unset, as Actions passes inputs that were not given.

    Raises:
        SettingsError: with one line that names the flag or variable, what was read, and what would be right.
    """
    values: dict[str, Any] = {}
    for source in _SOURCES:
        if flags and flags.get(source.field):
            values[source.field] = _read(source, source.flag, flags[source.field])
            continue
        variable = next((v for v in source.variables if environ.get(v, "").strip()), None)
        if variable:
            values[source.field] = _read(source, variable, environ[variable])
    values.setdefault("directory", _cache_directory(environ))
    if values.get("hub"):
        values.setdefault("p2p_port", 9100)
    return Settings(**values)


def _read(source: _Source, origin: str, text: str) -> Any:
    try:
        if source.parse:
            return source.parse(text)
        return msgspec.convert(text.strip(), _TYPES[source.field], strict=False)
    except (ValueError, msgspec.ValidationError) as error:
        shown = "a value that is not shown" if source.secret else repr(text[:120])
        reason = str(error).replace("`", "")
        raise SettingsError(f"{origin}: read {shown}: {reason}") from None

"""The one reader of the environment: a flag beats a variable, which beats the default (docs/interface.md)."""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from p2pcache import backends
from p2pcache import values as read
from p2pcache.declarations import HUB_PORT, OIDC_ISSUER, SETTINGS, UPSTREAM
from p2pcache.github.lifetimes import DEFAULT_SECONDS
from p2pcache.github.request import Lifetime
from p2pcache.options import Setting
from p2pcache.values import Bytes, GatewayHost, Listen, Port, Secret

__all__ = ["ClientSettings", "Listen", "LogLevel", "Secret", "Settings", "SettingsError", "Share", "as_flags", "load"]


class SettingsError(ValueError):
    """An unusable flag or variable; the message names it, quotes the value and gives valid ones, in one line."""


class Share(enum.StrEnum):
    """The answers that may be served without a proof (README.md#what-is-shared-with-whom)."""

    SCOPE = "scope"
    VERIFIED = "verified"
    OFF = "off"


class LogLevel(enum.StrEnum):
    """The verbosity of the log on stderr."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(enum.StrEnum):
    """The form of the log's lines."""

    TEXT = "text"
    JSON = "json"


def _parser(setting: Setting) -> Callable[[str], Any]:
    if setting.parse:
        return getattr(read, setting.parse)  # type: ignore[no-any-return]
    return partial(msgspec.convert, type=_TYPES.get(setting.field, str), strict=False)


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given of what backends declare, else its default."""
    return {s.field: given[s.field] if s.field in given else _parser(s)(s.default) for s in backends.settings()}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a node, validated.

    `token` is the one that the user configured; `job_token` is the runner's own, passed by the Action only.
    `options` has the settings that backends declare, by field.
    """

    listen: Listen = Listen()
    gateway_host: GatewayHost | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    socket: Path | None = None
    socket_fd: int | None = None
    secrets_fd: int | None = None
    keeper: tuple[int, int] | None = None
    adopt: tuple[tuple[int, int], ...] = ()
    p2p: bool = True
    p2p_port: Port = 0
    p2p_listen: str = ""
    bootstrap: tuple[str, ...] = ()
    hub_peer_id: str = ""
    announce: tuple[str, ...] = ()
    mdns: bool = False
    upstream: str = UPSTREAM
    directory: Path = Path()
    backends: tuple[str, ...] = backends.default()
    share: Share = Share.SCOPE
    lifetimes: Mapping[Lifetime, float] = DEFAULT_SECONDS
    memory_bytes: Bytes = 64 << 20
    secrets: tuple[Secret, ...] = ()
    secret_file: Path | None = None
    token: Secret | None = None
    job_token: Secret | None = None
    in_actions: bool = False
    control_token: Secret | None = None
    webhook_secrets: tuple[Secret, ...] = ()
    repository: str = ""
    oidc_repositories: tuple[str, ...] = ()
    oidc_owners: tuple[str, ...] = ()
    oidc_issuer: str = OIDC_ISSUER
    id_token_url: str = ""
    id_token_key: Secret | None = None
    ready_file: Path | None = None
    stats_file: Path | None = None
    hub: bool = False
    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.TEXT
    log_requests: bool = False
    traces_endpoint: str = ""
    options: Mapping[str, Any] = msgspec.field(default_factory=lambda: _options({}))


class ManagerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a service manager (systemd) passes to a process: see sd_notify(3) and sd_listen_fds(3)."""

    notify: str = ""
    descriptors: tuple[int, ...] = ()

    @classmethod
    def take(cls, environ: MutableMapping[str, str] = os.environ) -> ManagerSettings:
        """Read the variables that are meant for this process, and unset them: no child is to take them for its own."""
        notify = environ.pop("NOTIFY_SOCKET", "")
        given = {name: environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")}
        count = given["LISTEN_FDS"] if given["LISTEN_PID"] == str(os.getpid()) else ""
        passed = range(FIRST_PASSED, FIRST_PASSED + (int(count) if count.isdecimal() else 0))
        return cls(notify=notify, descriptors=tuple(passed))


INTERCEPTOR_KEY = "P2PCACHE_INTERCEPTOR_KEY"
"""The variable, never in a process's first environment, in which an interceptor gets its key."""


class InterceptorSettings(msgspec.Struct, frozen=True):
    """What an interceptor gets from its supervisor; `key` in PEM."""

    key: bytes

    @classmethod
    def take(cls, environ: MutableMapping[str, str] = os.environ) -> InterceptorSettings:
        """Read the key, and unset it.

        Raises:
            KeyError: there is none.
        """
        return cls(environ.pop(INTERCEPTOR_KEY).encode())


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a client of a running node."""

    socket: Path | None = None
    token: Secret | None = None
    second_token: Secret | None = None
    control_token: Secret | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> ClientSettings:
        """Read the variables that the Action or ``p2pcache up`` exported, and the token of gh and PyGithub."""
        socket = environ.get("P2PCACHE_SOCKET")
        token = environ.get("GITHUB_TOKEN") or environ.get("GH_TOKEN")
        second = environ.get("P2PCACHE_SECOND_TOKEN")
        control = environ.get("CACHE_CONTROL_TOKEN")
        return cls(
            socket=Path(socket) if socket else None,
            token=Secret(token) if token else None,
            second_token=Secret(second) if second else None,
            control_token=Secret(control) if control else None,
        )


FIRST_PASSED = 3
"""The first descriptor that a service manager passes (SD_LISTEN_FDS_START)."""
_EXPLAIN = (read.multiaddr, read.multiaddrs, read.lifetimes)
"""Parsers whose errors are more specific than `Setting.expected`."""
_OTHERS_TOO = {"GITHUB_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"}
_TYPES = {f.name: f.type for f in msgspec.structs.fields(Settings)}


def environment() -> dict[str, str]:
    """Return all variables, for code that passes them to a child or has rules of its own."""
    return dict(os.environ)


def for_commands() -> dict[str, str]:
    """Return all variables except the node's secrets, which a command that uses the node does not need.

    `GITHUB_TOKEN` stays: the command sends it with its own requests. So does what the runner gives every step.
    """
    own = {name for setting in SETTINGS if setting.secret for name in setting.variables} - _OTHERS_TOO
    return {name: value for name, value in environment().items() if name not in own}


def hide(variables: Mapping[str, str]) -> None:
    """Add variables that arrived through a socket.

    Other processes of the user can read a process's initial environment; later changes stay invisible to them.
    """
    os.environ.update(variables)


def unset_empty(names: Iterable[str]) -> None:
    """Unset those of `names` that are empty, for a library that takes an empty variable for a value."""
    for name in names:
        if not os.environ.get(name, "x").strip():
            del os.environ[name]


def as_flags(flags: Mapping[str, str]) -> list[str]:
    """Return the command line equivalent to `flags` (raw text by field name, as for `load`)."""
    line: list[str] = []
    for setting in SETTINGS:
        if not (value := flags.get(setting.field)):
            continue
        if not setting.metavar:
            if msgspec.convert(value, bool, strict=False) is (setting.switch == "true"):
                line.append(setting.flag)
        elif setting.repeated:
            for item in read.items(value):
                line += [setting.flag, item]
        else:
            line += [setting.flag, value]
    return line


def _cache_directory(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CACHE_HOME")
    try:
        return ((Path(base) if base else Path.home() / ".cache") / "p2pcache").absolute()
    except RuntimeError:
        raise SettingsError("CACHE_DIR: read nothing, and there is no home directory: name a directory") from None


def load(flags: Mapping[str, str] | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings of a node.

    Args:
        flags: raw text by field name, for each given flag; repeated flags joined by commas.
        environ: variables; an empty one counts as unset, since Actions passes unset inputs as empty ones.

    Raises:
        SettingsError: a value is invalid, or two contradict each other.
    """
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        if flags and flags.get(setting.field):
            values[setting.field] = _read(setting, setting.flag, flags[setting.field])
            continue
        variable = next((v for v in setting.variables if _is_set(environ, v)), None)
        if variable:
            values[setting.field] = _read(setting, variable, environ[variable])
    if "directory" not in values:
        values["directory"] = _cache_directory(environ)
    # act sets both variables: its `github.token` is a token of its user.
    values["in_actions"] = environ.get("GITHUB_ACTIONS") == "true" and environ.get("ACT") != "true"
    _check_gateway_host(values)
    _read_secret_file(values)
    if values.get("hub"):
        values.setdefault("p2p_port", HUB_PORT)
    _name_ended(values)
    options = _options(values)
    return Settings(**{name: value for name, value in values.items() if name not in options}, options=options)


def _name_ended(values: dict[str, Any]) -> None:
    """Add a backend whose service is no more to those that were chosen where a variable of it is set."""
    chosen = values.get("backends", backends.default())
    meant = (b.name for b in backends.ended() if any(setting.field in values for setting in b.settings))
    values["backends"] = (*chosen, *(name for name in meant if name not in chosen))


def _read_secret_file(values: dict[str, Any]) -> None:
    path: Path | None = values.get("secret_file")
    if path is None:
        return
    if values.get("secrets"):
        raise SettingsError("CACHE_SECRET_FILE: CACHE_SECRET is set too: set one of the two")
    try:
        values["secrets"] = read.secrets_in(path)
    except ValueError as error:
        expected = "a file that this user may read, with one secret a line"
        raise SettingsError(f"CACHE_SECRET_FILE: read {str(path)!r} ({error}): expected {expected}") from None


def _check_gateway_host(values: Mapping[str, Any]) -> None:
    where: GatewayHost | None = values.get("gateway_host")
    if where and not values.get("control_token"):
        raise SettingsError(
            "--gateway-host: from other machines only who has the CACHE_CONTROL_TOKEN is answered: set one"
        )
    given = [name for name in ("tls_cert", "tls_key") if values.get(name)]
    if len(given) == 1:
        raise SettingsError("--tls-cert and --tls-key: one is of no use without the other: name both files")
    if given and not (where and where.beside):
        raise SettingsError(
            "--tls-cert: TLS is for an address beside --listen, which stays plain HTTP for this machine: "
            "name one with its port, e.g. --gateway-host 0.0.0.0:8443"
        )


def _is_set(environ: Mapping[str, str], variable: str) -> bool:
    """Return whether a variable is set; `GITHUB_API_URL` is not if ``p2pcache up`` set it to a gateway's address."""
    value = environ.get(variable, "").strip()
    return bool(value) and not (variable == "GITHUB_API_URL" and value == environ.get("P2PCACHE_API_URL", "").strip())


def _read(setting: Setting, origin: str, text: str) -> Any:
    parse = _parser(setting)
    try:
        return parse(text.strip())
    except ValueError as error:  # msgspec's errors included, which are less specific
        shown = "a value that is not shown" if setting.secret else repr(_without_credentials(text)[:120])
        own = "" if isinstance(error, msgspec.ValidationError) else str(error)
        own = own if own and parse in _EXPLAIN else ""
        raise SettingsError(f"{origin}: read {shown}: {own or 'expected ' + setting.expected}") from None


def _without_credentials(text: str) -> str:
    """Return a URL, even a malformed one, without its user, password and query."""
    scheme = re.match(r"[a-z]+://", text)
    head = scheme[0] if scheme else ""
    at, query = text.rfind("@") + 1, text.find("?")
    shown = text[max(at, len(head)) : query if query >= 0 else None]
    return f"{head}{'***@' if at else ''}{shown}{'?***' if query >= 0 else ''}"

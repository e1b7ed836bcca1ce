"""Where a node's gateway listens: sockets that it opens, and those that a supervisor or service manager opened."""

from __future__ import annotations

import contextlib
import logging
import socket
from dataclasses import dataclass
from pathlib import Path

import msgspec

from p2pcache.gateway import listen
from p2pcache.gateway.listen import ListenError
from p2pcache.gateway.tls import Certificate, CertificateError
from p2pcache.settings import Listen, Settings, SettingsError
from p2pcache.values import GatewayHost

log = logging.getLogger("p2pcache")


@dataclass(frozen=True, slots=True)
class Listening:
    """The sockets of a gateway.

    Attributes:
        plain: those that speak plain HTTP; the first is TCP, the last the unix socket.
        tls: the one that speaks TLS, if one does, and its certificate.
        path: of the unix socket.
        own_path: whether this node made it, and removes it.
    """

    plain: list[socket.socket]
    tls: tuple[socket.socket, Certificate] | None
    path: Path
    own_path: bool

    @property
    def url(self) -> str:
        """The gateway's URL for this machine."""
        host, port = self.plain[0].getsockname()[:2]
        return f"http://{authority('127.0.0.1' if host == '0.0.0.0' else host, port)}"  # noqa: S104 - compared, not bound

    def reload(self) -> None:
        """Read the certificate again; one that cannot be used is logged, and the former one stays."""
        if self.tls is None:
            return
        try:
            self.tls[1].reload()
        except CertificateError as error:
            log.warning("%s; the former certificate stays in use", error)
        else:
            log.info("the certificate was read again: new connections get it")

    def log_exposure(self) -> None:
        """Log which address other machines reach, and whether what they send is encrypted."""
        if self.tls is not None:
            log.info("other machines reach the control endpoints at https://%s", authority(*address_of(self.tls[0])))
        for each in self.plain:
            if each.family != socket.AF_UNIX and not listen.here(address_of(each)):
                log.warning(
                    "%s is open to other machines in plain HTTP, their control token included: give it "
                    "--gateway-host HOST:PORT with --tls-cert and --tls-key, or leave it to a proxy with TLS",
                    authority(*address_of(each)),
                )


def open_all(settings: Settings) -> Listening:
    """Listen where `settings` say.

    Raises:
        ListenError: an address cannot be listened on.
        SettingsError: the certificate cannot be used.
    """
    certificate = None
    if settings.tls_cert and settings.tls_key:
        try:
            certificate = Certificate(settings.tls_cert, settings.tls_key)
        except CertificateError as error:
            raise SettingsError(str(error)) from None
    where, outside = settings.listen, settings.gateway_host
    host = outside.host if outside and not outside.beside else where.host
    with contextlib.ExitStack() as undo:
        plain = [undo.enter_context(listen.inherit(where.fd) if where.fd is not None else listen.tcp(host, where.port))]
        tls = None
        if outside and outside.beside:
            opened = undo.enter_context(_outside(outside))
            if certificate:
                tls = (opened, certificate)
            else:
                plain.append(opened)
        if settings.socket_fd is None:
            path = socket_path(settings)
            plain.append(undo.enter_context(listen.unix(path)))
        else:
            plain.append(undo.enter_context(listen.inherit(settings.socket_fd)))
            path = settings.socket or Path(plain[-1].getsockname())
        undo.pop_all()
    return Listening(plain, tls, path, settings.socket_fd is None)


def socket_path(settings: Settings) -> Path:
    """Return where a node makes its unix socket."""
    return settings.socket or settings.directory / "gateway.sock"


def _outside(where: GatewayHost) -> socket.socket:
    if where.fd is not None:
        return listen.inherit(where.fd)
    return listen.tcp(where.host, where.port or 0, "--gateway-host")


def activated(settings: Settings, descriptors: tuple[int, ...]) -> Settings:
    """Return the settings with the sockets that the service manager opened in place of those that they name.

    A socket's address decides what it is: a unix socket, loopback TCP (`--listen`), or TCP beyond that
    (`--gateway-host`, which has to be given too, with its port).

    Raises:
        ListenError: a socket is none of these, or the second of its kind.
    """
    found: dict[str, int] = {}
    for descriptor in descriptors:
        kind = _kind(descriptor)
        if kind in found:
            both = f"descriptors {found[kind]} and {descriptor}"
            raise ListenError(f"LISTEN_FDS: {both} are both for {kind}: pass one of each kind")
        found[kind] = descriptor
    if "--socket" in found:
        settings = msgspec.structs.replace(settings, socket_fd=found["--socket"], socket=None)
    if "--listen" in found:
        settings = msgspec.structs.replace(settings, listen=Listen(fd=found["--listen"]))
    if "--gateway-host" in found:
        if settings.gateway_host is None or not settings.gateway_host.beside:
            raise ListenError(
                "LISTEN_FDS: a socket that other machines reach was passed, and no --gateway-host HOST:PORT: "
                "give that, with a CACHE_CONTROL_TOKEN"
            )
        passed = msgspec.structs.replace(settings.gateway_host, fd=found["--gateway-host"])
        settings = msgspec.structs.replace(settings, gateway_host=passed)
    return settings


def _kind(descriptor: int) -> str:
    with listen.inherit(descriptor) as passed:
        listens = passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if passed.type != socket.SOCK_STREAM or not listens:
            raise ListenError(f"LISTEN_FDS: descriptor {descriptor} is not a listening stream socket")
        if passed.family == socket.AF_UNIX:
            return "--socket"
        return "--listen" if listen.here(address_of(passed)) else "--gateway-host"


def address_of(listener: socket.socket) -> tuple[str, int]:
    """Return host and port of a TCP listener."""
    host, port = listener.getsockname()[:2]
    return host, port


def authority(host: str, port: int) -> str:
    """Return host and port as a URL has them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

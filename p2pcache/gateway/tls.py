"""TLS for the address that other machines reach: the certificate, which can be replaced, and the listener."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

HANDSHAKES = 256
"""Handshakes under way at once; one more ends the oldest, so that silent clients keep nobody out."""
PAUSE_SECONDS = 0.5
"""How long no connection is accepted when there is no descriptor for one."""

log = logging.getLogger(__name__)


class CertificateError(ValueError):
    """A certificate or key that cannot be used; the message names the files and the reason, in one line."""


class Certificate:
    """A certificate chain and its key, as PEM files that may be replaced.

    Args:
        chain: the certificate, followed by those of its issuers.
        key: its private key, without a passphrase.

    Attributes:
        context: what new connections are accepted with.

    Raises:
        CertificateError: the files cannot be used.
    """

    def __init__(self, chain: Path, key: Path) -> None:
        self._chain = chain
        self._key = key
        self.context = self._load()

    def reload(self) -> None:
        """Read the files again, for new connections.

        Raises:
            CertificateError: they cannot be used, and the former ones stay.
        """
        self.context = self._load()

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        for flag, path in (("--tls-cert", self._chain), ("--tls-key", self._key)):
            try:
                path.open("rb").close()
            except OSError as error:
                raise CertificateError(f"{flag} {path}: {error.strerror}") from None
        try:
            context.load_cert_chain(self._chain, self._key, password=_no_passphrase)
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or str(error).partition(" (_ssl.c")[0]
            raise CertificateError(
                f"--tls-cert {self._chain}, --tls-key {self._key}: expected a certificate chain and its key in PEM, "
                f"without a passphrase ({reason})"
            ) from None
        return context


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase")  # without this OpenSSL asks for one on the terminal


class TlsListener:
    """Accepts connections, and serves each with a protocol of its own once its handshake is done.

    An event loop's own TLS server sets no bound on the handshakes that clients have begun.

    Args:
        listener: where clients connect.
        certificate: whose present context each new connection gets.
        protocol: makes the protocol of one connection.
        seconds: how long a handshake may take.
        most: how many may be under way.
    """

    def __init__(
        self,
        listener: socket.socket,
        certificate: Certificate,
        protocol: Callable[[], asyncio.Protocol],
        seconds: float,
        most: int = HANDSHAKES,
    ) -> None:
        self._listener = listener
        self._certificate = certificate
        self._protocol = protocol
        self._seconds = seconds
        self._most = most
        self._handshakes: dict[asyncio.Task[None], None] = {}
        self._accepting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to accept."""
        self._listener.setblocking(False)
        self._accepting = asyncio.create_task(self._accept(), name="tls")

    async def stop(self) -> None:
        """Accept no more, and end the handshakes under way; connections that are made go on."""
        tasks = [*self._handshakes, *filter(None, [self._accepting])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listener.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except ConnectionAbortedError:
                continue
            except OSError as error:
                log.warning("no TLS connection can be taken for now: %s", error.strerror)
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            if len(self._handshakes) >= self._most:
                next(iter(self._handshakes)).cancel()
            task = loop.create_task(self._shake(connection))
            self._handshakes[task] = None
            task.add_done_callback(lambda done: self._handshakes.pop(done, None))

    async def _shake(self, connection: socket.socket) -> None:
        served = False
        try:
            with contextlib.suppress(OSError):  # ssl.SSLError and timeouts are: what connected speaks no TLS
                await asyncio.get_running_loop().connect_accepted_socket(
                    self._protocol, connection, ssl=self._certificate.context, ssl_handshake_timeout=self._seconds
                )
                served = True
        finally:
            if not served:
                connection.close()

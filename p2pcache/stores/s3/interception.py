"""A TLS server's certificate that only the client library trusts, so that a proxy can read what comes for the library.

Made when the store is opened, known to this process alone, and gone with it.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterable
from typing import IO

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_SLACK = datetime.timedelta(days=1)
"""For a clock that is set while the node runs."""
_LIFETIME = datetime.timedelta(days=365)


def intercepting(hosts: Iterable[str]) -> tuple[ssl.SSLContext, str]:
    """Return a context for the servers of these names and addresses, and the certificate to trust, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "p2pcache")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now - _SLACK, now + _LIFETIME
        )
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with _nameless_file() as file:  # Python takes keys from files only
        file.write(private + pem)
        file.flush()
        file.seek(0)  # /dev/fd shares the position on macOS
        context.load_cert_chain(f"/dev/fd/{file.fileno()}")
    return context, pem.decode("ascii")


def _nameless_file() -> IO[bytes]:
    """Return a file that no other process can open, in memory where the system has such files."""
    create = getattr(os, "memfd_create", None)  # Linux has it
    return os.fdopen(create("key"), "w+b") if create else tempfile.TemporaryFile()


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)

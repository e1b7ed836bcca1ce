"""The certificate for the API's names: one end entity that is its own anchor, and can sign nothing.

No certificate authority is made, so there is none to constrain and none to lose (RFC 5280 section 4.2.1.9). The key is
in memory alone: `SSLContext` reads files only, and a memfd is one that no disk has.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import ssl
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOSTED_LIFE = datetime.timedelta(days=1)
OWN_LIFE = datetime.timedelta(days=6)
"""Of jobs on self-hosted runners, which may take five days (docs.github.com, "Usage limits")."""
_SKEW = datetime.timedelta(minutes=5)


def issue(hosts: Sequence[str], life: datetime.timedelta) -> tuple[bytes, bytes]:
    """Return a certificate for `hosts`, valid from now on for `life`, and its key, both in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    now = datetime.datetime.now(datetime.UTC)
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign")
    usage = dict.fromkeys((*others, "crl_sign", "encipher_only", "decipher_only"), False)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, **usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), secret


def subject_hash(certificate: bytes) -> str:
    """Return what OpenSSL calls the file of a certificate in a folder, without ``.0`` (openssl-rehash(1)).

    It is SHA-1 over the subject's canonical form (OpenSSL, crypto/x509/x_name.c): the sets of names one after the
    other, in UTF-8 and lower case. `issue` makes names that are in that form already.
    """
    subject = x509.load_pem_x509_certificate(certificate).subject
    digest = hashlib.sha1(_content(subject.public_bytes()), usedforsecurity=False)
    return f"{int.from_bytes(digest.digest()[:4], 'little'):08x}"


def context(certificate: bytes, key: bytes) -> ssl.SSLContext:
    """Return what answers TLS with a certificate and its key: HTTP/1.1 alone."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.options |= ssl.OP_NO_RENEGOTIATION
    made.set_alpn_protocols(["http/1.1"])
    descriptor = os.memfd_create("p2pcache-certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, certificate + key)
        made.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return made


def _content(encoded: bytes) -> bytes:
    """Return the content of a DER value (X.690, 8.1.3)."""
    return encoded[2:] if encoded[1] < 0x80 else encoded[2 + (encoded[1] & 0x7F) :]

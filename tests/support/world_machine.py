"""The machine of `tests.support.world`: a script that is run in namespaces of its own, until its input ends."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import shutil
import ssl
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from p2pcache.testing import StandIn

NAMES = ("api.github.com", "uploads.github.com", "github.com", "codeload.github.com")
ADDRESS = "10.9.0.2"
TOKEN = "ghs_" + "w" * 36
CERTIFICATES = Path("/etc/ssl/certs")
CONTROL_PORT = 5101
HOUR = datetime.timedelta(hours=1)


class Authority:
    """Signs certificates for an hour; `pem` is its own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("World CA")
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        made = self._builder(self._name, self._key.public_key()).add_extension(constraints, critical=True)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self.pem = _signed(made.add_extension(usage, critical=True), self._key)

    def issue(self, folder: Path, names: Sequence[str]) -> tuple[Path, Path]:
        """Write a certificate for `names` and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._builder(_name(names[0]), key.public_key())
        made = made.add_extension(x509.SubjectAlternativeName(list(map(x509.DNSName, names))), critical=False)
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        chain, private = folder / "world-chain.pem", folder / "world-key.pem"
        chain.write_bytes(_signed(made.add_extension(signer, critical=False), self._key))
        form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        private.write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
        return chain, private

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
        made = made.serial_number(x509.random_serial_number()).not_valid_before(now - HOUR).not_valid_after(now + HOUR)
        return made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> bytes:
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _mounts(folder: Path, certificate: bytes) -> None:
    (folder / "hosts").write_text("127.0.0.1 localhost\n::1 localhost ip6-localhost\n")
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:2 attempts:1\n")
    certificates = folder / "certs"
    shutil.copytree(CERTIFICATES, certificates)
    with (certificates / "ca-certificates.crt").open("ab") as bundle:
        bundle.write(b"\n" + certificate)
    (certificates / "world.pem").write_bytes(certificate)
    subprocess.run(["openssl", "rehash", str(certificates)], check=True, capture_output=True)
    for there, here in (("hosts", "/etc/hosts"), ("resolv.conf", "/etc/resolv.conf"), ("certs", str(CERTIFICATES))):
        subprocess.run(["mount", "--bind", str(folder / there), here], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "addr", "add", f"{ADDRESS}/32", "dev", "lo"], check=True)


class NameServer(asyncio.DatagramProtocol):
    """Knows GitHub's names, and no other."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        question = query.question[0]
        if str(question.name).rstrip(".").lower() not in NAMES:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.A:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", ADDRESS))
        self.transport.sendto(answer.to_wire(), addr)


async def _piped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()


async def _main(folder: Path) -> None:
    authority = Authority()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(folder, NAMES))
    _mounts(folder, authority.pem)
    async with StandIn(host="127.0.0.1", port=CONTROL_PORT) as github:
        github.populate()
        github.token(TOKEN, repos=["octo/app"])

        async def front(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            behind = await asyncio.open_connection("127.0.0.1", CONTROL_PORT)
            await asyncio.gather(_piped(reader, behind[1]), _piped(behind[0], writer))
            behind[1].close()
            writer.close()

        server = await asyncio.start_server(front, ADDRESS, 443, ssl=context, backlog=1024)
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 53))
        print("ready", flush=True)
        async with server:
            await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))

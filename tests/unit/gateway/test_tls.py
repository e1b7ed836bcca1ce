"""TLS beside the loopback: what is served over it, which certificate, and what clients that speak none can do."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from p2pcache.gateway.tls import Certificate, CertificateError, TlsListener
from p2pcache.node import Node
from p2pcache.settings import Secret
from p2pcache.testing import StandIn
from p2pcache.values import GatewayHost
from tests.support import certificates
from tests.support.gateway import LIMIT, TOKEN, Raw, Upstream, get, github, running, upstream

__all__ = ["github", "upstream"]

READS = {"Authorization": f"token {TOKEN}"}


@pytest.fixture
async def secure(github: StandIn, tmp_path: Path) -> AsyncIterator[Node]:
    chain, key = certificates.write(tmp_path, "first")
    beside = GatewayHost("127.0.0.1", 0)
    control = Secret("6c0n7r01Zq8Vw2Tm5Xk9Yb4Hd7Js3Lf1")
    async with running(
        github.url, tmp_path, gateway_host=beside, tls_cert=chain, tls_key=key, control_token=control
    ) as node:
        yield node


def port(node: Node) -> int:
    assert node.listening
    assert node.listening.tls
    return int(node.listening.tls[0].getsockname()[1])


def trusting(directory: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(directory / "cert.pem"))


async def presented(node: Node) -> str:
    """The name in the certificate that a new connection is shown."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port(node), ssl=context)
    found = x509.load_der_x509_certificate(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
    writer.close()
    return str(found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)


async def test_the_same_is_served_by_tls_and_by_the_loopbacks_plain_http(secure: Node, tmp_path: Path) -> None:
    """A memory hit too, which the fast path writes to the socket itself where nothing encrypts."""
    there = f"https://localhost:{port(secure)}"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting(tmp_path))) as client:
        answers = []
        for _ in range(4):
            async with client.get(f"{there}/repos/octo/app", headers=READS) as answer:
                answers.append((answer.status, (await answer.json())["url"], answer.headers["cache-status"]))
        async with client.get(f"{secure.address}/repos/octo/app", headers=READS) as plain:
            assert (await plain.json())["url"] == f"{secure.address}/repos/octo/app"
    assert {answer[:2] for answer in answers} == {(200, f"{there}/repos/octo/app")}
    assert answers[-1][2].endswith("detail=memory")


async def test_a_page_of_this_gateway_is_one_by_its_scheme_too(secure: Node, tmp_path: Path) -> None:
    there = f"https://localhost:{port(secure)}"
    bearer = {"Authorization": "Bearer c0ntrol"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting(tmp_path))) as client:
        for origin, status in ((there, 200), (there.replace("https", "http"), 403), ("https://evil.example", 403)):
            async with client.get(f"{there}/-/stats", headers={**bearer, "Origin": origin}) as answer:
                assert answer.status == status, origin


async def test_new_connections_get_the_new_certificate_and_old_ones_go_on(secure: Node, tmp_path: Path) -> None:
    reader, writer = await asyncio.open_connection("localhost", port(secure), ssl=trusting(tmp_path))
    old = Raw(reader, writer)
    certificates.write(tmp_path, "second")
    secure.reload()
    assert await presented(secure) == "second"
    await old.send(b"GET /-/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await old.reply()).status == 200
    writer.close()


async def test_a_broken_certificate_is_one_line_and_the_former_stays(
    secure: Node, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cert.pem").write_text("half of a copy")
    secure.reload()
    assert await presented(secure) == "first"
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert line.startswith(f"--tls-cert {tmp_path}/cert.pem, --tls-key {tmp_path}/key.pem: expected a certificate")
    assert line.endswith("; the former certificate stays in use")


async def test_nothing_before_tls_1_2_and_no_plain_http_is_served(secure: Node) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", port(secure), ssl=context)
    reader, writer = await asyncio.open_connection("127.0.0.1", port(secure))
    plain = Raw(reader, writer)
    await plain.send(b"GET /-/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"HTTP/" not in await plain.ended()
    writer.close()


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda chain, _: chain.unlink(), "--tls-cert .*cert.pem: No such file or directory"),
        (lambda _, key: key.unlink(), "--tls-key .*key.pem: No such file or directory"),
        (lambda chain, key: key.write_bytes(chain.read_bytes()), "expected a certificate chain and its key in PEM"),
        (lambda chain, key: certificates.write(chain.parent.parent, "x")[1].replace(key), r"KEY_VALUES_MISMATCH"),
        (lambda _, key: key.write_bytes(locked()), "the key has a passphrase"),
    ],
    ids=["no certificate", "no key", "no key in it", "the key of another", "a passphrase"],
)
def test_what_cannot_be_used_is_one_sentence(
    tmp_path: Path, break_it: Callable[[Path, Path], object], says: str
) -> None:
    folder = tmp_path / "tls"
    folder.mkdir()
    chain, key = certificates.write(folder, "first")
    break_it(chain, key)
    with pytest.raises(CertificateError, match=says):
        Certificate(chain, key)


def locked() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    cipher = serialization.BestAvailableEncryption(b"a passphrase")
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher)


class Greeting(asyncio.Protocol):
    """Says that a handshake is done."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


async def test_who_waits_for_an_answer_by_tls_gets_it_from_a_server_that_stops(
    tmp_path: Path, upstream: Upstream
) -> None:
    go = asyncio.Event()

    async def slow(_: Any, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")

    upstream.answers(slow)
    chain, key = certificates.write(tmp_path, "first")
    life = AsyncExitStack()
    node = await life.enter_async_context(
        running(upstream.url, tmp_path, gateway_host=GatewayHost("127.0.0.1", 0), tls_cert=chain, tls_key=key)
    )
    here = port(node)
    reader, writer = await asyncio.open_connection("localhost", here, ssl=trusting(tmp_path))
    client = Raw(reader, writer)
    await client.send(get("/repos/octo/app", host=f"localhost:{here}"))
    await upstream.until(lambda: upstream.heads)
    stopping = asyncio.create_task(life.aclose())
    async with asyncio.timeout(LIMIT):
        while True:
            try:
                (await asyncio.open_connection("localhost", here))[1].close()
            except OSError:
                break
    go.set()
    assert (await client.reply()).body == b"ok"
    await stopping
    writer.close()


async def test_silent_clients_keep_nobody_out_and_the_oldest_gives_way(tmp_path: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()[:2]
    tls = TlsListener(listener, Certificate(*certificates.write(tmp_path, "first")), Greeting, 60.0, most=3)
    tls.start()
    async with AsyncExitStack() as life:
        silent = []
        for _ in range(4):
            reader, writer = await asyncio.open_connection(*address)
            life.callback(writer.close)
            silent.append(reader)
        async with asyncio.timeout(LIMIT):
            assert await silent[0].read() == b"", "the oldest was ended"
            reader, writer = await asyncio.open_connection("localhost", address[1], ssl=trusting(tmp_path))
            assert await reader.read() == b"hello"
            writer.close()
            await tls.stop()
            for each in silent:
                assert await each.read() == b"", "at the end all are"

"""Roles instead of keys: the client library asks services, here stand-ins, and signs with what they gave."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from p2pcache.stores.s3 import s3_credentials
from tests.integration.stores.s3.conftest import Open

KEYS = {
    "AccessKeyId": "ROLEKEY",
    "SecretAccessKey": "role-secret",
    "Token": "role-token",
    "Expiration": "2099-01-01T00:00:00Z",
    "Code": "Success",
}
STS = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ROLEKEY</AccessKeyId>
<SecretAccessKey>role-secret</SecretAccessKey><SessionToken>role-token</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""
NO_KEYS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": ""}
"""As Actions passes what is unset."""


class Cloud:
    """A metadata service, a container's credentials, a token service, and a bucket that notes who asks."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.signed: list[tuple[str, str]] = []
        self.refuses = False
        self._connections: set[asyncio.Transport] = set()

    async def end(self) -> None:
        """End the connections now: one over TLS would wait until its other end says good-bye."""
        for connection in self._connections:
            connection.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # it is lost in the next turn of the loop, and over TLS what carries it in one more

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        assert isinstance(request.transport, asyncio.Transport)
        self._connections.add(request.transport)
        match request.path:
            case "/latest/api/token":
                return web.Response(text="session")
            case "/latest/meta-data/iam/security-credentials/":
                return web.Response(text="role")
            case "/latest/meta-data/iam/security-credentials/role" | "/credentials":
                return web.json_response(KEYS)
            case "/":
                assert request.query["WebIdentityToken"] == "jwt"
                assert request.query["RoleArn"] == "arn:aws:iam::1:role/ci"
                denied = "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
                return web.Response(status=403, text=denied) if self.refuses else web.Response(text=STS)
        found = request.headers.get("Authorization", ""), request.headers.get("x-amz-security-token", "")
        self.signed.append(found)
        return web.Response(text="<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Of a certificate for 127.0.0.1 that this process trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cloud")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(
            name, name, key.public_key(), 1, now - datetime.timedelta(1), now + datetime.timedelta(1)
        )
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    trusted, private = tmp_path / "trusted.pem", tmp_path / "key.pem"
    trusted.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    kind = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, *kind))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, private)
    return context


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


@pytest.fixture
async def urls(cloud: Cloud, authority: ssl.SSLContext) -> AsyncIterator[tuple[str, str]]:
    """The cloud by http and by https."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", cloud.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    for context in (None, authority):
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    plain, secure = (address[1] for address in runner.addresses)
    yield f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{secure}"
    await cloud.end()
    await runner.cleanup()


def expect_the_role(cloud: Cloud) -> None:
    (authorization, token) = cloud.signed[0]
    assert "Credential=ROLEKEY/" in authorization
    assert token == "role-token"


async def test_a_containers_role(open_tier: Open, cloud: Cloud, urls: tuple[str, str], tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("authorized")
    variables = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{urls[0]}/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
    }
    tier = open_tier(urls[0], **NO_KEYS, **variables)
    await tier.open()
    assert tier.report()["why"] == ""
    expect_the_role(cloud)


async def test_a_machines_role(
    open_tier: Open, cloud: Cloud, urls: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = tmp_path / "vendor"
    vendor.write_text("Amazon EC2\n")
    monkeypatch.setattr(s3_credentials, "VENDOR", vendor)
    tier = open_tier(urls[0], **NO_KEYS, AWS_METADATA_ENDPOINT=urls[0])
    await tier.open()
    assert tier.report()["why"] == ""
    expect_the_role(cloud)


async def test_no_machine_is_asked_that_does_not_say_it_is_amazons(
    open_tier: Open, cloud: Cloud, urls: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_credentials, "VENDOR", tmp_path / "nothing")
    tier = open_tier(urls[0], **NO_KEYS, AWS_METADATA_ENDPOINT=urls[0])
    await tier.open()
    assert "no credentials" in tier.trouble
    assert cloud.asked == []


async def test_a_web_identity(open_tier: Open, cloud: Cloud, urls: tuple[str, str], tmp_path: Path) -> None:
    token = tmp_path / "jwt"
    token.write_text("jwt")
    role = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "AWS_ROLE_ARN": "arn:aws:iam::1:role/ci"}
    tier = open_tier(urls[1], **NO_KEYS, **role, AWS_ENDPOINT_URL_STS=urls[1])
    await tier.open()
    assert tier.report()["why"] == ""
    expect_the_role(cloud)
    cloud.refuses = True
    tier = open_tier(urls[1], **NO_KEYS)
    await tier.open()
    assert "the role is not given to this job" in tier.trouble

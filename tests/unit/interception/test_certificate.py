"""The certificate, against what OpenSSL makes of it; and that its key is on no disk."""

from __future__ import annotations

import datetime
import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from p2pcache.interception import certificate

HOSTS = ("api.github.com", "uploads.github.com")
SIGNED, KEY = certificate.issue(HOSTS, certificate.HOSTED_LIFE)


def openssl(*arguments: str) -> str:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "own.pem"
    path.write_bytes(SIGNED)
    return path


def test_it_speaks_for_these_hosts_and_can_sign_nothing() -> None:
    read = x509.load_pem_x509_certificate(SIGNED)
    names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert tuple(names.get_values_for_type(x509.DNSName)) == HOSTS
    basic = read.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.critical, basic.value.ca) == (True, False)
    usage = read.extensions.get_extension_for_class(x509.KeyUsage)
    assert (usage.critical, usage.value.digital_signature) == (True, True)
    assert not any((usage.value.key_cert_sign, usage.value.crl_sign, usage.value.key_agreement))
    extended = read.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_it_is_valid_at_once_and_for_as_long_as_a_job_takes() -> None:
    read = x509.load_pem_x509_certificate(SIGNED)
    now = datetime.datetime.now(datetime.UTC)
    assert read.not_valid_before_utc < now < read.not_valid_after_utc <= now + certificate.HOSTED_LIFE
    assert datetime.timedelta(days=5) < certificate.OWN_LIFE


def test_two_are_never_the_same() -> None:
    other, key = certificate.issue(HOSTS, certificate.HOSTED_LIFE)
    assert x509.load_pem_x509_certificate(other).serial_number != x509.load_pem_x509_certificate(SIGNED).serial_number
    assert key != KEY


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("host", HOSTS)
def test_openssl_takes_it_as_its_own_anchor_by_its_strict_rules(file: Path, host: str) -> None:
    wanted = ("-x509_strict", "-purpose", "sslserver", "-verify_hostname", host, "-CAfile", str(file))
    openssl("verify", *wanted, str(file))


@pytest.mark.needs("openssl")
def test_nothing_that_it_signs_is_taken(file: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY)
    ours = ("-CA", str(file), "-CAkey", str(tmp_path / "key"))
    new = ("req", "-x509", *ours, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(*new, "-subj", "/CN=evil.example", "-keyout", str(tmp_path / "k"), "-out", str(tmp_path / "evil.pem"))
    with pytest.raises(AssertionError, match="error"):
        openssl("verify", "-CAfile", str(file), str(tmp_path / "evil.pem"))


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("host", [HOSTS[0], "api.octo-corp.ghe.com", "api." + "x" * 50 + ".ghe.com"])
def test_its_hash_is_openssls(tmp_path: Path, host: str) -> None:
    signed, _ = certificate.issue([host], certificate.HOSTED_LIFE)
    (tmp_path / "own.pem").write_bytes(signed)
    assert (
        certificate.subject_hash(signed)
        == openssl("x509", "-subject_hash", "-noout", "-in", str(tmp_path / "own.pem")).strip()
    )


def shaken(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> ssl.SSLObject:
    """The client's side of a handshake that is agreed on."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    far = server.wrap_bio(up, down, server_side=True)
    near = client.wrap_bio(down, up, server_hostname=host)
    for _ in range(3):
        for side in (near, far):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return near


def test_a_client_that_knows_it_agrees_on_http_1_and_no_other_does(file: Path) -> None:
    server = certificate.context(SIGNED, KEY)
    client = ssl.create_default_context(cafile=str(file))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.set_alpn_protocols(["h2", "http/1.1"])
    found = shaken(server, client, HOSTS[1])
    assert (found.selected_alpn_protocol(), found.version()) == ("http/1.1", "TLSv1.3")
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(server, client, "github.com")
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(server, ssl.create_default_context(), HOSTS[0])


def test_the_key_is_on_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def load(context: ssl.SSLContext, path: str) -> None:
        read.append(str(Path(path).readlink()))
        kept(context, path)

    kept = ssl.SSLContext.load_cert_chain
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load)
    before = set(Path("/proc/self/fd").iterdir())
    certificate.context(SIGNED, KEY)
    assert [each.partition(":")[0] for each in read] == ["/memfd"]
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_a_key_that_is_not_its_own_is_refused() -> None:
    _, other = certificate.issue(HOSTS, certificate.HOSTED_LIFE)
    with pytest.raises(ssl.SSLError):
        certificate.context(SIGNED, other)

"""The certificate is for the hosts that it was made for, and only a client that was given it trusts it."""

from __future__ import annotations

import ssl

import pytest

from p2pcache.stores.s3.interception import intercepting


def handshake(context: ssl.SSLContext, trusting: ssl.SSLContext, host: str) -> None:
    """Shake hands in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server, server_hostname=host)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    while waiting:
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                pass


def trusting(pem: str) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=pem)


@pytest.mark.parametrize("host", ["bucket.s3.us-east-1.amazonaws.com", "127.0.0.1", "::1"])
def test_a_client_that_trusts_it(host: str) -> None:
    context, pem = intercepting(["elsewhere.example", host])
    client = trusting(pem)
    client.verify_flags &= ~ssl.VERIFY_X509_STRICT
    handshake(context, client, host)


def test_a_system_without_files_in_memory_has_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.memfd_create")
    test_a_client_that_trusts_it("127.0.0.1")


def test_it_is_for_no_other_host() -> None:
    context, pem = intercepting(["one.example"])
    client = trusting(pem)
    client.verify_flags &= ~ssl.VERIFY_X509_STRICT
    with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for 'other\.example'"):
        handshake(context, client, "other.example")


def test_nobody_else_trusts_it() -> None:
    context, _ = intercepting(["one.example"])
    _, other = intercepting(["one.example"])
    for client in (ssl.create_default_context(), trusting(other)):
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(context, client, "one.example")


def test_it_makes_no_other_certificates() -> None:
    """Trusting it is trusting one key for these hosts: nothing that it signs counts."""
    _, pem = intercepting(["one.example"])
    assert trusting(pem).get_ca_certs() == []

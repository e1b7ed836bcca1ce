"""Real ClientHellos, whole and in pieces; and that no bytes at all lead to anything but a clear answer."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.interception import client_hello
from p2pcache.interception.client_hello import ClientHello, NotTlsError
from tests.support.client_hellos import hello, in_records

HOST = "api.github.com"
REAL = hello(HOST, ["h2", "http/1.1"])


def parsed(data: bytes) -> ClientHello:
    found = client_hello.parse(data)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("data", "name", "protocols"),
    [
        pytest.param(REAL, HOST, ("h2", "http/1.1"), id="name and protocols"),
        pytest.param(hello("API.GitHub.com", ["http/1.1"]), HOST, ("http/1.1",), id="upper case"),
        pytest.param(hello(HOST), HOST, (), id="no protocols"),
        pytest.param(hello(None), "", (), id="no name"),
        pytest.param(hello("127.0.0.9"), "", (), id="an address is no name"),
    ],
)
def test_a_real_hello_names_host_and_protocols(data: bytes, name: str, protocols: tuple[str, ...]) -> None:
    assert parsed(data)[:2] == (name, protocols)


@pytest.mark.parametrize("data", [REAL, in_records(REAL, 100), in_records(REAL, 1)], ids=["one", "few", "bytes"])
def test_byte_by_byte_it_is_the_same_at_the_end_and_unknown_before(data: bytes) -> None:
    found = [client_hello.parse(data[:count]) for count in range(len(data))]
    assert set(found) == {None}
    assert client_hello.parse(data) == client_hello.parse(REAL)


def test_what_follows_does_not_count() -> None:
    assert client_hello.parse(REAL + b"\x17\x03\x03\x00\x01x") == client_hello.parse(REAL)


def test_connections_of_one_client_have_one_mark_and_others_have_another() -> None:
    old = ssl.create_default_context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    few = ssl.create_default_context()
    few.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    again = [hello(HOST, ["h2", "http/1.1"]) for _ in range(3)]
    assert len({REAL, *again}) == 4, "their random bytes differ"
    assert {parsed(each).mark for each in again} == {parsed(REAL).mark}
    assert parsed(hello("uploads.github.com", ["h2", "http/1.1"])).mark == parsed(REAL).mark
    others = [hello(HOST), hello(HOST, context=old), hello(HOST, context=few)]
    assert len({parsed(each).mark for each in (REAL, *others)}) == 4


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="http"),
        pytest.param(b"\x16\x03\x01\x00\x00", id="empty record"),
        pytest.param(b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", id="a ServerHello"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x28", id="an alert"),
        pytest.param(b"\x16\x03\x01\x00\x04\x01\xff\xff\xff", id="too long"),
        pytest.param(b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", id="nothing in it"),
        pytest.param(in_records(REAL, 100)[:105] + b"\x17", id="another record in the middle"),
        pytest.param(REAL.replace(b"api.github", b"\xffpi.github"), id="a name that is not ASCII"),
    ],
)
def test_what_is_no_hello_is_not_waited_for(data: bytes) -> None:
    with pytest.raises(NotTlsError):
        client_hello.parse(data)


def outcome(data: bytes) -> ClientHello | None:
    try:
        return client_hello.parse(data)
    except NotTlsError:
        return None


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda body: b"\x16\x03\x01\x00\xc8\x01\x00" + body))
def test_any_bytes_are_a_hello_or_too_few_or_not_tls(data: bytes) -> None:
    assert outcome(data) is None or isinstance(outcome(data), ClientHello)


@given(st.integers(5, len(REAL) - 1), st.binary(min_size=1, max_size=4))
def test_a_damaged_hello_is_one_or_not_tls(at: int, damage: bytes) -> None:
    outcome(REAL[:at] + damage + REAL[at + len(damage) :])

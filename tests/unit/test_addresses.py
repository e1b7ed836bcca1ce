"""Multiaddrs: those that are read, and how others are refused."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.addresses import EXAMPLE, Address, parse
from p2pcache.declarations import SETTINGS

PEER = "12D3KooWMBnhmQR5YyQzGH9PGco5bBdpYpEq2t8cfB4zn4V2s9vo"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("/ip4/10.0.0.1/tcp/9000", Address("ip4", "10.0.0.1", 9000)),
        (f"/ip4/10.0.0.1/tcp/9000/p2p/{PEER}", Address("ip4", "10.0.0.1", 9000, PEER)),
        (f"/ip4/10.0.0.1/tcp/9000/ipfs/{PEER}/", Address("ip4", "10.0.0.1", 9000, PEER)),
        ("/ip6/fd00:0::2/tcp/1", Address("ip6", "fd00::2", 1)),
        (" /dns4/hub.local/tcp/9100 ", Address("dns4", "hub.local", 9100)),
        ("/dns/my_hub-1/tcp/65535", Address("dns", "my_hub-1", 65535)),
    ],
)
def test_read(text: str, address: Address) -> None:
    assert parse(text) == address
    assert parse(str(address)) == address
    assert (parse(str(address.bare())), address.bare().peer) == (address.bare(), None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not a multiaddr"),
        ("10.0.0.1:9000", "is not a multiaddr"),
        ("/ip4/10.0.0.256/tcp/1", "no valid IPv4 address"),
        ("/ip6/10.0.0.1/tcp/1", "no valid IPv6 address"),
        ("/dns/-x/tcp/1", "no valid host name"),
        ("/ip4/10.0.0.1/udp/1", "is not a TCP multiaddr"),
        ("/ip4/10.0.0.1/tcp/1/ws", "is not a TCP multiaddr"),
        ("/unix/tmp/x", "begins with none of"),
        ("/ip4/10.0.0.1/tcp/0", "no valid port"),
        ("/ip4/10.0.0.1/tcp/65536", "no valid port"),
        ("/ip4/10.0.0.1/tcp/000065535999", "no valid port"),
        ("/ip4/10.0.0.1/tcp/\u0661", "no valid port"),
        (f"/ip4/10.0.0.1/tcp/1/p2p/{PEER}x", "no valid peer id"),
        ("/ip4/10.0.0.1/tcp/1\x1b[2J", "the value"),
        ("/" + "x" * 500, "the value"),
    ],
)
def test_refused_in_one_sentence(text: str, says: str) -> None:
    with pytest.raises(ValueError) as error:
        parse(text)
    message = str(error.value)
    assert says in message
    assert "\n" not in message
    assert "\x1b" not in message
    assert len(message) < 300


@given(st.text(max_size=60) | st.text(alphabet="/ip4dns6tcp0.19:", max_size=40))
def test_nothing_else_is_raised(text: str) -> None:
    try:
        assert parse(str(parse(text))) == parse(text)
    except ValueError as error:
        assert str(error)  # noqa: PT017


@pytest.mark.parametrize("text", ["/dns4/localhost/tcp/1", f"/ip4/10.0.0.1/tcp/1/p2p/{PEER}"])
def test_what_cannot_be_listened_on(text: str) -> None:
    with pytest.raises(ValueError, match="cannot be listened on"):
        parse(text, listen=True)


def test_port_zero_is_for_listening() -> None:
    assert parse("/ip4/0.0.0.0/tcp/0", listen=True).port == 0


@pytest.mark.parametrize(
    ("kind", "family"), [("dns4", socket.AF_INET), ("dns6", socket.AF_INET6), ("dns", socket.AF_UNSPEC)]
)
def test_a_name_resolves_to_its_family(kind: str, family: socket.AddressFamily) -> None:
    assert Address(kind, "hub", 1).family == family


def test_a_refusal_gives_the_example_of_the_reference() -> None:
    assert {EXAMPLE in setting.expected for setting in SETTINGS if (setting.parse or "").startswith("multiaddr")} == {
        True
    }

from __future__ import annotations

import socket
import threading
import time

import pytest

from p2pcache.runner import bootstrap
from p2pcache.runner.bootstrap import (
    BootstrapError,
    Candidate,
    Outcome,
    Target,
    candidates,
    choose,
    parse,
    probe,
    probe_all,
    resolve,
)
from p2pcache.runner.network import Evidence, Interface, Mode, Network, NetworkOwner

BRIDGE = Network(Mode.BRIDGE, Mode.BRIDGE, "r")
COMPOSE = Network(Mode.CUSTOM, Mode.CUSTOM, "r", NetworkOwner.COMPOSE)
USER = Network(Mode.CUSTOM, Mode.CUSTOM, "r", NetworkOwner.USER)
HOST = Network(Mode.HOST, Mode.HOST, "r")
NOWHERE = Network(Mode.NONE, Mode.NONE, "r")
PLAIN = Network(Mode.NOT_DOCKER, Mode.NOT_DOCKER, "r")
SHARED = Network(Mode.CONTAINER, Mode.BRIDGE, "r")
SEEN = Evidence(interfaces=(Interface("eth0", "172.17.0.2/16"),), gateway="172.17.0.1")
PEER = "12D3KooWMBnhmQR5YyQzGH9PGco5bBdpYpEq2t8cfB4zn4V2s9vo"
CUSTOM_SEEN = Evidence(interfaces=(Interface("eth0", "172.18.0.9/16"),), gateway="172.18.0.1")


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("auto", Target()),
        ("/tcp/9200", Target(port=9200, named=True)),
        (f"/tcp/9200/p2p/{PEER}", Target(port=9200, peer_id=PEER, named=True)),
        ("/ip4/10.0.0.1/tcp/9100", Target("10.0.0.1", 9100, "", "ip4", named=True)),
        (f"/dns4/hub/tcp/9100/p2p/{PEER}", Target("hub", 9100, PEER, "dns4", named=True)),
        ("/ip6/::1/tcp/9100", Target("::1", 9100, "", "ip6", named=True)),
    ],
)
def test_parse(text: str, target: Target) -> None:
    assert parse(text) == target


@pytest.mark.parametrize(
    "text",
    ["", "hub", "hub:9100", "/ip4/10.0.0.1", "/ip4/10.0.0.1/tcp/0", "/ip4/10.0.0.1/tcp/70000", "/ip4/10.0.0.1/udp/1",
     "/tcp/9100/p2p", "/tcp/x", "/ip4/1.2.3.4/tcp/9100/ws/x", "/dnsaddr/hub/tcp/9100",
     "/tcp/9100/p2p/12D3", "/tcp/0"],
)  # fmt: skip
def test_what_is_no_bootstrap_peer_is_told(text: str) -> None:
    with pytest.raises(BootstrapError, match="expected a multiaddr such as"):
        parse(text)


@pytest.mark.parametrize(
    ("network", "seen", "hosts"),
    [
        pytest.param(PLAIN, SEEN, ["127.0.0.1"], id="not docker"),
        pytest.param(HOST, SEEN, ["127.0.0.1", "host.docker.internal"], id="host: the gateway is the LAN's router"),
        pytest.param(BRIDGE, SEEN, ["host.docker.internal", "172.17.0.1"], id="bridge"),
        pytest.param(SHARED, SEEN, ["host.docker.internal", "172.17.0.1"], id="container:x as x"),
        pytest.param(
            COMPOSE,
            CUSTOM_SEEN,
            ["p2pcache-hub", "hub", "host.docker.internal", "172.18.0.1", "172.17.0.1"],
            id="compose",
        ),
        pytest.param(
            USER,
            Evidence(interfaces=(Interface("eth0", "172.19.0.2/16"),)),
            ["p2pcache-hub", "hub", "host.docker.internal", "172.19.0.1", "172.17.0.1"],
            id="internal: no gateway, the first address reaches the host",
        ),
        pytest.param(NOWHERE, Evidence(), [], id="none"),
    ],
)
def test_order(network: Network, seen: Evidence, hosts: list[str]) -> None:
    assert [c.host for c in candidates(Target(), network, seen)] == hosts
    given = candidates(Target("hub.example", 9200, "12D3", "dns4"), network, seen)
    assert [c.host for c in given] == ["hub.example", *hosts], "what the user says comes first"
    assert {(c.port, c.peer_id) for c in given} == {(9200, "12D3")}


@pytest.mark.parametrize(
    ("candidate", "multiaddr"),
    [
        (Candidate("10.0.0.1", 9100, "given"), "/ip4/10.0.0.1/tcp/9100"),
        (Candidate("hub", 9100, "service name", "12D3"), "/dns4/hub/tcp/9100/p2p/12D3"),
        (Candidate("::1", 9100, "given", protocol="ip6"), "/ip6/::1/tcp/9100"),
    ],
)
def test_multiaddr(candidate: Candidate, multiaddr: str) -> None:
    assert candidate.multiaddr == multiaddr


def server(answer: bytes | None) -> tuple[socket.socket, Candidate]:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            if answer is not None:
                client.recv(100)
                client.sendall(answer)
            else:
                client.recv(100)
                client.recv(100)

    threading.Thread(target=serve, daemon=True).start()
    return listener, Candidate("127.0.0.1", listener.getsockname()[1], "given")


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        pytest.param(b"\x13/multistream/1.0.0\n", "hub", id="libp2p"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", "not a hub", id="a metrics exporter on 9100"),
        pytest.param(b"", "not a hub", id="closes"),
        pytest.param(None, "no answer", id="says nothing"),
    ],
)
def test_probe(answer: bytes | None, outcome: Outcome) -> None:
    listener, candidate = server(answer)
    with listener:
        assert probe(candidate, 0.5) == outcome


def test_probe_where_nobody_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert probe(Candidate("127.0.0.1", port, "given")) == "refused"
    assert probe(Candidate("no-such-host.invalid", 1, "given")) in ("unknown name", "no answer")


def test_the_first_in_order_wins_although_a_later_one_is_faster() -> None:
    release = threading.Event()

    def ask(candidate: Candidate) -> Outcome:
        if candidate.host == "first":
            release.wait(10)
        else:
            release.set()
        return "hub"

    outcomes = probe_all([Candidate("first", 1, ""), Candidate("second", 1, "")], ask, 10)
    assert outcomes[0] == "hub"


def test_nothing_is_awaited_once_a_winner_is_sure() -> None:
    stuck = threading.Event()

    def ask(candidate: Candidate) -> Outcome:
        if candidate.host == "stuck":
            stuck.wait(10)
        return "hub" if candidate.host == "b" else "refused"

    begun = time.monotonic()
    outcomes = probe_all([Candidate(h, 1, "") for h in ("a", "b", "stuck")], ask, 10)
    stuck.set()
    assert outcomes == ("refused", "hub", "no answer")
    assert time.monotonic() - begun < 5


def test_a_resolver_that_hangs_costs_the_deadline_and_no_more() -> None:
    stuck = threading.Event()
    begun = time.monotonic()
    outcomes = probe_all([Candidate("a", 1, "")], lambda _: (stuck.wait(10), "hub")[1], 0.1)
    stuck.set()
    assert outcomes == ("no answer",)
    assert time.monotonic() - begun < 5


def sentence(network: Network, seen: Evidence, outcome: Outcome) -> str:
    target = Target()
    places = candidates(target, network, seen)
    found = choose(target, network, places, [outcome] * len(places))
    assert not found.reachable
    assert "\n" not in found.sentence
    return found.sentence


@pytest.mark.parametrize(
    ("network", "seen", "outcome", "said"),
    [
        pytest.param(NOWHERE, Evidence(), "refused", "run it with --network bridge or host", id="none"),
        pytest.param(PLAIN, SEEN, "refused", "start one with `p2pcache serve --hub`", id="not docker"),
        pytest.param(BRIDGE, SEEN, "refused", "bound to 127.0.0.1 is reached in host mode only", id="bridge"),
        pytest.param(BRIDGE, SEEN, "refused", "--p2p-listen /ip4/0.0.0.0/tcp/9100", id="bridge: what to do"),
        pytest.param(COMPOSE, CUSTOM_SEEN, "refused", "a service named hub", id="compose"),
        pytest.param(BRIDGE, SEEN, "not a hub", "something else listens on port 9100", id="an exporter"),
    ],
)
def test_a_hub_out_of_reach_is_explained(network: Network, seen: Evidence, outcome: Outcome, said: str) -> None:
    assert said in sentence(network, seen, outcome)


@pytest.mark.parametrize("network", [PLAIN, BRIDGE, COMPOSE], ids=str)
@pytest.mark.parametrize(
    ("named", "outcome", "said"),
    [
        ("/dns4/hub.example/tcp/9100", "unknown name", "the name of hub.example cannot be resolved"),
        ("/dns4/hub.example/tcp/9100", "no answer", "it does not answer: check the address and the firewall"),
        ("/ip4/10.0.0.1/tcp/9100", "refused", "it does not answer: check the address and the firewall"),
        ("/ip4/10.0.0.1/tcp/9100", "not a hub", "something else listens on port 9100"),
    ],
)
def test_a_hub_elsewhere_is_not_to_be_started_here(network: Network, named: str, outcome: Outcome, said: str) -> None:
    """Whatever is found, or not, at the places that were not named."""
    found = resolve([parse(named)], network, SEEN, lambda c: outcome if c.why == "given" else "refused")
    assert said in found.sentence
    assert "serve --hub" not in found.sentence


@pytest.mark.parametrize("named", ["/ip4/127.0.0.1/tcp/9100", "/dns4/localhost/tcp/9100", "/tcp/9100"])
def test_a_hub_that_was_named_on_this_machine_is_to_be_started_here(named: str) -> None:
    found = resolve([parse(named)], PLAIN, SEEN, lambda _: "refused")
    assert "start one with `p2pcache serve --hub`" in found.sentence


def test_what_was_given_is_kept_for_a_hub_that_comes_later() -> None:
    target = Target("10.0.0.1", 9100, "", "ip4")
    places = candidates(target, BRIDGE, SEEN)
    assert choose(target, BRIDGE, places, ["no answer"] * len(places)).multiaddrs == ("/ip4/10.0.0.1/tcp/9100",)
    assert choose(Target(), BRIDGE, places[1:], ["refused"] * (len(places) - 1)).multiaddrs == (), "a guess is not"


def test_the_loopback_mistake_is_mended_where_the_host_is_reachable() -> None:
    """The user gave 127.0.0.1, which is the container's own: the host's address is tried with the same port and id."""
    target = parse(f"/ip4/127.0.0.1/tcp/9200/p2p/{PEER}")
    found = resolve([target], BRIDGE, SEEN, lambda c: "hub" if c.host == "172.17.0.1" else "refused")
    assert found.reachable
    assert found.multiaddrs == (f"/ip4/127.0.0.1/tcp/9200/p2p/{PEER}", f"/ip4/172.17.0.1/tcp/9200/p2p/{PEER}")
    assert found.sentence == "bridge network: the hub answers at 172.17.0.1:9200 (default gateway)"


NAMED = parse("/dns4/hub.example/tcp/9100")


def on_loopback(candidate: Candidate) -> Outcome:
    return "hub" if candidate.host == "127.0.0.1" else "unknown name"


def test_another_hub_than_the_one_named_is_not_taken_without_a_word() -> None:
    found = resolve([NAMED], PLAIN, SEEN, on_loopback)
    assert found.reachable
    assert found.multiaddrs == ("/dns4/hub.example/tcp/9100", "/ip4/127.0.0.1/tcp/9100"), "the named one may come yet"
    said = "the hub that was named is not at hub.example:9100 (unknown name)"
    assert found.missed == (f"{said}: the one at 127.0.0.1:9100 (loopback of the host) is used instead",)
    assert dict(found.rows) == {"Hub": "127.0.0.1:9100 (loopback of the host)", "Named": said}


def test_strict_takes_the_hub_that_is_named_or_none() -> None:
    found = resolve([NAMED], PLAIN, SEEN, on_loopback, strict=True)
    assert not found.reachable
    assert found.multiaddrs == ("/dns4/hub.example/tcp/9100",)
    assert "hub.example:9100 unknown name" in found.missed[0]


@pytest.mark.parametrize("strict", [True, False])
def test_a_peer_id_proves_that_it_is_the_hub_that_is_named(strict: bool) -> None:
    found = resolve([parse(f"/dns4/hub.example/tcp/9100/p2p/{PEER}")], PLAIN, SEEN, on_loopback, strict=strict)
    assert found.reachable
    assert found.missed == ()
    assert all(address.endswith(f"/p2p/{PEER}") for address in found.multiaddrs)


@pytest.mark.parametrize(
    ("said", "missed"), [("auto", 0), ("/tcp/9200", 1), ("/ip4/10.0.0.1/tcp/9100", 1)], ids=["guess", "port", "host"]
)
def test_only_what_is_named_is_missed(said: str, missed: int) -> None:
    assert len(resolve([parse(said)], PLAIN, SEEN, lambda _: "refused").missed) == missed


def test_one_of_two_hubs_is_enough_and_the_other_is_told() -> None:
    targets = [parse("/dns4/a/tcp/1"), parse("/dns4/b/tcp/2")]
    found = resolve(targets, PLAIN, SEEN, lambda c: "hub" if c.host == "b" else "refused", strict=True)
    assert found.reachable
    assert len(found.missed) == 1
    assert "a:1 refused" in found.missed[0]


def test_the_summarys_rows_are_short() -> None:
    for network, seen in ((BRIDGE, SEEN), (COMPOSE, CUSTOM_SEEN), (NOWHERE, Evidence()), (PLAIN, SEEN)):
        found = resolve([Target(port=65535)], network, seen, lambda _: "refused")
        assert [name for name, _ in found.rows] == ["Hub", "Tried", "Why", "What helps"]
        assert all(len(value) <= 120 for name, value in found.rows if name != "Tried"), found.rows


def test_several_hubs() -> None:
    found = resolve(
        [parse("/dns4/a/tcp/1"), parse("/dns4/b/tcp/2")], PLAIN, SEEN, lambda c: "hub" if c.port == 2 else "refused"
    )
    assert found.reachable
    assert found.multiaddrs == ("/dns4/a/tcp/1", "/dns4/b/tcp/2")


def test_no_more_hubs_than_the_bound() -> None:
    many = [Target("h", port) for port in range(1, 40)]
    assert len(resolve(many, PLAIN, SEEN, lambda _: "hub").multiaddrs) == bootstrap.MOST_TARGETS

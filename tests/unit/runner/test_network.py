"""Every row from evidence recorded inside real containers (engine 26.1)."""

from __future__ import annotations

import pytest

from p2pcache.runner.network import Evidence, Interface, Mode, NetworkOwner, decide, subnet_firsts

ME = "005436e6b9bc7110e4e0da30e377c10defcda288f910e86b4c74603e1c5db58e"
OTHER = "eb0bebd0a319124de3ba1dd356f2b0b160cc85e1ff3deda8ab1147336db7cd2a"
LO = Interface("lo", "127.0.0.1/8")
ETH = Interface("eth0", "172.17.0.2/16")
ETH_CUSTOM = Interface("eth0", "172.18.0.2/16")
HOST = (Interface("docker0", "172.17.0.1/16", bridge=True), Interface("eth0", "192.0.2.2/24", hardware=True), LO)

BRIDGE = Evidence("005436e6b9bc", ME, ME, (ETH, LO), "172.17.0.1")
CUSTOM = Evidence("005436e6b9bc", ME, ME, (ETH_CUSTOM, LO), "172.18.0.1", docker_dns=True)


def custom(**more: object) -> Evidence:
    return Evidence("005436e6b9bc", ME, ME, (ETH_CUSTOM, LO), "172.18.0.1", docker_dns=True, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen", "mode", "via", "kind"),
    [
        pytest.param(
            Evidence("vm", "", "", HOST, "192.0.2.1"), Mode.NOT_DOCKER, Mode.NOT_DOCKER, None, id="not docker"
        ),
        pytest.param(BRIDGE, Mode.BRIDGE, Mode.BRIDGE, None, id="bridge"),
        pytest.param(Evidence("vm", ME, ME, HOST, "192.0.2.1"), Mode.HOST, Mode.HOST, None, id="host"),
        pytest.param(
            Evidence("vm", ME, "", (HOST[0], LO)), Mode.HOST, Mode.HOST, None, id="host known by its bridge and name"
        ),
        pytest.param(
            Evidence("005436e6b9bc", ME, ME, (Interface("br0", "10.0.0.1/24", bridge=True), ETH, LO), "172.17.0.1"),
            Mode.BRIDGE,
            Mode.BRIDGE,
            None,
            id="a bridge of the container's own (Docker in Docker)",
        ),
        pytest.param(Evidence("86096d70fa00", ME, ME, (LO,)), Mode.NONE, Mode.NONE, None, id="none"),
        pytest.param(
            Evidence("86096d70fa00", ME, ME, (LO, Interface("tunl0"))),
            Mode.NONE,
            Mode.NONE,
            None,
            id="none, with tunl0",
        ),
        pytest.param(custom(own_names=("a.pk-user",)), Mode.CUSTOM, Mode.CUSTOM, NetworkOwner.USER, id="custom"),
        pytest.param(custom(), Mode.CUSTOM, Mode.CUSTOM, NetworkOwner.USER, id="custom, resolver silent"),
        pytest.param(custom(own_names=("a.ci_default",)), Mode.CUSTOM, Mode.CUSTOM, NetworkOwner.COMPOSE, id="compose"),
        pytest.param(
            custom(compose_project="ci"), Mode.CUSTOM, Mode.CUSTOM, NetworkOwner.COMPOSE, id="compose, by the engine"
        ),
        pytest.param(
            custom(own_names=("a.github_network_abc",)),
            Mode.CUSTOM,
            Mode.CUSTOM,
            NetworkOwner.GITHUB_ACTIONS,
            id="job network",
        ),
        pytest.param(
            Evidence("eb0bebd0a319", OTHER, ME, (ETH, LO), "172.17.0.1"),
            Mode.CONTAINER,
            Mode.BRIDGE,
            None,
            id="container:x on the bridge",
        ),
        pytest.param(
            Evidence("eb0bebd0a319", OTHER, ME, (ETH_CUSTOM, LO), "172.18.0.1", docker_dns=True),
            Mode.CONTAINER,
            Mode.CUSTOM,
            NetworkOwner.USER,
            id="container:x on a custom network",
        ),
    ],
)
def test_mode(seen: Evidence, mode: Mode, via: Mode, kind: NetworkOwner | None) -> None:
    network = decide(seen)
    assert (network.mode, network.via, network.kind) == (mode, via, kind)
    assert network.reason
    assert "\n" not in network.reason


def test_an_internal_network_is_custom_although_it_leads_nowhere() -> None:
    assert decide(Evidence("b1083ae389ea", ME, ME, (ETH_CUSTOM, LO), "", docker_dns=True)).mode is Mode.CUSTOM


def test_only_a_shared_loopback_is_the_hosts() -> None:
    assert decide(Evidence("vm", ME, ME, HOST, "192.0.2.1")).shares_host
    assert not decide(BRIDGE).shares_host


@pytest.mark.parametrize(
    ("address", "firsts"),
    [
        pytest.param("172.18.0.2/16", ("172.18.0.1",), id="the host's address"),
        pytest.param("172.18.0.1/16", (), id="we are the first"),
        pytest.param("10.1.2.3/32", (), id="a point has no neighbours"),
        pytest.param("", (), id="no address"),
    ],
)
def test_subnet_firsts(address: str, firsts: tuple[str, ...]) -> None:
    assert subnet_firsts(Evidence(interfaces=(LO, Interface("eth0", address)))) == firsts

"""Check 8: each mode has its evidence, what it means, and what helps where nobody reaches the node."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pcache.doctor.finding import CheckVerdict, Patient
from p2pcache.doctor.network_mode import examine, mode_of, reach_of
from p2pcache.runner import evidence
from p2pcache.runner.network import Evidence, Interface, decide
from tests.support.patients import patient

PASS, WARN, FAIL, SKIP = CheckVerdict.PASS, CheckVerdict.WARN, CheckVerdict.FAIL, CheckVerdict.SKIP
ME = "005436e6b9bc" + "1" * 52
LO, ETH = Interface("lo", "127.0.0.1/8"), Interface("eth0", "172.17.0.2/16")
OUTSIDE = Evidence("vm", interfaces=(LO, Interface("eth0", "192.0.2.2/24", hardware=True)), gateway="192.0.2.1")
HOST = Evidence("vm", ME, ME, (LO, Interface("eth0", "192.0.2.2/24", hardware=True)), "192.0.2.1")
BRIDGE = Evidence(ME[:12], ME, ME, (LO, ETH), "172.17.0.1")
CUSTOM = Evidence(ME[:12], ME, ME, (LO, ETH), "172.17.0.1", docker_dns=True, own_names=("job.app_default",))
NONE = Evidence(ME[:12], ME, ME, (LO,))


@pytest.mark.parametrize(
    ("seen", "found", "lines"),
    [
        (OUTSIDE, "not in a container: ", ("127.0.0.1", "no container's files", "eth0 192.0.2.2/24", "192.0.2.1")),
        (HOST, "host network: ", ("a hub on the host is at 127.0.0.1", f"container {ME[:12]}")),
        (BRIDGE, "bridge network: ", ("default gateway: 172.17.0.1", "resolver: not there", "of the same bridge")),
        (CUSTOM, "custom network (compose): ", ("resolver: there, job.app_default", "found by their names")),
    ],
)
def test_a_mode_has_its_evidence_and_its_meaning(seen: Evidence, found: str, lines: tuple[str, ...]) -> None:
    finding = mode_of(decide(seen), seen)
    assert finding.verdict is PASS
    assert finding.found.startswith(found)
    for line in lines:
        assert any(line in shown for shown in finding.detail), finding.detail


def test_a_container_without_a_network_reaches_nobody() -> None:
    finding = mode_of(decide(NONE), NONE)
    assert finding.verdict is FAIL
    assert "--network bridge or host" in finding.advice
    assert "evidence: default gateway: none" in finding.detail


@pytest.mark.parametrize(
    ("seen", "flags", "verdict", "found", "advice"),
    [
        (OUTSIDE, {}, PASS, "all addresses", ""),
        (BRIDGE, {"p2p": "false"}, SKIP, "off", ""),
        (OUTSIDE, {"p2p_listen": "/ip4/127.0.0.1/tcp/9000"}, WARN, "in host mode only", "/ip4/0.0.0.0/tcp/9000"),
        (BRIDGE, {"p2p_listen": "/ip4/127.0.0.1/tcp/9000"}, FAIL, "no peer reaches it", "/ip4/0.0.0.0/tcp/9000"),
        (BRIDGE, {"p2p_listen": "/ip4/0.0.0.0/tcp/9000"}, PASS, "/ip4/0.0.0.0/tcp/9000", ""),
        (BRIDGE, {"hub": "true"}, WARN, "bridge network", "docker run -p 9100:9100"),
        (BRIDGE, {"hub": "true", "announce": "/ip4/192.0.2.2/tcp/9100"}, PASS, "the hub listens", ""),
        (CUSTOM, {"hub": "true"}, PASS, "the hub listens", ""),
    ],
)
def test_where_the_node_is_reached(
    seen: Evidence, flags: dict[str, str], verdict: CheckVerdict, found: str, advice: str, tmp_path: Path
) -> None:
    finding = reach_of(decide(seen), patient(tmp_path, flags).settings)
    assert finding.verdict is verdict
    assert found in finding.found
    assert advice in finding.advice


def test_without_settings_the_mode_is_found_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "collect", lambda: BRIDGE)
    assert [finding.verdict for finding in examine(Patient(problem="unreadable"))] == [PASS]
    assert len(list(examine(patient(tmp_path)))) == 2
    monkeypatch.setattr(evidence, "collect", lambda: NONE)
    assert [finding.verdict for finding in examine(patient(tmp_path))] == [FAIL]

"""Check 4: the first step that fails is named with what mends it; the dials themselves are in unit/swarm."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from p2pcache.addresses import Address, parse
from p2pcache.cache.sealing import generate_secret
from p2pcache.doctor import bootstrap_peers
from p2pcache.doctor.bootstrap_peers import examine, finding_of
from p2pcache.doctor.finding import CheckVerdict
from p2pcache.keys import Enrolled
from p2pcache.runner.bootstrap import Bootstrap
from p2pcache.swarm.probing import Probe
from p2pcache.swarm.protocol.frames import MAJOR, MINOR
from p2pcache.swarm.rules.reasons import OURS, THEIRS, Reason
from p2pcache.swarm.services.link import DialStep
from tests.support.patients import SECRET, findings, patient
from tests.support.swarms import Fleet, Honest, membership_key

PASS, WARN, FAIL, SKIP = CheckVerdict.PASS, CheckVerdict.WARN, CheckVerdict.FAIL, CheckVerdict.SKIP
HUB = "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"
OTHER = "12D3KooWKMyphEbVEP4axNqgAZSJdLmFUcVPvwAtmUoPNuKzF2CQ"
AT = parse("/ip4/10.0.0.1/tcp/9100")
NAMED = parse("/dns4/hub/tcp/9100")
REACHED = Probe(AT, peer=HUB, hub=True, protocol=f"{MAJOR}.{MINOR}", rtt_ms=1.25)


def ended(reason: Reason, *, refused: bool = True, step: DialStep = DialStep.MEMBERSHIP) -> Probe:
    return Probe(AT, step, (THEIRS if refused else OURS)[reason], reason, refused, HUB)


@pytest.mark.parametrize(
    ("seen", "found", "advice"),
    [
        (Probe(NAMED, DialStep.NAME, "it cannot"), "the name hub is not resolved: it cannot (asked", "Docker network"),
        (Probe(parse("/dns4/a.b/tcp/1"), DialStep.NAME, "x"), "(asked: the hosts file, 192.0.2.1)", "check the name"),
        (Probe(AT, DialStep.TCP, "nothing listens there"), "no TCP connection", "--p2p-listen /ip4/0.0.0.0/tcp/9100"),
        (Probe(AT, DialStep.TCP, "it did not answer"), "no TCP connection: it did not answer", "firewall"),
        (Probe(parse("/ip4/127.0.0.1/tcp/1"), DialStep.TCP, "nothing listens there"), "127.0.0.1", "start the hub"),
        (Probe(AT, DialStep.NOISE, "it hung up"), "no libp2p peer: it hung up", "port"),
        (
            Probe(replace(AT, peer=OTHER), DialStep.PEER_ID, "x", peer=HUB),
            f"than {OTHER} answers: {HUB}",
            f"/p2p/{HUB}",
        ),
        (Probe(AT, DialStep.PROTOCOL, "it hung up"), "not p2pcache's protocol: it hung up", "another libp2p service"),
        (ended(Reason.VERSION, step=DialStep.PROTOCOL), "another version", "update p2pcache there"),
        (ended(Reason.VERSION, step=DialStep.PROTOCOL, refused=False), "newer protocol", "update p2pcache here"),
        (ended(Reason.SECRET), "refused by the peer: the swarm secrets differ", "the same CACHE_SECRET"),
        (ended(Reason.CLOCK, refused=False), "refused here: the clocks differ", "NTP"),
        (ended(Reason.TOKEN), "OIDC token", "id-token: write"),
        (ended(Reason.UNLISTED), "not on its list", "CACHE_OIDC_REPOSITORIES"),
        (ended(Reason.OLD_HUB, refused=False), "does not admit by OIDC", "update p2pcache on the hub"),
        (ended(Reason.FULL), "as many members", "another hub"),
        (ended(Reason.BROKEN), "the connection broke", "log"),
        (Probe(AT, DialStep.MEMBERSHIP, "the runner gives no OIDC token"), "gives no OIDC token", "log"),
        (ended(Reason.SILENT, step=DialStep.ROUND_TRIP), "no round trip", "log"),
        (Probe(AT, DialStep.NAME, "no result within 25 s"), "no result within 25 s", "log"),
    ],
)
def test_what_fails_is_named_with_what_mends_it(seen: Probe, found: str, advice: str) -> None:
    finding = finding_of(seen, ("192.0.2.1",))
    assert finding.verdict is FAIL
    assert str(seen.address.bare()) in finding.found
    assert found in finding.found
    assert advice in finding.advice


def test_a_name_in_dockers_network_is_not_blamed_on_the_network() -> None:
    assert "check the name" in finding_of(Probe(NAMED, DialStep.NAME, "x"), ("127.0.0.11",)).advice


def test_a_peer_that_is_reached_has_its_figures() -> None:
    finding = finding_of(REACHED, ())
    assert finding.verdict is PASS
    assert finding.found == f"{AT}: hub {HUB}, protocol {MAJOR}.{MINOR}, round trip 1.2 ms"
    assert not finding.detail
    older = finding_of(replace(REACHED, hub=False, protocol=f"{MAJOR}.0"), ())
    assert (older.verdict, "member" in older.found) == (PASS, True)
    assert f"{MAJOR}.{MINOR}" in older.detail[0]


def test_a_peer_that_is_too_far_away_is_a_warning() -> None:
    finding = finding_of(replace(REACHED, rtt_ms=400), ())
    assert finding.verdict is WARN
    assert "nearer" in finding.advice


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Honest]:
    fleet = Fleet(tmp_path)
    fleet.key = membership_key(SECRET)
    yield await fleet.member(hub=True)
    await fleet.close()


async def test_each_peer_has_a_finding(hub: Honest, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        nowhere = f"/ip4/127.0.0.1/tcp/{gone.getsockname()[1]}"
    peers = f"{hub.address},{nowhere}"
    good, bad = await findings(examine, patient(tmp_path, CACHE_SECRET=SECRET, CACHE_BOOTSTRAP_PEERS=peers))
    assert (good.verdict, hub.peer in good.found) == (PASS, True), good
    assert (bad.verdict, nowhere in bad.found) == (FAIL, True)


async def test_a_long_list_is_examined_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def reached(peers: Sequence[Address], keys: object, token: object) -> list[Probe]:
        return [replace(REACHED, address=peer) for peer in peers]

    monkeypatch.setattr(bootstrap_peers, "probe", reached)
    peers = ",".join(f"/ip4/10.0.0.{n}/tcp/9100" for n in range(20))
    found = await findings(examine, patient(tmp_path, CACHE_SECRET=SECRET, CACHE_BOOTSTRAP_PEERS=peers))
    assert [finding.verdict for finding in found] == [PASS] * 16 + [SKIP]
    assert "4 more" in found[-1].found


async def test_a_peer_of_another_secret_refuses(hub: Honest, tmp_path: Path) -> None:
    given = patient(tmp_path, CACHE_SECRET=generate_secret(), CACHE_BOOTSTRAP_PEERS=hub.address)
    (finding,) = await findings(examine, given)
    assert finding.verdict is FAIL
    assert "the swarm secrets differ" in finding.found
    assert "same CACHE_SECRET" in finding.advice


async def test_a_hub_examines_with_the_secret_that_it_made(hub: Honest, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    given = patient(tmp_path, {"hub": "true"}, CACHE_BOOTSTRAP_PEERS=hub.address)
    (finding,) = await findings(examine, given)
    assert finding.verdict is PASS


async def test_without_a_name_the_hosts_hub_is_examined(
    hub: Honest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap_peers, "_on_this_host", lambda settings: [parse(hub.address)])
    (finding,) = await findings(examine, patient(tmp_path, CACHE_SECRET=SECRET))
    assert finding.verdict is PASS


def nobody(settings: object) -> tuple[()]:
    return ()


@pytest.mark.parametrize(
    ("flags", "variables", "verdict", "found"),
    [
        ({"p2p": "false"}, {"CACHE_SECRET": SECRET}, SKIP, "peer to peer is off"),
        ({"hub": "true"}, {"CACHE_SECRET": SECRET}, SKIP, "a hub needs none"),
        ({"mdns": "true"}, {"CACHE_SECRET": SECRET}, SKIP, "mDNS"),
        ({}, {"CACHE_SECRET": SECRET}, WARN, "no hub is found on this host"),
        ({}, {"GITHUB_TOKEN": "ghp_" + generate_secret()[:36]}, SKIP, "no hub is found on this host"),
        ({}, {}, SKIP, "no CACHE_SECRET"),
        ({}, {"CACHE_BOOTSTRAP_PEERS": str(AT)}, FAIL, "none is dialled: no CACHE_SECRET"),
        ({}, {"CACHE_BOOTSTRAP_PEERS": str(AT), "CACHE_SECRET": "weak"}, FAIL, "CACHE_SECRET"),
    ],
)
async def test_settings_that_name_no_peer_to_dial(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: dict[str, str],
    variables: dict[str, str],
    verdict: CheckVerdict,
    found: str,
) -> None:
    monkeypatch.setattr(bootstrap_peers, "_on_this_host", nobody)
    (finding,) = await findings(examine, patient(tmp_path, flags, **variables))
    assert finding.verdict is verdict, finding
    assert found in finding.found


@pytest.mark.parametrize(
    ("said", "verdict", "found"),
    [
        ({"peers": {"connected": 2}}, PASS, "is connected to 2"),
        ({"peers": {"connected": 0}}, WARN, "no hub is found on this host"),
        ({}, WARN, "no hub is found on this host"),
    ],
)
async def test_a_node_that_runs_may_know_peers_that_are_not_named_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, Any], verdict: CheckVerdict, found: str
) -> None:
    monkeypatch.setattr(bootstrap_peers, "_on_this_host", nobody)
    monkeypatch.setattr(bootstrap_peers, "ask", lambda *_: said)
    (finding,) = await findings(examine, patient(tmp_path, node=tmp_path / "s", CACHE_SECRET=SECRET))
    assert (finding.verdict, found in finding.found) == (verdict, True)


async def test_a_hub_that_grants_no_keys_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(settings: Any) -> Enrolled:
        await asyncio.sleep(0)
        return Enrolled(problem="this job's OIDC token opened no hub: it is not on its list")

    monkeypatch.setattr(bootstrap_peers, "enrolled", refused)
    (finding,) = await findings(examine, patient(tmp_path, CACHE_BOOTSTRAP_PEERS=str(AT)))
    assert (finding.verdict, "opened no hub" in finding.found) == (FAIL, True)


def test_the_hosts_hub_is_looked_for_as_up_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = patient(tmp_path, CACHE_SECRET=SECRET).settings
    monkeypatch.setattr(bootstrap_peers, "resolve", lambda *_: Bootstrap(("/ip4/1.2.3.4/tcp/1",), True, ""))
    assert bootstrap_peers._on_this_host(settings) == (parse("/ip4/1.2.3.4/tcp/1"),)
    monkeypatch.setattr(bootstrap_peers, "resolve", lambda *_: Bootstrap((), False, ""))
    assert bootstrap_peers._on_this_host(settings) == ()

"""What ``get --explain`` tells of the peers: who was asked, and why not the others."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import cast

from p2pcache.cache.entry import Pointer
from p2pcache.swarm.rules.directory import Directory
from p2pcache.swarm.rules.scoring import Score
from p2pcache.swarm.services.fetch_log import FetchLog, explain
from p2pcache.swarm.services.members import Members
from tests.unit.swarm.conftest import Pointers

CID = b"\x01\x55\x12\x20" + b"c" * 32


def session(peer: str, reason: str = "") -> SimpleNamespace:
    score = Score(0.25)
    if reason:
        score.rests_until, score.reason = time.monotonic() + 60, reason
    return SimpleNamespace(peer=peer, score=score)


def told(
    log: FetchLog,
    members: list[SimpleNamespace],
    directory: Directory | None = None,
    since: float = 0.0,
    pointer: Pointer | None = None,
) -> list[str]:
    directory = directory or Directory(10_000, 10_000, 10)
    return explain(pointer.name if pointer else b"n", CID, since, log, cast("Members", members), directory)


def test_who_was_asked_and_what_came_of_it() -> None:
    log = FetchLog()
    log.note(CID, "peer-number-one", "gave it in 12 ms")
    assert told(log, [session("peer-number-one")]) == ["peer mber-one gave it in 12 ms"]


def test_why_the_others_were_not(pointer: Pointers) -> None:
    directory, held = Directory(10_000, 10_000, 10), pointer(cid=CID)
    for peer in ("slow", "able"):
        directory.add(held, peer)
    members = [session("none"), session("slow", "it answers too slowly"), session("able")]
    assert told(FetchLog(), members, directory, pointer=held) == [
        "peer none was not asked: it has not announced this",
        "peer slow was not asked: it answers too slowly",
        "peer able was not asked: it was not needed",
    ]


def test_another_block_of_the_same_resource_counts(pointer: Pointers) -> None:
    log, directory, other = FetchLog(), Directory(10_000, 10_000, 10), pointer(cid=CID[:4] + b"o" * 32)
    directory.add(other, "one")
    log.note(other.cid, "one", "had announced it, but has it no more")
    assert told(log, [], directory, pointer=other) == ["peer one had announced it, but has it no more"]


def test_what_was_before_the_request_does_not_count() -> None:
    log = FetchLog()
    log.note(CID, "one", "gave it in 1 ms")
    assert told(log, [], since=time.monotonic() + 1) == []


def test_it_is_bounded() -> None:
    log = FetchLog()
    log.note(CID, "first", "x")
    for number in range(300):
        log.note(number.to_bytes(2, "big"), "one", "x")
        log.note(b"same", f"{number}", "x")
    assert told(log, []) == []
    assert len(log.outcomes([b"same"], 0.0)) == 8
    said = told(FetchLog(), [session(f"{number}") for number in range(20)])
    assert len(said) == 9
    assert said[-1] == "12 more peers were not asked"

"""A thief's, a prankster's or a failing disk's changes to a store: rows open where they were sealed, or not at all."""

import contextlib
import itertools
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies._internal.core import DataObject

from p2pcache.cache.sealing import ForgedError, Keyring, SealedKind, SealError, generate_secret
from tests.support.forks import Forks
from tests.support.processes import GitHub, Node, job
from tests.support.trust import APP, JOB, PERSONAL, PRIVATE, Swarm

TARGETS = (f"/repos/{APP}", f"/repos/{APP}/labels", f"/repos/{PRIVATE}", f"/repos/{PRIVATE}/labels")
RING = Keyring.from_secrets([generate_secret()])


@dataclass
class Stored:
    """The database that a node left, and how to start that node again."""

    file: Path
    start: Callable[[], contextlib.AbstractContextManager[Node]]


@pytest.fixture
def stored(forks: Forks, tmp_path: Path, trusted_github: GitHub) -> Stored:
    """What a job and a person left in one directory; starts their node again, over a store that was tampered with."""
    secret = Swarm(forks, tmp_path, "").secret
    where = ("--dir", str(tmp_path / "node"), "--no-p2p")
    number = itertools.count()

    @contextlib.contextmanager
    def start() -> Iterator[Node]:
        with Swarm(forks, tmp_path / f"{next(number)}", trusted_github.url) as swarm:
            swarm.secret = secret
            yield swarm.alone("node", *where, **job(JOB, APP))

    with start() as node:
        for target in TARGETS:
            assert node.get(target, PERSONAL)[0] == 200
            node.get(target, JOB)
    trusted_github.order("reset-calls")
    return Stored(tmp_path / "node/store/blocks.db", start)


@contextlib.contextmanager
def tampering(stored: Stored) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(stored.file, isolation_level=None)) as db:
        yield db


def rows(db: sqlite3.Connection, *columns: str) -> list[tuple[bytes | int, ...]]:
    return db.execute(f"SELECT {', '.join(columns)} FROM pointers ORDER BY id").fetchall()


def right(node: Node, trusted_github: GitHub) -> None:
    """Whether every answer is what GitHub gives the job itself, whatever the store says."""
    for target in TARGETS:
        status, headers, body = node.get(target, JOB)
        if target.startswith(f"/repos/{PRIVATE}"):
            assert status == 404, headers
        else:
            assert status == 200
            assert body.replace(node.api_url.encode(), b"https://api.github.com") == trusted_github.get(target, JOB)


def test_an_untouched_store_answers(stored: Stored, trusted_github: GitHub) -> None:
    """What the others are measured by."""
    with stored.start() as node:
        assert node.get(TARGETS[0], JOB)[1]["cache-status"].endswith("; detail=disk")


@pytest.mark.parametrize("columns", [("sealed",), ("name",), ("scope",), ("name", "scope"), ("scope", "sealed")])
def test_pointers_that_changed_places_are_found(
    stored: Stored, trusted_github: GitHub, columns: tuple[str, ...]
) -> None:
    """A person's private repository put in a job's place, say, or one answer in another's."""
    with tampering(stored) as db:
        before = rows(db, "id", *columns)
        db.execute("UPDATE pointers SET name = randomblob(32), scope = randomblob(16)")  # they are unique in pairs
        for (row, *_), (_, *values) in zip(before, before[1:] + before[:1], strict=True):
            assignments = ", ".join(f"{column} = ?" for column in columns)
            db.execute(f"UPDATE pointers SET {assignments} WHERE id = ?", (*values, row))
    with stored.start() as node:
        right(node, trusted_github)


def test_every_exchange_of_two_sealed_rows_is_found_and_said_once(stored: Stored, trusted_github: GitHub) -> None:
    with tampering(stored) as db:
        before = rows(db, "id", "sealed")
        for (row, _), (_, other) in zip(before, reversed(before), strict=True):
            db.execute("UPDATE pointers SET sealed = ? WHERE id = ?", (other, row))
    with stored.start() as node:
        right(node, trusted_github)
        assert node.log.read_text().count("was damaged or rearranged") == 1


def test_blocks_that_changed_places_are_found(stored: Stored, trusted_github: GitHub) -> None:
    with tampering(stored) as db:
        blocks = db.execute("SELECT id, sealed FROM blocks ORDER BY id").fetchall()
        for (row, _), (_, other) in zip(blocks, blocks[1:] + blocks[:1], strict=True):
            db.execute("UPDATE blocks SET sealed = ? WHERE id = ?", (other, row))
    with stored.start() as node:
        right(node, trusted_github)


def test_a_block_in_a_pointers_place_is_none(stored: Stored, trusted_github: GitHub) -> None:
    with tampering(stored) as db:
        (block,) = db.execute("SELECT sealed FROM blocks LIMIT 1").fetchone()
        db.execute("UPDATE pointers SET sealed = ?", (block,))
    with stored.start() as node:
        right(node, trusted_github)


def test_a_persons_rows_do_not_become_the_jobs(stored: Stored, trusted_github: GitHub) -> None:
    """By a scope that any job of the repository has."""
    with tampering(stored) as db:
        scopes = {scope for (scope,) in rows(db, "scope")}
        assert len(scopes) == 2
        for scope in scopes:
            with contextlib.suppress(sqlite3.IntegrityError):
                db.execute("UPDATE OR IGNORE pointers SET scope = ?", (scope,))
    with stored.start() as node:
        right(node, trusted_github)


PLACES = st.lists(st.binary(max_size=40), max_size=3)


@given(st.binary(max_size=300), st.sampled_from(SealedKind), PLACES, st.data())
def test_sealed_bytes_with_anything_changed_do_not_open(
    plaintext: bytes, kind: SealedKind, place: list[bytes], data: DataObject
) -> None:
    sealed = bytearray(RING.seal(plaintext, kind, *place))
    assert RING.open(bytes(sealed), kind, *place) == plaintext
    change = data.draw(st.sampled_from(("bit", "cut", "more", "splice")))
    at = data.draw(st.integers(0, len(sealed) - 1))
    if change == "bit":
        sealed[at] ^= 1 << data.draw(st.integers(0, 7))
    elif change == "cut":
        del sealed[at:]
    elif change == "more":
        sealed += data.draw(st.binary(min_size=1, max_size=40))
    else:  # head of one, tail of another that was sealed for the same place
        other = RING.seal(plaintext + b"x", kind, *place)
        sealed[at:] = other[at:]
        if bytes(sealed) == other or at == 0:
            return
    with pytest.raises(SealError):
        RING.open(bytes(sealed), kind, *place)


@given(st.binary(max_size=100), st.sampled_from(SealedKind), PLACES, st.sampled_from(SealedKind), PLACES)
def test_nothing_opens_as_another_kind_or_at_another_place(
    plaintext: bytes, kind: SealedKind, place: list[bytes], other_kind: SealedKind, other_place: list[bytes]
) -> None:
    sealed = RING.seal(plaintext, kind, *place)
    if (kind, place) != (other_kind, other_place):
        with pytest.raises(ForgedError):
            RING.open(sealed, other_kind, *other_place)


@given(st.binary(max_size=200), st.sampled_from(SealedKind), PLACES)
def test_garbage_is_refused_by_its_own_error(garbage: bytes, kind: SealedKind, place: list[bytes]) -> None:
    for head in (b"", b"\x02" + RING.key_id, os.urandom(9)):
        with pytest.raises(SealError):
            RING.open(head + garbage, kind, *place)

"""The writes that wait for a service."""

from __future__ import annotations

from p2pcache.stores.pending import Pending, PendingWrite
from p2pcache.testing.conformance import make


def write(resource: str = "/one", **changes: object) -> PendingWrite:
    stored = make(resource, **changes)  # type: ignore[arg-type]
    return PendingWrite(stored.pointer, stored.sealed)


def test_they_are_found_until_they_are_done() -> None:
    pending, one, two = Pending(), write("/one"), write("/two", body=b"other")
    pending.put(one)
    pending.put(two)
    assert pending.pointers(one.pointer.name) == (one.pointer,)
    batch = pending.take(1)
    assert (batch, len(pending)) == ([one], 2)
    assert pending.block(one.pointer.cid) == one.sealed
    pending.done(batch)
    assert (pending.pointers(one.pointer.name), pending.block(one.pointer.cid), len(pending)) == ((), None, 1)


def test_a_newer_write_of_the_same_replaces_the_older() -> None:
    pending, old, new = Pending(), write(body=b"old"), write(body=b"new", proved_at=2000.0)
    pending.put(old)
    pending.put(new)
    assert pending.take(10) == [new]
    assert pending.lost == 0


def test_the_oldest_give_way() -> None:
    pending = Pending(most=2)
    writes = [write(f"/{number}") for number in range(3)]
    for each in writes:
        pending.put(each)
    assert (pending.take(10), pending.lost) == (writes[1:], 1)


def test_their_bytes_are_bounded() -> None:
    one, two = write("/one"), write("/two")
    pending = Pending(most_bytes=len(one.sealed))
    pending.put(one)
    pending.put(two)
    assert (pending.take(10), pending.lost) == ([two], 1)
    pending.put(one)
    assert len(pending) == 2, "what is taken does not count"


def test_all_can_be_given_up() -> None:
    pending = Pending()
    pending.put(write("/one"))
    pending.put(write("/two"))
    pending.take(1)
    pending.clear()
    assert (len(pending), pending.lost, pending.take(1)) == (0, 2, [])

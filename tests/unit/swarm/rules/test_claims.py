"""What a node remembers of its claims."""

from __future__ import annotations

from p2pcache.swarm.rules.claims import FreedClaims


def test_who_left_something_is_said_once() -> None:
    freed = FreedClaims(10)
    assert freed.take(b"r", b"s") is None
    freed.note(b"r", b"s", "peer")
    freed.note(b"r", b"other", "")
    assert freed.take(b"r", b"s") == "peer"
    assert freed.take(b"r", b"s") is None
    assert freed.take(b"r", b"other") == ""


def test_it_is_bounded_and_keeps_the_latest() -> None:
    freed = FreedClaims(2)
    for resource in (b"a", b"b", b"a", b"c"):
        freed.note(resource, b"s", "peer")
    assert [freed.take(resource, b"s") for resource in (b"a", b"b", b"c")] == ["peer", None, "peer"]

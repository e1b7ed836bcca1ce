"""What waits for a peer."""

from __future__ import annotations

from p2pcache.swarm.protocol.frames import FRAME_MAX
from p2pcache.swarm.protocol.outbox import Outbox


def test_small_frames_are_written_together_large_ones_alone() -> None:
    box = Outbox(1 << 20)
    for size in (10, 20, FRAME_MAX - 20, FRAME_MAX + 4, 5):
        assert box.put(bytes(size))
    assert [len(box.take()[0]) for _ in range(4)] == [30, FRAME_MAX - 20, FRAME_MAX + 4, 5]
    assert box.take() == (b"", False)


def test_it_is_bounded_and_has_room_again() -> None:
    box = Outbox(100)
    assert not box.put(bytes(51), share=0.5)
    assert box.put(bytes(60))
    assert not box.put(bytes(41))
    assert box.put(bytes(40))
    box.take()
    assert box.put(bytes(100))


def test_control_frames_pass_blocks() -> None:
    box = Outbox(1000)
    box.put_bulk(b"1")
    box.put_bulk(b"2")
    box.put(b"control")
    assert [box.take() for _ in range(4)] == [(b"control", False), (b"1", True), (b"2", True), (b"", False)]

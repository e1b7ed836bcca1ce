"""What waits for a peer."""

from __future__ import annotations

import trio
import trio.testing

from p2pcache.swarm.frames import FRAME_MAX
from p2pcache.swarm.outbox import Outbox


def test_small_frames_are_written_together_large_ones_alone(run):
    async def test():
        box = Outbox(1 << 20)
        for size in (10, 20, FRAME_MAX - 20, FRAME_MAX + 4, 5):
            assert box.put(bytes(size))
        assert [len(await box.take()) for _ in range(4)] == [30, FRAME_MAX - 20, FRAME_MAX + 4, 5]

    run(test)


def test_it_is_bounded_and_has_room_again(run):
    async def test():
        box = Outbox(100)
        assert box.put(bytes(60))
        assert not box.put(bytes(41))
        assert box.put(bytes(40))
        await box.take()
        assert box.put(bytes(100))

    run(test)


def test_control_frames_pass_blocks_and_blocks_wait_for_places(run):
    async def test():
        box = Outbox(1000)
        done = []

        async def send():
            for number in range(10):
                await box.put_bulk(bytes([number]))
                done.append(number)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await trio.testing.wait_all_tasks_blocked()
            assert len(done) == 4
            box.put(b"control")
            assert await box.take() == b"control"
            assert [await box.take() for _ in range(10)] == [bytes([n]) for n in range(10)]

    run(test)


def test_the_writer_sleeps_until_there_is_something(run):
    async def test():
        box = Outbox(1000)
        async with trio.open_nursery() as nursery:
            got = []

            async def write():
                got.append(await box.take())

            nursery.start_soon(write)
            await trio.testing.wait_all_tasks_blocked()
            assert got == []
            box.put(b"x")
        assert got == [b"x"]

    run(test)

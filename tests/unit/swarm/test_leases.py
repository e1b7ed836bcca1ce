"""One upstream call for the fleet, over links in memory: what a GitHub would have been asked is counted."""

from __future__ import annotations

import os
import time

import pytest
import trio

from p2pcache.cache.arbiter import choose
from p2pcache.swarm import Limits, statements
from p2pcache.swarm.frames import Ask, Free, Grant, Ping, Pong, Release, Wait, wire
from p2pcache.swarm.reasons import Ended, Reason

SCOPE, OTHER = b"s" * 16, b"o" * 16


def said(token, asker):
    """An arbiter's word that it asks itself, with nothing to show."""
    return Wait(token, asker.me.peer, 0.0, bytes(64))


class GitHub:
    """Counts calls; `ask` is what the cache does around a lease."""

    def __init__(self, latency: float = 0.1) -> None:
        self.calls = 0
        self.latency = latency
        self.answered = 0

    async def ask(self, node, name, pointer, scope=SCOPE, keep=True):
        token = await node.mesh.leases.acquire(name, scope)
        left = None
        try:
            if not node.directory.find(name):
                self.calls += 1
                await trio.sleep(self.latency)
                left = pointer(name=name, scope=scope) if keep else None
        finally:
            if token is not None:
                node.mesh.leases.release(token, left)
        self.answered += 1


async def burst(world, nodes, github, pointer, names=1, **how):
    async with trio.open_nursery() as nursery:
        for name in [os.urandom(32) for _ in range(names)]:
            for node in nodes:
                nursery.start_soon(lambda node=node, name=name: github.ask(node, name, pointer, **how))


def fleet(world, size, **changes):
    return [world.node(0, hub=True, **changes), *(world.node(n, 0, **changes) for n in range(1, size))]


@pytest.mark.parametrize("size", [1, 2, 5, 12])
def test_a_burst_makes_one_call_for_each_thing(world, run, pointer, size):
    async def test():
        nodes, github = fleet(world, size), GitHub()
        async with world.running(*nodes):
            await world.met(*nodes, links=min(1, size - 1))
            await world.until(lambda: len(nodes[0].mesh.members) == size - 1)
            await burst(world, nodes, github, pointer, names=10)
        assert github.calls == 10
        assert github.answered == 10 * size

    run(test)


def test_it_works_among_members_without_a_hub(world, run, pointer):
    async def test():
        nodes, github = [world.node(0), *(world.node(n, 0) for n in range(1, 6))], GitHub()
        async with world.running(*nodes):
            await world.met(*nodes)
            await burst(world, nodes, github, pointer, names=10)
        assert github.calls == 10

    run(test)


def test_a_refused_leader_frees_the_others_to_ask_for_themselves(world, run, pointer):
    async def test():
        nodes, github = fleet(world, 4), GitHub()
        async with world.running(*nodes):
            await world.met(*nodes)
            began = trio.current_time()
            await burst(world, nodes, github, pointer, keep=False)
            assert trio.current_time() - began < 1.0
        assert github.calls == 4

    run(test)


@pytest.mark.parametrize("how", ["dies", "stalls"])
def test_a_leader_that_is_lost_hands_over_within_a_second(world, run, pointer, how):
    async def test():
        nodes, github = fleet(world, 4), GitHub(latency=0.05)
        async with world.running(*nodes):
            await world.met(*nodes)
            leader, *others = nodes[1:]
            name = os.urandom(32)
            assert await leader.mesh.leases.acquire(name, SCOPE) is not None
            if how == "dies":
                leader.die()
            else:
                for link in world.net.links:
                    if link.owner == leader.peer:
                        link.deaf = True
            began = trio.current_time()
            async with trio.open_nursery() as nursery:
                for node in others:
                    nursery.start_soon(github.ask, node, name, pointer)
            assert trio.current_time() - began < 1.2
        assert github.calls == 1

    run(test)


@pytest.mark.parametrize("how", ["dies", "stalls"])
def test_an_arbiter_that_is_lost_holds_nobody_up(world, run, pointer, how):
    async def test():
        nodes, github = fleet(world, 4), GitHub(latency=0.2)
        async with world.running(*nodes):
            await world.met(*nodes)
            began = trio.current_time()
            async with trio.open_nursery() as nursery:
                name = os.urandom(32)
                for node in nodes[1:]:
                    nursery.start_soon(github.ask, node, name, pointer)
                await trio.sleep(0.1)
                if how == "dies":
                    nodes[0].die()
                else:
                    for link in world.net.links:
                        if link.owner == nodes[0].peer:
                            link.deaf = True
            assert trio.current_time() - began < 2.0
        assert github.answered == 3
        assert github.calls <= (1 if how == "dies" else 2)

    run(test)


def test_a_deaf_arbiter_is_passed_over_within_a_second(world, run, pointer):
    async def test():
        hub, node = world.node(0, hub=True), world.node(1, 0)
        async with world.running(hub, node):
            await world.met(hub, node)
            for link in world.net.links:
                link.deaf = True
            began = trio.current_time()
            token = await node.mesh.leases.acquire(os.urandom(32), SCOPE)
            assert token is not None
            assert trio.current_time() - began <= 1.0
            node.mesh.leases.release(token, None)

    run(test)


def test_a_late_word_of_the_arbiter_changes_nothing(world, run):
    async def test():
        node = world.node(0)
        async with world.running(node), world.guest(node, hub=True) as hub:
            await world.until(lambda: len(node.mesh.members) == 1)
            got = []

            async def acquire():
                got.append(await node.mesh.leases.acquire(b"r" * 32, SCOPE))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire)
                asked = await hub.hear(Ask)
            assert got not in ([asked.id], [None])
            assert (await hub.hear(Release)).id == asked.id
            await hub.say(said(asked.id, hub), Grant(asked.id, None, ""), Ping(1), said(99, hub))
            assert await hub.hear(Release) == Release(asked.id, None, undone=True), (
                "what nobody waits for is given back"
            )
            await hub.hear(Pong)
            node.mesh.leases.release(got[0], None)
            assert not node.mesh.leases._mine

    run(test)


def test_two_arbiters_without_a_word_are_enough(world, run):
    async def test():
        node = world.node(0)
        async with world.running(node), world.guest(node, 30, hub=True), world.guest(node, 31, hub=True):
            await world.until(lambda: len(node.mesh.members) == 2)
            began = trio.current_time()
            token = await node.mesh.leases.acquire(b"r" * 32, SCOPE)
            assert token is not None
            assert trio.current_time() - began < 2.0
            node.mesh.leases.release(token, None)

    run(test)


def test_members_whose_hub_is_deaf_agree_on_another_arbiter(world, run, pointer):
    async def test():
        nodes, github = fleet(world, 6), GitHub()
        async with world.running(*nodes):
            await world.met(*nodes)
            for link in world.net.links:
                if link.owner == nodes[0].peer:
                    link.deaf = True
            await burst(world, nodes[1:], github, pointer)
        assert github.calls == 1

    run(test)


def test_of_all_who_cannot_have_what_was_left_one_asks_again(world, run, pointer):
    async def test():
        nodes = fleet(world, 6)
        async with world.running(*nodes):
            await world.met(*nodes)
            name, asked, freed = os.urandom(32), [], []
            token = await nodes[1].mesh.leases.acquire(name, SCOPE)

            async def follow(node):
                assert await node.mesh.leases.acquire(name, SCOPE) is None
                token = await node.mesh.leases.acquire(name, SCOPE, again=True)
                if token is None:
                    freed.append(node)
                else:
                    asked.append(node)
                    await trio.sleep(0.1)
                    node.mesh.leases.release(token, pointer(name=name))

            async with trio.open_nursery() as nursery:
                for node in (nodes[0], *nodes[2:]):  # the arbiter itself is one of them
                    nursery.start_soon(follow, node)
                await trio.sleep(0.1)
                nodes[1].mesh.leases.release(token, pointer(name=name))
            assert len(asked) == 1
            assert len(freed) == 4

    run(test)


def test_what_was_left_just_now_is_of_no_use_to_who_could_not_have_it(world, run, pointer):
    async def test():
        nodes = fleet(world, 3)
        async with world.running(*nodes):
            await world.met(*nodes)
            name = os.urandom(32)
            token = await nodes[1].mesh.leases.acquire(name, SCOPE)
            left = pointer(name=name)
            nodes[1].mesh.leases.release(token, left)
            nodes[1].mesh.exchange.announce([left])
            await world.until(lambda: nodes[1].peer in nodes[2].directory.holders(left.cid))
            assert await nodes[2].mesh.leases.acquire(name, SCOPE) is None
            token = await nodes[2].mesh.leases.acquire(name, SCOPE, again=True)
            assert token is not None
            nodes[2].mesh.leases.release(token, None)
            token = await nodes[2].mesh.leases.acquire(name, SCOPE, again=True)  # a new request, nothing freed before
            assert token is not None
            nodes[2].mesh.leases.release(token, None)

    run(test)


def test_a_holder_by_any_name_can_be_said_to_the_next_arbiter(world, run, pointer):
    """What one member says must not make another drop this node for garbage."""

    async def test():
        node = world.node(0)
        async with world.running(node), world.guest(node, hub=True) as hub:
            await world.until(lambda: len(node.mesh.members) == 1)
            name, got = b"r" * 32, []

            async def acquire(again):
                got.append(await node.mesh.leases.acquire(name, SCOPE, again=again))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire, False)
                asked = await hub.hear(Ask)
                await hub.say(Free(asked.id, wire(pointer(name=name)), "0OIl\n"))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire, True)
                asked = await hub.hear(Ask)
                assert set(asked.exclude) == {world.peer(30), "0OIl\n"}
                await hub.say(Grant(asked.id, None, ""))
            assert got == [None, asked.id]
            node.mesh.leases.release(asked.id, None)

    run(test)


def test_what_an_arbiter_says_once_more_changes_nothing(world, run):
    async def test():
        node = world.node(0)
        async with world.running(node), world.guest(node, hub=True) as hub:
            await world.until(lambda: len(node.mesh.members) == 1)
            got = []

            async def acquire():
                got.append(await node.mesh.leases.acquire(b"r" * 32, SCOPE))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire)
                asked = await hub.hear(Ask)
                again = Wait(asked.id, world.peer(30), time.time(), bytes(64))
                await hub.say(Grant(asked.id, None, ""), Free(asked.id, None, ""), again, Ping(7))
                assert (await hub.hear(Pong)).id == 7  # all of that was dealt with
            assert got == [asked.id]
            node.mesh.leases.release(asked.id, None)
            assert (await hub.hear(Release)).id == asked.id

    run(test)


def test_a_wait_that_was_too_long_is_not_repeated(world, run):
    async def test():
        nodes = fleet(world, 3, limits=Limits(lease=2.0))
        async with world.running(*nodes):
            await world.met(*nodes)
            name = os.urandom(32)
            with trio.fail_after(10):
                while await nodes[1].mesh.leases.acquire(name, SCOPE) is None:
                    pass
                nodes[0].mesh.leases._arbiter._lease = 100.0
                assert await nodes[1].mesh.leases.acquire(name, SCOPE) is None
                began = trio.current_time()
                assert await nodes[1].mesh.leases.acquire(name, SCOPE, again=True) is None
                assert trio.current_time() == began

    run(test)


def test_where_nothing_was_left_nobody_waits_again(world, run):
    async def test():
        nodes = fleet(world, 3)
        async with world.running(*nodes):
            await world.met(*nodes)
            name = os.urandom(32)
            token = await nodes[1].mesh.leases.acquire(name, SCOPE)

            async def follow(node):
                assert await node.mesh.leases.acquire(name, SCOPE) is None
                holding = trio.current_time()
                assert await node.mesh.leases.acquire(name, SCOPE, again=True) is None
                assert trio.current_time() == holding

            async with trio.open_nursery() as nursery:
                for node in (nodes[0], nodes[2]):
                    nursery.start_soon(follow, node)
                await trio.sleep(0.1)
                nodes[1].mesh.leases.release(token, None)

    run(test)


def test_nobody_waits_longer_than_a_lease(world, run):
    async def test():
        nodes = fleet(world, 3, limits=Limits(lease=2.0))
        async with world.running(*nodes):
            await world.met(*nodes)
            name = os.urandom(32)
            first = await nodes[1].mesh.leases.acquire(name, SCOPE)
            began = trio.current_time()
            second = await nodes[2].mesh.leases.acquire(name, SCOPE)
            assert trio.current_time() - began <= 2.3
            assert first is not None
            nodes[1].mesh.leases.release(first, None)
            if second is not None:
                nodes[2].mesh.leases.release(second, None)
            await world.until(lambda: not len(nodes[0].mesh.leases._arbiter))

    run(test)


@pytest.mark.parametrize("how", ["hangs", "vanishes", "gives up"])
def test_a_holder_that_will_not_ask_is_succeeded_by_one_other(world, run, pointer, how):
    async def test():
        nodes, github = fleet(world, 5), GitHub()
        async with world.running(*nodes):
            await world.met(*nodes)
            name, caller, holder = os.urandom(32), object(), nodes[1]
            token = await holder.mesh.leases.acquire(name, SCOPE, caller=caller)
            began = trio.current_time()
            async with trio.open_nursery() as nursery:
                for node in (nodes[0], *nodes[2:]):
                    nursery.start_soon(github.ask, node, name, pointer)
                await trio.sleep(0.1)
                if how == "hangs":
                    holder.outside.hung = 5.0
                elif how == "vanishes":
                    holder.mesh.leases.forsake(object())
                    holder.mesh.leases.forsake(caller)
                else:
                    holder.mesh.leases.abandon(token)
            assert trio.current_time() - began < 1.0
            assert github.calls == 1
            assert not holder.mesh.leases._mine

    run(test)


def test_an_arbiter_abandons_its_own_lease_too(world, run, pointer):
    async def test():
        hub, node = nodes = fleet(world, 2)
        github = GitHub()
        async with world.running(*nodes):
            await world.met(*nodes)
            name = os.urandom(32)
            token = await hub.mesh.leases.acquire(name, SCOPE)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(github.ask, node, name, pointer)
                await trio.sleep(0.1)
                assert github.calls == 0
                hub.mesh.leases.abandon(token)
                hub.mesh.leases.abandon(token)
            assert github.calls == 1

    run(test)


def test_a_waiter_that_is_cancelled_does_not_get_the_lease(world, run, pointer):
    async def test():
        nodes, github = fleet(world, 4), GitHub()
        async with world.running(*nodes):
            await world.met(*nodes)
            name = os.urandom(32)
            token = await nodes[1].mesh.leases.acquire(name, SCOPE)
            with trio.move_on_after(0.05):
                await nodes[2].mesh.leases.acquire(name, SCOPE)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(github.ask, nodes[3], name, pointer)
                await trio.sleep(0.05)
                nodes[1].die()
            assert github.calls == 1
            assert token is not None

    run(test)


def test_another_scope_proves_once_what_the_first_one_left(world, run, pointer):
    async def test():
        nodes = fleet(world, 5)
        name = os.urandom(32)
        proofs = []

        async def prove(node):
            token = await node.mesh.leases.acquire(name, OTHER)
            if not any(found.scope == OTHER for found in node.directory.find(name)):
                assert node.directory.find(name)
                proofs.append(node)
                await trio.sleep(0.05)
            if token is not None:
                node.mesh.leases.release(token, pointer(name=name, scope=OTHER))

        async with world.running(*nodes):
            await world.met(*nodes)
            async with trio.open_nursery() as nursery:
                token = await nodes[1].mesh.leases.acquire(name, SCOPE)
                for node in nodes[2:]:
                    nursery.start_soon(prove, node)
                await trio.sleep(0.1)
                nodes[1].mesh.leases.release(token, pointer(name=name))
        assert len(proofs) == 1

    run(test)


def test_releasing_twice_or_nothing_is_harmless(world, run):
    async def test():
        node = world.node(0)
        async with world.running(node):
            token = await node.mesh.leases.acquire(b"r" * 32, SCOPE)
            node.mesh.leases.release(token, None)
            node.mesh.leases.release(token, None)
            node.mesh.leases.release(12345, None)
            assert await node.mesh.leases.acquire(b"r" * 32, SCOPE) not in (None, token)

    run(test)


def test_a_lease_moves_to_the_next_member_when_the_hub_is_lost(world, run, pointer):
    async def test():
        hub, a, b = nodes = fleet(world, 3)
        async with world.running(*nodes):
            await world.met(*nodes)
            name = next(name for name in iter(lambda: os.urandom(32), b"") if choose(name, (a.peer, b.peer)) == b.peer)
            token = await a.mesh.leases.acquire(name, SCOPE)
            hub.die()
            await world.until(lambda: all(hub.peer not in node.mesh.members for node in (a, b)))
            await trio.sleep(0.1)
            waiting = []

            async def follow():
                waiting.append(await b.mesh.leases.acquire(name, SCOPE))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(follow)
                await trio.sleep(1.0)
                assert not waiting
                left = pointer(name=name)
                a.mesh.leases.release(token, left)
            assert waiting == [None]
            assert b.directory.find(name) == [left]

    run(test)


def test_a_second_caller_on_the_holders_node_is_freed_and_asks_no_peer_for_it(world, run, pointer):
    async def test():
        hub, node = nodes = fleet(world, 2)
        async with world.running(*nodes):
            await world.met(*nodes)
            name, freed = os.urandom(32), []
            token = await node.mesh.leases.acquire(name, SCOPE)

            async def follow():
                freed.append(await node.mesh.leases.acquire(name, SCOPE))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(follow)
                await trio.sleep(0.1)
                left = pointer(name=name)
                node.mesh.leases.release(token, left)
            assert freed == [None]
            assert node.directory.find(name) == []
            assert set(hub.directory.holders(left.cid)) == {node.peer}

    run(test)


def test_an_arbiter_whose_last_word_freed_a_caller_may_go(world, run, pointer):
    """The caller has not taken notice yet: it is free all the same, and asks nobody again."""

    async def test():
        node = world.node(0)
        async with world.running(node), world.guest(node, hub=True) as hub:
            await world.until(lambda: len(node.mesh.members) == 1)
            leases, [session] = node.mesh.leases, list(node.mesh.members)
            got = []

            async def acquire():
                got.append(await leases.acquire(b"r" * 32, SCOPE))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire)
                asked = await hub.hear(Ask)
                await hub.say(said(asked.id, hub))
                await trio.sleep(0.1)
                leases.told(session, Free(asked.id, None, ""))
                leases.left(session)
            assert got == [None]

    run(test)


def test_members_that_leave_together_are_not_told_of_each_others_leases(world, run):
    async def test():
        node = world.node(0)
        async with world.running(node), world.guest(node, 30) as one, world.guest(node, 31) as two:
            await one.say(one.ask(1, b"r" * 32, SCOPE, node.peer))
            await one.hear(Grant)
            await two.say(two.ask(1, b"r" * 32, SCOPE, node.peer))
            await two.hear(Wait)
            first, second = (node.mesh.members.get(world.peer(number)) for number in (30, 31))
            for session in (first, second):
                node.mesh.members.leave(session, Ended(Reason.LEAVING))
            for session in (first, second):
                node.mesh.leases.left(session)
            token = await node.mesh.leases.acquire(b"r" * 32, SCOPE)
            assert token is not None
            node.mesh.leases.release(token, None)

    run(test)


def shown(token, resource, arbiter, holder, ago=0.0):
    """An arbiter's word, with the signature of who asks."""
    at = time.time() - ago
    return Wait(token, holder.peer, at, holder.sign(statements.ask(resource, at, arbiter)))


def test_an_arbiters_bare_word_is_believed_for_one_deadline(world, run):
    async def test():
        node, name = world.node(0, limits=Limits(lease=100.0)), b"r" * 32
        async with world.running(node), world.guest(node, hub=True) as hub:
            await world.until(lambda: len(node.mesh.members) == 1)

            async def lie():
                while True:
                    asked = await hub.hear(Ask)
                    await hub.say(said(asked.id, hub))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(lie)
                for turn in range(4):
                    began = trio.current_time()
                    token = await node.mesh.leases.acquire(name, SCOPE)
                    assert token is not None
                    took = trio.current_time() - began
                    assert took == pytest.approx(Limits().peer_deadline if turn < 3 else 0.0, abs=0.02)
                    node.mesh.leases.abandon(token)
                nursery.cancel_scope.cancel()

    run(test)


@pytest.mark.parametrize("skew", [0.0, 200.0])
def test_an_arbiter_that_shows_who_asks_is_believed(world, run, skew):
    async def test():
        node, name, got = world.node(0, limits=Limits(lease=100.0, lease_silence=50.0)), b"r" * 32, []
        asker = world.identity(31)
        async with world.running(node), world.guest(node, hub=True) as hub, world.guest(node, 31, skew=skew):
            await world.until(lambda: len(node.mesh.members) == 2)

            async def acquire():
                got.append(await node.mesh.leases.acquire(name, SCOPE))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire)
                asked = await hub.hear(Ask)
                await hub.say(shown(asked.id, name, hub.me.peer, asker, -skew))
                await trio.sleep(3)
                assert got == []
                await hub.say(Free(asked.id, None, asker.peer))
            assert got == [None]

    run(test)


def test_of_two_who_say_that_they_ask_one_does(world, run):
    """And what the doubted one says in the end counts."""

    async def test():
        node, got = world.node(0, limits=Limits(lease=100.0, lease_silence=50.0)), []
        async with world.running(node), world.guest(node, 30) as one, world.guest(node, 31) as other:
            await world.until(lambda: len(node.mesh.members) == 2)
            peers = [node.peer, one.me.peer, other.me.peer]

            def ranked(name):
                first = choose(name, peers)
                return [first, choose(name, [peer for peer in peers if peer != first])]

            names = (os.urandom(32) for _ in range(500))
            name = next(name for name in names if ranked(name) == [one.me.peer, other.me.peer])

            async def acquire():
                got.append(await node.mesh.leases.acquire(name, SCOPE))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire)
                first = await one.hear(Ask)
                await one.say(said(first.id, one))
                second = await other.hear(Ask)
                await other.say(said(second.id, other))
                await trio.sleep(3)
                assert got == []
                await one.say(Free(first.id, None, one.me.peer))
            assert got == [None]
            assert not node.mesh.leases._mine
            got.clear()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire)
                first = await one.hear(Ask)
                await one.say(said(first.id, one))
                second = await other.hear(Ask)
                await other.say(said(second.id, other))
                await trio.sleep(1)
                await one.say(Grant(first.id, None, ""))
                assert (await one.hear(Release)).undone
                assert got == []
                await other.say(Grant(second.id, None, ""), Free(second.id, None, ""))
            assert got == [second.id]
            node.mesh.leases.release(second.id, None)

    run(test)


def test_this_nodes_own_word_is_enough_for_it(world, run):
    async def test():
        node, name, got = world.node(0, limits=Limits(lease=100.0, lease_silence=50.0)), b"r" * 32, []
        async with world.running(node), world.guest(node, hub=True) as hub:
            await world.until(lambda: len(node.mesh.members) == 1)

            async def acquire(scope):
                got.append(await node.mesh.leases.acquire(name, scope))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire, SCOPE)
                first = await hub.hear(Ask)
                await hub.say(Grant(first.id, None, ""))
                await world.until(lambda: got)
                nursery.start_soon(acquire, OTHER)
                second = await hub.hear(Ask)
                await hub.say(Wait(second.id, node.peer, time.time(), bytes(64)))
                await trio.sleep(2)
                assert got == [first.id]
                await hub.say(Free(second.id, None, node.peer))
            assert got == [first.id, None]
            node.mesh.leases.release(first.id, None)

    run(test)


def test_what_is_left_is_what_was_asked_for(world, run, pointer):
    async def test():
        node, name = world.node(0), b"r" * 32
        async with world.running(node), world.guest(node, hub=True) as hub, world.guest(node, 31) as member:
            await member.say(member.ask(1, name, SCOPE, node.peer))
            await member.hear(Grant)
            other = pointer()
            await member.say(Release(1, wire(other)), Ping(5))
            await member.hear(Pong)
            assert not node.directory.find(other.name)
            got = []

            async def acquire():
                got.append(await node.mesh.leases.acquire(b"x" * 32, SCOPE))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire)
                asked = await hub.hear(Ask)
                await hub.say(Free(asked.id, wire(other), member.me.peer))
            await hub.say(Free(99, wire(other), member.me.peer), Ping(6))
            await hub.hear(Pong)
            assert not node.directory.find(other.name)

    run(test)


def test_a_word_that_comes_when_it_does_not_matter_any_more(world, run):
    async def test():
        node, got = world.node(0, limits=Limits(lease=100.0, lease_silence=50.0)), []
        async with world.running(node), world.guest(node, 30) as one, world.guest(node, 31) as other:
            await world.until(lambda: len(node.mesh.members) == 2)
            peers = [node.peer, one.me.peer, other.me.peer]

            def ranked(name):
                first = choose(name, peers)
                return [first, choose(name, [peer for peer in peers if peer != first])]

            names = (os.urandom(32) for _ in range(500))
            name = next(name for name in names if ranked(name) == [one.me.peer, other.me.peer])

            async def acquire():
                got.append(await node.mesh.leases.acquire(name, SCOPE))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire)
                first = await one.hear(Ask)
                await one.say(said(first.id, one))
                await other.hear(Ask)
                await trio.sleep(Limits().peer_deadline + 0.01)  # the other is passed over, and nobody is asked yet
                await one.say(Free(first.id, None, one.me.peer))
            assert got != [None]
            node.mesh.leases.release(got[0], None)
            got.clear()
            name = next(name for name in names if ranked(name)[0] == one.me.peer)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(acquire)
                asked = await one.hear(Ask)
                await one.say(Grant(asked.id, None, ""))
            await one.say(Free(asked.id, None, ""), Ping(5))
            await one.hear(Pong)
            assert got == [asked.id]
            assert node.mesh.leases._mine[asked.id]
            node.mesh.leases.release(asked.id, None)

    run(test)

"""A bulkhead is its driver to whoever calls it, fences writes, and names everybody after an outage."""

from __future__ import annotations

import asyncio

import pytest

from drivers.base import Applied, Unavailable
from model.names import Owner
from reconciler.bulkhead import Bulkhead, NotLeading
from tests.reconciler.moody import (
    OWNERS,
    STOP,
    A,
    B,
    C,
    World,
    around,
    ended,
    fail_until_open,
    look,
    narrow,
)

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def test_it_is_the_driver_to_whoever_calls_it():
    world = World()
    async with around(world) as bulkhead:
        assert world.is_open
        assert (bulkhead.cluster, bulkhead.kinds, bulkhead.units) == (world.cluster, world.kinds, world.units)
        assert bulkhead.translate("unit", "site") == ("unit", "site")
        assert await look(bulkhead) is world.seen
        assert await bulkhead.apply(A, STOP) == Applied(uid="a")
        assert await bulkhead.owners() == set(OWNERS)
        assert bulkhead.inner is world

    assert not world.is_open


async def test_who_lost_the_right_to_write_while_waiting_writes_nothing():
    world = World(seconds=5.0)
    leads = True
    async with around(world, limits=narrow(1), may_write=lambda: leads) as bulkhead:
        first = asyncio.create_task(look(bulkhead))
        write = asyncio.create_task(bulkhead.apply(A, STOP))
        await asyncio.sleep(1)
        leads = False

        with pytest.raises(NotLeading, match="this daemon no longer leads cluster east"):
            await write
        assert await first is world.seen
        assert not world.times("apply")


async def test_a_lost_lead_says_nothing_about_the_cluster():
    async with around(World(), may_write=lambda: False) as bulkhead:
        for _ in range(20):
            await ended(bulkhead.apply(A, STOP))

        assert not bulkhead.state().is_open
        assert bulkhead.state().calls_now == 0


class Watch:
    """Somebody who collects what a watch yields, and how it ended."""

    def __init__(self, bulkhead: Bulkhead) -> None:
        self.owners: list[Owner] = []
        self.task = asyncio.create_task(self._collect(bulkhead))

    async def _collect(self, bulkhead: Bulkhead) -> None:
        async for owner in bulkhead.watch():
            self.owners.append(owner)

    async def end(self) -> None:
        self.task.cancel()
        await ended(self.task)


async def test_hints_pass_and_after_an_outage_everybody_is_named_once():
    world = World()
    async with around(world) as bulkhead:
        watch = Watch(bulkhead)
        world.hints.put_nowait(B)
        await asyncio.sleep(1)
        assert watch.owners == [B]
        await fail_until_open(bulkhead, world)
        world.trouble = None
        await asyncio.sleep(60)
        assert watch.owners == [B, A, B, C]
        world.hints.put_nowait(C)
        await asyncio.sleep(60)
        assert watch.owners == [B, A, B, C, C]
        await watch.end()

    assert world.watches == 0


async def test_a_watch_that_breaks_in_an_outage_is_the_caller_s_and_the_next_one_names_everybody():
    world = World()
    async with around(world) as bulkhead:
        watch = Watch(bulkhead)
        await fail_until_open(bulkhead, world)
        world.hints.put_nowait(Unavailable("the stream broke"))
        with pytest.raises(Unavailable, match="the stream broke"):
            await watch.task
        world.trouble = None
        await asyncio.sleep(60)
        again = Watch(bulkhead)
        await asyncio.sleep(1)

        assert again.owners == list(OWNERS)
        await again.end()


async def test_two_outages_that_nobody_watched_name_everybody_once():
    world = World()
    async with around(world) as bulkhead:
        for _ in range(2):
            await fail_until_open(bulkhead, world, Unavailable("connection refused"))
            world.trouble = None
            await asyncio.sleep(60)
            await look(bulkhead)
        watch = Watch(bulkhead)
        await asyncio.sleep(1)

        assert watch.owners == list(OWNERS)
        await watch.end()


async def test_a_watch_ends_when_the_driver_s_does():
    class Silent(World):
        async def watch(self):
            for owner in (A, B):
                yield owner

    async with around(Silent()) as bulkhead:
        async with asyncio.timeout(1):
            assert [owner async for owner in bulkhead.watch()] == [A, B]

"""Turns are few, fair, paced and bounded, and none is lost; on virtual time, through a bulkhead."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

import pytest

from drivers.base import Applied, Throttled, Unavailable
from model.objects import Observed
from reconciler.bulkhead import BulkheadLimits
from reconciler.pace import PaceLimits
from reconciler.turns import TurnLimits
from tests.reconciler.moody import (
    STOP,
    A,
    World,
    around,
    ended,
    look,
    narrow,
    now,
)

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def test_no_more_calls_are_in_flight_than_allowed_and_all_are_answered():
    world = World(seconds=0.3)
    async with around(world, limits=narrow(3)) as bulkhead:
        looks = await ended(*(look(bulkhead) for _ in range(50)))

        assert looks == [world.seen] * 50
        assert world.in_flight_max == 3
        assert bulkhead.state().calls_now == 0


@pytest.mark.parametrize("is_write", [False, True], ids=["reads", "writes"])
async def test_who_came_first_goes_first(is_write):
    order = []

    async def caller(number: int) -> None:
        await (bulkhead.apply(A, STOP) if is_write else look(bulkhead))
        order.append(number)

    async with around(World(), limits=narrow(1, burst=2)) as bulkhead:
        await ended(*(caller(number) for number in range(20)))

    assert order == list(range(20))


async def test_waiting_for_a_turn_ends_with_a_sentence():
    world = World(trouble="hangs")
    async with around(world, limits=narrow(1, wait_seconds_max=3.0)) as bulkhead:
        hanging = asyncio.create_task(look(bulkhead))
        await asyncio.sleep(1)
        with pytest.raises(Unavailable, match="cluster east had no free turn for 3 s"):
            await look(bulkhead)

        assert now() == 4.0
        assert len(world.asked) == 1
        hanging.cancel()
        await ended(hanging)


async def test_the_queue_is_bounded():
    async with around(World(), limits=narrow(1, waiting_max=5)) as bulkhead:
        looks = await ended(*(look(bulkhead) for _ in range(10)))

    assert Counter(type(one) for one in looks) == {Observed: 6, Unavailable: 4}


async def test_writes_keep_to_the_rate_once_what_was_saved_up_is_spent():
    world = World(seconds=0.0)
    async with around(world, limits=narrow(burst=5)) as bulkhead:
        await ended(*(bulkhead.apply(A, STOP) for _ in range(65)))

    times = world.times("apply")
    assert times[4] == 0.0
    assert times[-1] == pytest.approx(60 / 20, abs=0.2)
    assert all(sum(start <= at < start + 1 for at in times) <= 26 for start in times)


async def test_reads_pass_a_write_that_waits_for_its_token():
    world = World(seconds=0.0)
    async with around(world, limits=narrow(1, burst=1)) as bulkhead:
        await bulkhead.apply(A, STOP)
        write = asyncio.create_task(bulkhead.apply(A, STOP))
        await asyncio.sleep(0.01)
        await look(bulkhead)
        assert now() < 0.02
        await write
        assert now() > 0.04


@pytest.mark.parametrize("seed", range(30))
async def test_whoever_is_cancelled_whenever_no_place_is_lost(seed):
    random = Random(seed)
    world = World(seconds=0.5)
    async with around(world, limits=narrow(2, wait_seconds_max=4.0, burst=3)) as bulkhead:
        calls = [
            asyncio.create_task(look(bulkhead) if random.random() < 0.5 else bulkhead.apply(A, STOP))
            for _ in range(20)
        ]
        for call in random.sample(calls, 15):
            await asyncio.sleep(random.choice([0.0, 0.0, 0.25, 0.5]))
            call.cancel()
        ends = await ended(*calls)

        assert {type(one) for one in ends} <= {Observed, Applied, Unavailable, asyncio.CancelledError}
        assert bulkhead.state().calls_now == world.in_flight == 0
        assert world.in_flight_max <= 2
        assert await ended(look(bulkhead), look(bulkhead)) == [world.seen] * 2


async def test_a_turn_that_is_granted_in_the_moment_of_giving_up_goes_to_the_next_with_its_token():
    world = World(trouble="hangs")
    limits = BulkheadLimits(
        pace=PaceLimits(calls_at_once=1, applies_per_second_max=1.0), turns=TurnLimits(burst=2)
    )
    async with around(world, limits=limits) as bulkhead:
        holder, granted = (asyncio.create_task(bulkhead.apply(A, STOP)) for _ in range(2))
        await asyncio.sleep(0)
        holder.cancel()
        await asyncio.sleep(0)
        assert bulkhead.state().calls_now == 1
        granted.cancel()
        await ended(holder, granted)
        world.trouble = None

        await bulkhead.apply(A, STOP)
        assert len(world.times("apply")) == 2
        assert now() < 0.1


async def test_a_pause_that_is_asked_for_is_kept():
    world = World(trouble=Throttled("slow down", retry_after_seconds=7.0))
    async with around(world) as bulkhead:
        with pytest.raises(Throttled):
            await look(bulkhead)
        world.trouble = None
        await look(bulkhead)

    assert world.times("observe")[1] >= 6.99


async def test_who_would_wait_in_vain_for_the_end_of_a_pause_is_told_at_once():
    world = World(trouble=Throttled("slow down", retry_after_seconds=50.0))
    async with around(world) as bulkhead:
        await ended(look(bulkhead))
        with pytest.raises(Throttled, match="asked for a pause") as raised:
            await look(bulkhead)

        assert now() == 0.0
        assert raised.value.retry_after_seconds == pytest.approx(50.0)


async def test_throttling_slows_and_opens_nothing():
    world = World(trouble=Throttled("slow down"))
    async with around(world) as bulkhead:
        for _ in range(50):
            await ended(look(bulkhead))
            await asyncio.sleep(0.1)

        state = bulkhead.state()
        assert not state.is_open
        assert (state.calls_limit, state.rate) == (1, 1.0)


async def test_slow_answers_take_calls_back_and_quick_ones_return_them():
    world = World(seconds=0.1)
    async with around(world) as bulkhead:
        await ended(*(look(bulkhead) for _ in range(30)))
        world.seconds = 2.0
        for _ in range(5):
            await look(bulkhead)
        slowed = bulkhead.state().calls_limit
        world.seconds = 0.1
        await ended(*(look(bulkhead) for _ in range(60)))

        assert slowed <= 3
        assert bulkhead.state().calls_limit == 8

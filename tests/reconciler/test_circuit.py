"""A cluster that is gone costs little, is found back, and harms nobody else; on virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from random import Random

import pytest
import structlog

from drivers.base import Conflict, Refused, Throttled, Unavailable
from model.objects import Observed
from reconciler.bulkhead import Bulkhead, BulkheadLimits
from reconciler.pace import PaceLimits
from reconciler.turns import TurnLimits
from tests.reconciler.moody import (
    STOP,
    A,
    World,
    around,
    ended,
    fail_until_open,
    look,
    narrow,
    now,
)

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def test_a_black_hole_costs_each_caller_one_timeout_and_then_nothing():
    world = World(trouble="hangs")
    lost: Counter[int] = Counter()

    async def caller(number: int) -> None:
        while now() < 600:
            began = now()
            with suppress(Unavailable):
                await look(bulkhead)
            lost[number] += now() - began
            await asyncio.sleep(1.0)

    async with around(world) as bulkhead:
        await ended(*(caller(number) for number in range(20)))

        assert max(lost.values()) == 15.0
        assert len(world.times("observe")) == 8
        assert 600 / (32 + 15) <= len(world.times("owners")) <= 600 / 15


async def test_one_cluster_s_black_hole_changes_nobody_else_s_latency():
    hole, well = World(cluster="west", trouble="hangs"), World()
    took: list[float] = []

    async def caller(bulkhead: Bulkhead) -> None:
        for _ in range(20):
            began = now()
            await ended(look(bulkhead))
            took.append(now() - began)

    async with around(hole) as west, around(well) as east:
        lost = [asyncio.create_task(look(west)) for _ in range(20)]
        await ended(*(caller(east) for _ in range(4)))
        await ended(*lost)

    assert max(took) == pytest.approx(0.05)


async def test_an_open_circuit_says_why_in_a_sentence_that_does_not_change_with_time():
    world = World()
    async with around(world) as bulkhead:
        await fail_until_open(bulkhead, world, Unavailable("connection refused by 10.0.0.1:6443"))
        why = bulkhead.state().why
        said = []
        for call in (look(bulkhead), bulkhead.apply(A, STOP), bulkhead.owners()):
            with pytest.raises(Unavailable) as raised:
                await call
            said.append(str(raised.value))
            await asyncio.sleep(20)

        assert said == [why] * 3
        assert why == (
            "cluster east has not answered since 2026-01-01 12:00:00 UTC (connection refused by 10.0.0.1:6443); "
            "it is asked again within 32 s"
        )
        assert bulkhead.state().since == 0.0
        assert not world.times("apply")


async def test_it_comes_back_even_if_nobody_calls():
    world = World()
    async with around(world) as bulkhead:
        await fail_until_open(bulkhead, world)
        await asyncio.sleep(300)
        asked = len(world.asked)
        world.trouble = None
        await asyncio.sleep(32 + 15)

        assert len(world.asked) <= asked + 2
        assert not bulkhead.state().is_open
        assert bulkhead.state().calls_limit == 1
        assert await look(bulkhead) is world.seen


@pytest.mark.parametrize("answer", [Refused("forbidden"), Conflict("not ours"), Throttled("slow down")])
async def test_an_answer_of_any_sort_never_opens_and_closes(answer):
    world = World(trouble=answer)
    async with around(world) as bulkhead:
        for _ in range(20):
            await ended(look(bulkhead))
        assert not bulkhead.state().is_open
        await fail_until_open(bulkhead, world, Unavailable("connection refused"))
        world.trouble = answer
        await asyncio.sleep(60)
        assert not bulkhead.state().is_open


async def test_after_an_outage_the_first_call_that_hangs_opens_it_again():
    world = World()
    async with around(world) as bulkhead:
        await fail_until_open(bulkhead, world)
        world.trouble = None
        await asyncio.sleep(2)
        assert not bulkhead.state().is_open
        world.trouble = "hangs"
        observed = len(world.times("observe"))
        await ended(*(look(bulkhead) for _ in range(20)))

        assert bulkhead.state().is_open
        assert len(world.times("observe")) == observed + 1


async def test_what_is_in_flight_when_it_opens_is_given_up_and_holds_no_place_later():
    world = World(trouble="hangs")
    async with around(world, limits=narrow(20)) as bulkhead:
        writes = [asyncio.create_task(bulkhead.apply(A, STOP)) for _ in range(10)]
        await ended(*(look(bulkhead) for _ in range(5)))
        lost = await ended(*writes)
        assert now() == 15.0
        assert {type(one) for one in lost} == {Unavailable}
        assert bulkhead.state().calls_now == 0
        world.trouble = None
        await asyncio.sleep(2)
        assert await look(bulkhead) is world.seen


async def test_who_waits_for_a_turn_when_it_opens_waits_no_longer():
    world = World(trouble="hangs")
    async with around(world, limits=narrow(5, wait_seconds_max=100.0)) as bulkhead:
        calls = [asyncio.create_task(look(bulkhead)) for _ in range(40)]
        await ended(*calls)

        assert now() == 15.0
        assert len(world.times("observe")) == 5


async def test_who_waits_for_a_token_when_it_opens_waits_no_longer():
    world = World(seconds=0.0)
    limits = BulkheadLimits(pace=PaceLimits(applies_per_second_max=1.0), turns=TurnLimits(burst=1))
    async with around(world, limits=limits) as bulkhead:
        await bulkhead.apply(A, STOP)
        writes = [asyncio.create_task(bulkhead.apply(A, STOP)) for _ in range(5)]
        await asyncio.sleep(0.5)
        await fail_until_open(bulkhead, world, Unavailable("connection refused"))
        lost = await ended(*writes)

        assert now() == 0.5
        assert {str(one) for one in lost} == {bulkhead.state().why}
        assert len(world.times("apply")) == 1


async def test_a_refusal_between_failures_is_an_answer():
    world = World()
    async with around(world) as bulkhead:
        for trouble in [Unavailable("reset")] * 4 + [Refused("forbidden")] + [Unavailable("reset")] * 4:
            world.trouble = trouble
            await ended(look(bulkhead))

        assert not bulkhead.state().is_open


async def test_a_call_cancelled_from_outside_counts_neither_as_failure_nor_as_answer():
    world = World(trouble="hangs")
    async with around(world) as bulkhead:
        for _ in range(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await look(bulkhead)
        assert not bulkhead.state().is_open
        world.trouble = Unavailable("connection refused")
        for _ in range(4):
            await ended(look(bulkhead))
        world.trouble = "hangs"
        cancelled = asyncio.create_task(look(bulkhead))
        await asyncio.sleep(1)
        cancelled.cancel()
        await ended(cancelled)
        assert not bulkhead.state().is_open
        world.trouble = Unavailable("connection refused")
        await ended(look(bulkhead))
        assert bulkhead.state().is_open


@pytest.mark.parametrize(
    "seen", [Observed(as_of={"Thing": 7}), Observed(blind={"Thing": "no view yet"})], ids=["cached", "blind"]
)
async def test_a_look_that_asked_nobody_does_not_hide_that_nobody_answers(seen):
    world = World(seen=seen)
    async with around(world) as bulkhead:
        for _ in range(5):
            world.trouble = Unavailable("connection refused")
            await ended(bulkhead.apply(A, STOP))
            world.trouble = None
            await ended(look(bulkhead))

        assert bulkhead.state().is_open


async def test_an_error_nobody_foresaw_does_not_end_the_probing():
    world = World()
    with structlog.testing.capture_logs() as lines:
        async with around(world) as bulkhead:
            await fail_until_open(bulkhead, world)
            world.trouble = ValueError("odd")
            await asyncio.sleep(60)
            assert "ValueError" in bulkhead.state().why
            world.trouble = None
            await asyncio.sleep(40)
            assert not bulkhead.state().is_open

    assert "cluster probe broke" in [one["event"] for one in lines]


async def test_one_seed_is_one_outage():
    lives = []
    for _ in range(2):
        began = now()
        world = World(trouble="hangs")
        async with around(world, random=Random(7)) as bulkhead:
            await ended(*(look(bulkhead) for _ in range(5)))
            await asyncio.sleep(200)
        lives.append([round(at - began, 3) for at in world.times("owners")])

    assert lives[0] == lives[1]
    assert len(lives[0]) > 3


async def test_an_outage_is_two_lines_in_the_log():
    world = World()
    with structlog.testing.capture_logs() as lines:
        async with around(world) as bulkhead:
            await fail_until_open(bulkhead, world)
            await asyncio.sleep(100)
            world.trouble = None
            await asyncio.sleep(60)

    assert [one["event"] for one in lines] == ["cluster circuit opened", "cluster circuit closed"]


async def test_closed_for_good_it_probes_no_longer():
    world = World()
    async with around(world) as bulkhead:
        await fail_until_open(bulkhead, world)
    asked = len(world.asked)
    await asyncio.sleep(300)

    assert len(world.asked) == asked
    assert not bulkhead.state().is_open

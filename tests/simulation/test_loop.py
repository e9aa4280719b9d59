"""The loop of the simulation: virtual time, seeded order, processes that are killed and frozen."""

from __future__ import annotations

import asyncio

import pytest

from .loop import Livelock, SimLoop


@pytest.fixture
def loop():
    made = SimLoop(1)
    yield made
    made.close()


def test_a_night_passes_at_once(loop):
    async def night():
        await asyncio.sleep(8 * 3600)
        return asyncio.get_running_loop().time()

    assert loop.run_until_complete(night()) == 8 * 3600


def test_timeouts_events_locks_gather_and_task_groups_work(loop):
    async def life():
        event, lock = asyncio.Event(), asyncio.Lock()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await event.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(_later(event, 3))
            await event.wait()
        async with lock:
            return await asyncio.gather(*(asyncio.sleep(1, number) for number in range(3)))

    assert loop.run_until_complete(life()) == [0, 1, 2]
    assert loop.time() == 9


async def _later(event, seconds):
    await asyncio.sleep(seconds)
    event.set()


def orders(seed):
    loop, order = SimLoop(seed), []

    async def one(name):
        for _ in range(3):
            await asyncio.sleep(1)
            order.append(name)

    async def all_of_them():
        await asyncio.gather(*(one(name) for name in "abcdef"))

    loop.run_until_complete(all_of_them())
    loop.close()
    return "".join(order)


def test_the_same_seed_gives_the_same_order_and_others_give_others():
    assert orders(7) == orders(7)
    assert len({orders(seed) for seed in range(20)}) > 15


async def _ticking(ticks, ends):
    try:
        while True:
            await asyncio.sleep(1)
            ticks.append(asyncio.get_running_loop().time())
    finally:
        ends.append("finally")


def start(loop, ticks, ends):
    process, context = loop.spawn("daemon")
    context.run(loop.create_task, _ticking(ticks, ends), context=context)
    return process


def test_what_is_killed_runs_nothing_more_not_even_a_finally(loop):
    ticks, ends = [], []

    async def life():
        process = start(loop, ticks, ends)
        await asyncio.sleep(2.5)
        loop.kill(process)
        await asyncio.sleep(10)
        return list(ends)

    assert loop.run_until_complete(life()) == []
    assert ticks == [1, 2]


def test_a_process_can_be_killed_in_the_middle_of_its_own_step(loop):
    done = []

    async def victim(process):
        done.append("before")
        loop.kill(process)
        await asyncio.sleep(0)
        done.append("after")

    async def life():
        process, context = loop.spawn("daemon")
        context.run(loop.create_task, victim(process), context=context)
        await asyncio.sleep(5)

    loop.run_until_complete(life())
    assert done == ["before"]


def test_a_frozen_process_goes_on_later_and_time_went_on(loop):
    ticks = []

    async def life():
        process = start(loop, ticks, [])
        await asyncio.sleep(2.5)
        loop.freeze(process)
        await asyncio.sleep(60)
        frozen = list(ticks)
        loop.thaw(process)
        await asyncio.sleep(2)
        loop.kill(process)
        return frozen

    assert loop.run_until_complete(life()) == [1, 2]
    assert ticks == [1, 2, 62.5, 63.5, 64.5][:5]


def test_tasks_of_a_process_belong_to_it_too(loop):
    ticks = []

    async def parent():
        await asyncio.gather(_ticking(ticks, []), _ticking(ticks, []))

    async def life():
        process, context = loop.spawn("daemon")
        context.run(loop.create_task, parent(), context=context)
        await asyncio.sleep(1.5)
        loop.kill(process)
        await asyncio.sleep(5)

    loop.run_until_complete(life())
    assert ticks == [1, 1]


def test_work_without_end_at_one_moment_is_told(loop):
    async def hot():
        while True:  # noqa: ASYNC110 - it is what must be found out
            await asyncio.sleep(0)

    with pytest.raises(Livelock, match=r"at 0\.000 s"):
        loop.run_until_complete(hot())


def test_nothing_left_to_do_is_told(loop):
    async def stuck():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Livelock, match="nothing is left"):
        loop.run_until_complete(stuck())


def test_what_nobody_handled_is_kept(loop):
    async def life():
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)

    loop.run_until_complete(life())
    assert [type(one) for one in loop.errors] == [ZeroDivisionError]

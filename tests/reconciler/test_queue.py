"""The queue by examples, on virtual time. Lanes are in `test_queue_lanes.py`, the laws in `test_queue_laws.py`."""

from __future__ import annotations

import asyncio

import pytest

from model.names import Owner
from reconciler.queue import Priority, WorkQueue

A, B, C = (Owner("deployment", name) for name in "abc")

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def taken(queue: WorkQueue, cluster: str = "") -> Owner:
    async with queue.take(cluster) as owner:
        return owner


async def is_empty(queue: WorkQueue, cluster: str = "") -> bool:
    """True when a lane gives out nothing for a minute."""
    try:
        async with asyncio.timeout(60):
            await taken(queue, cluster)
    except TimeoutError:
        return True
    return False


def owners(prefix: str, count: int) -> list[Owner]:
    return [Owner("deployment", f"{prefix}{number}") for number in range(count)]


async def test_a_key_added_many_times_is_worked_on_once():
    queue = WorkQueue()
    for _ in range(5):
        queue.add(A, Priority.DRIFT)

    assert await taken(queue) == A
    assert await is_empty(queue)


async def test_a_user_s_change_goes_before_drift_before_dependency_before_retry_before_resync():
    queue = WorkQueue()
    keys = dict(zip(Priority, owners("key", 5), strict=True))
    for priority in reversed(Priority):
        queue.add(keys[priority], priority)

    assert [await taken(queue) for _ in keys] == list(keys.values())


async def test_equal_keys_are_first_come_first_served():
    queue = WorkQueue()
    for owner in (B, A, C):
        queue.add(owner, Priority.CHANGE)

    assert [await taken(queue) for _ in range(3)] == [B, A, C]


async def test_the_earliest_time_and_the_highest_priority_win():
    queue = WorkQueue()
    queue.add(A, Priority.RETRY, delay_seconds=100)
    queue.add(B, Priority.RETRY)
    queue.add(A, Priority.CHANGE)

    assert await taken(queue) == A


async def test_a_later_wish_does_not_postpone_an_earlier_one():
    queue = WorkQueue()
    queue.add(A, Priority.RETRY, delay_seconds=1)
    queue.add(A, Priority.RETRY, delay_seconds=1000)

    async with asyncio.timeout(2):
        assert await taken(queue) == A


async def test_a_delayed_key_waits_for_its_time(looptime):
    queue = WorkQueue()
    queue.add(A, Priority.RETRY, delay_seconds=30)

    await taken(queue)

    assert looptime == 30


@pytest.mark.timeout(10)
async def test_a_key_due_between_two_ticks_of_the_clock_is_given_out():
    for _ in range(100):  # sums of floats: due times a hair after a tick are among them
        queue = WorkQueue()
        queue.add(A, Priority.RETRY, delay_seconds=31.1)
        assert await taken(queue) == A

    assert float(asyncio.get_running_loop().time()) == pytest.approx(3110, abs=1)


async def test_a_key_is_never_in_two_hands_and_comes_back_when_dirty():
    queue = WorkQueue()
    queue.add(A, Priority.CHANGE)
    async with queue.take("") as owner:
        assert not queue.is_dirty(owner)
        queue.add(A, Priority.CHANGE)
        assert queue.is_dirty(owner)
        assert await is_empty(queue)

    assert await taken(queue) == A


async def test_drift_alone_does_not_make_a_running_pass_out_of_date():
    queue = WorkQueue()
    queue.add(A, Priority.CHANGE)
    async with queue.take("") as owner:
        queue.add(A, Priority.DRIFT)

        assert not queue.is_dirty(owner)


async def test_a_waiting_worker_wakes_when_a_key_comes(looptime):
    queue = WorkQueue()
    worker = asyncio.create_task(taken(queue))
    await asyncio.sleep(5)
    queue.add(A, Priority.CHANGE)

    assert await worker == A
    assert looptime == 5


async def test_a_cancelled_pass_gives_its_key_back_to_nobody_but_keeps_later_wishes():
    queue = WorkQueue()
    queue.add(A, Priority.CHANGE)

    async def hang() -> None:
        async with queue.take(""):
            queue.add(A, Priority.DRIFT)
            await asyncio.sleep(1000)

    worker = asyncio.create_task(hang())
    await asyncio.sleep(1)
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker

    assert await taken(queue) == A


async def test_a_closed_queue_gives_out_nothing_and_tells_when_it_is_at_rest():
    queue = WorkQueue()
    queue.add(A, Priority.CHANGE)
    async with queue.take(""):
        queue.add(B, Priority.CHANGE)
        queue.close()
        rest = asyncio.create_task(queue.at_rest())
        await asyncio.sleep(1)
        assert not rest.done()

    await rest
    assert await is_empty(queue)


async def test_depth_and_age_count_only_what_is_due():
    queue = WorkQueue()
    queue.add(A, Priority.CHANGE)
    queue.add(B, Priority.RETRY, delay_seconds=100)
    await asyncio.sleep(10)

    assert queue.depth == 1
    assert queue.oldest_seconds() == 10


async def test_a_key_whose_pass_hangs_grows_old():
    queue = WorkQueue()
    queue.add(A, Priority.CHANGE)
    async with queue.take(""):
        await asyncio.sleep(90)

        assert queue.oldest_seconds() == 90
    assert queue.oldest_seconds() == 0


async def test_a_change_is_news_only_for_a_key_in_work_and_only_when_it_is_due():
    queue = WorkQueue()
    queue.add(A, Priority.CHANGE)
    assert not queue.is_dirty(A)

    async with queue.take(""):
        queue.add(A, Priority.CHANGE, delay_seconds=5)
        assert not queue.is_dirty(A)
        await asyncio.sleep(5)
        assert queue.is_dirty(A)


async def test_a_cancelled_taker_loses_no_key():
    queue = WorkQueue()
    takers = [asyncio.create_task(taken(queue)) for _ in range(2)]
    await asyncio.sleep(1)
    queue.add(A, Priority.CHANGE)
    takers[0].cancel()

    assert await takers[1] == A


async def test_all_takers_that_wait_get_a_key_when_there_are_as_many():
    queue = WorkQueue()
    takers = [asyncio.create_task(taken(queue)) for _ in range(3)]
    await asyncio.sleep(1)
    for owner in (A, B, C):
        queue.add(owner, Priority.RETRY, delay_seconds=5)

    assert set(await asyncio.gather(*takers)) == {A, B, C}

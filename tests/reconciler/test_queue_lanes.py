"""The queue's lanes, their fairness and their bounds by examples, on virtual time."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest
from structlog.testing import capture_logs

from model.names import Owner, Place
from reconciler.queue import Priority, WorkQueue

from .test_queue import A, B, C, is_empty, owners, taken

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def test_a_lane_whose_passes_hang_delays_no_other(looptime):
    queue = WorkQueue()
    for number, owner in enumerate(owners("stuck", 100)):
        queue.add(owner, Priority.CHANGE, Place("black-hole", f"team {number}"))
    queue.add(A, Priority.RESYNC, Place("berlin", "team 0"))

    async with queue.take("black-hole"), queue.take("black-hole"):
        assert await taken(queue, "berlin") == A
        assert looptime == 0


async def test_a_cluster_is_announced_once_when_its_first_key_comes():
    announced: list[str] = []
    queue = WorkQueue(opened=announced.append)
    early = asyncio.create_task(taken(queue, "berlin"))
    await asyncio.sleep(1)
    assert announced == []

    for owner in (A, B):
        queue.add(owner, Priority.CHANGE, Place("berlin"))
        queue.add(owner, Priority.CHANGE, Place("paris"))
    assert announced == ["berlin", "paris"]
    early.cancel()


async def test_a_key_that_moves_while_it_waits_comes_out_of_its_new_lane_once():
    queue = WorkQueue()
    queue.add(A, Priority.CHANGE, Place("berlin"))
    queue.add(A, Priority.RESYNC, Place("paris"), delay_seconds=100)

    assert await is_empty(queue, "berlin")
    assert await taken(queue, "paris") == A
    assert await is_empty(queue, "paris")


async def test_a_key_that_moves_while_it_is_in_work_comes_out_of_its_new_lane_and_not_before():
    queue = WorkQueue()
    queue.add(A, Priority.CHANGE, Place("berlin"))
    async with queue.take("berlin"):
        queue.add(A, Priority.CHANGE, Place("paris"))
        assert await is_empty(queue, "paris")

    assert await is_empty(queue, "berlin")
    assert await taken(queue, "paris") == A


async def test_a_wish_that_names_no_place_goes_where_the_key_was_last():
    queue = WorkQueue()
    queue.add(A, Priority.CHANGE, Place("berlin", "team"))
    await taken(queue, "berlin")
    queue.add(A, Priority.DRIFT)
    assert await taken(queue, "berlin") == A

    queue.forget(A)

    assert queue.place_of(A) == Place()


async def test_an_owner_forgotten_by_its_own_pass_is_looked_at_again_where_it_was():
    queue = WorkQueue()
    queue.add(A, Priority.CHANGE, Place("berlin", "team"))
    async with queue.take("berlin"):
        queue.forget(A)
        queue.add(A, Priority.RETRY)

    assert await taken(queue, "berlin") == A


async def test_a_workspace_with_5000_keys_delays_another_s_change_by_at_most_one_pass():
    queue = WorkQueue()
    for owner in owners("big", 5000):
        queue.add(owner, Priority.CHANGE, Place("", "big"))
    for _ in range(17):
        await taken(queue)
    queue.add(A, Priority.CHANGE, Place("", "small"))

    assert A in [await taken(queue) for _ in range(2)]


async def test_a_restart_s_thousands_of_aged_looks_do_not_go_before_a_change_of_the_same_workspace():
    queue = WorkQueue(patience_seconds=10)
    for owner in owners("resync", 1000):
        queue.add(owner, Priority.RESYNC, Place("", "team"))
    await asyncio.sleep(60)
    for _ in range(17):
        await taken(queue)
    changed = owners("changed", 3)
    for owner in changed:
        queue.add(owner, Priority.CHANGE, Place("", "team"))

    assert [one for one in [await taken(queue) for _ in range(6)] if one in changed] == changed


async def test_workspaces_get_passes_by_their_weight():
    queue = WorkQueue(weights={"heavy": 3})
    for heavy, light in zip(owners("heavy", 100), owners("light", 100), strict=True):
        queue.add(light, Priority.CHANGE, Place("", "light"))
        queue.add(heavy, Priority.CHANGE, Place("", "heavy"))

    given = [await taken(queue) for _ in range(40)]
    assert sum(owner.id.startswith("heavy") for owner in given) in (29, 30, 31)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf"), float("nan")])
async def test_a_weight_that_cannot_be_is_refused_with_the_workspace_s_name(weight):
    with pytest.raises(ValueError, match=r"'team'.*positive number"):
        WorkQueue(weights={"team": weight})


async def test_a_look_that_nobody_asked_for_gets_its_turn_in_an_endless_flood_of_changes():
    queue = WorkQueue(patience_seconds=10)
    queue.add(A, Priority.RESYNC, Place("", "team"))
    changing = owners("changing", 3)
    given = []
    for _ in range(20):
        for owner in changing:
            queue.add(owner, Priority.CHANGE, Place("", "team"))
        given.append(await taken(queue))
        await asyncio.sleep(1)

    assert given.index(A) in (11, 12)


async def test_a_full_queue_lets_go_of_resyncs_first_and_then_refuses_aloud():
    queue = WorkQueue(keys_max=3)
    with capture_logs() as lines:
        queue.add(A, Priority.RETRY)
        queue.add(B, Priority.RESYNC)
        queue.add(C, Priority.RESYNC)
        changed = owners("changed", 3)
        for owner in changed:
            queue.add(owner, Priority.CHANGE)
        queue.add(A, Priority.CHANGE)

    assert [await taken(queue) for _ in range(3)] == [*changed[:2], A]
    assert await is_empty(queue)
    assert [line["event"] for line in lines] == ["resync wishes shed", "key refused"]
    assert lines[-1]["owner"] == str(changed[2])


async def test_a_queue_that_stays_full_says_so_once_a_minute():
    queue = WorkQueue(keys_max=1)
    queue.add(A, Priority.CHANGE)
    with capture_logs() as lines:
        for _ in range(120):
            queue.add(B, Priority.CHANGE)
            await asyncio.sleep(1)

    assert [line["refused"] for line in lines] == [1, 61]


async def test_a_refused_change_is_taken_when_the_sweep_repeats_it():
    queue = WorkQueue(keys_max=1)
    queue.add(A, Priority.CHANGE)
    queue.add(B, Priority.CHANGE)
    assert await taken(queue) == A

    queue.add(B, Priority.CHANGE)

    assert await taken(queue) == B


async def test_memory_follows_the_keys_and_not_the_wishes_or_workspaces():
    queue = WorkQueue()
    gc.collect()
    before = len(gc.get_objects())
    for number in range(20_000):
        place = Place(f"cluster {number % 3}", f"team {number}")
        queue.add((A, B, C)[number % 3], Priority(4 - number % 5), place, delay_seconds=20_000 - number)
        queue.add(Owner("deployment", "moving"), Priority.RETRY, place)

    gc.collect()
    assert len(gc.get_objects()) - before < 2000


async def test_the_cost_of_a_key_does_not_grow_with_their_number():
    async def cpu_seconds(count: int) -> float:
        queue, keys = WorkQueue(), owners("key", count)
        began = time.process_time()
        for number, owner in enumerate(keys):
            queue.add(owner, Priority.CHANGE, Place("", f"team {number % 50}"))
        for _ in keys:
            await taken(queue)
        return time.process_time() - began

    few = min([await cpu_seconds(1_000) for _ in range(5)])
    many = min([await cpu_seconds(10_000) for _ in range(3)])

    assert many < 40 * few

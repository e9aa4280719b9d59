"""The stamps move on with the changes, and a database that went back is noticed while a daemon runs."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.watermark import TAKEOVER_EPOCHS

from .stamped import FOREIGN, Cluster, a_moment, kept, made, stamp

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def test_the_stamp_follows_the_changes_and_is_not_written_without_one():
    cluster = Cluster()
    mark, database = made(("east", cluster))
    async with kept(mark):
        await a_moment()
        await a_moment()
        database.change()
        database.change()
        await a_moment()

    assert cluster.writes == [stamp(10), stamp(12, token="b2")]


async def test_a_database_that_is_restored_under_a_running_daemon_is_noticed_within_seconds():
    cluster = Cluster()
    mark, database = made(("east", cluster))
    async with kept(mark):
        await a_moment()
        before = mark.hold("east")
        database.restore(4)
        await a_moment()

    assert before == ""
    assert "does not know change 10" in mark.hold("east")
    assert cluster.stamp == stamp(10)


async def test_a_restored_database_stays_held_when_its_numbers_have_caught_up():
    """People went on changing it: the numbers are there again, and what they stood for is not."""
    cluster = Cluster()
    mark, database = made(("east", cluster))
    async with kept(mark):
        await a_moment()
        database.restore(4)
        for _ in range(12):
            database.change()
            await a_moment()

    assert database.history[-1].number > 10
    assert FOREIGN in mark.hold("east")
    assert cluster.stamp == stamp(10)


async def test_a_hold_stays_for_as_long_as_nobody_takes_over():
    cluster = Cluster(stamp=stamp(17))
    mark, database = made(("east", cluster))
    async with kept(mark):
        await asyncio.sleep(3600.0)
        database.epoch = 2
        await asyncio.sleep(3600.0)

    assert FOREIGN in mark.hold("east")
    assert cluster.stamp == stamp(17)


@pytest.mark.parametrize("there", [stamp(17, epoch=40), stamp(17, installation="installation-2")])
async def test_a_takeover_ends_the_hold_of_every_cluster_and_stamps_them_anew(there):
    east, west = Cluster(stamp=there), Cluster(stamp=replace(there, epoch=7))
    mark, database = made(("east", east), ("west", west))
    async with kept(mark):
        await a_moment()
        held = mark.hold("east")
        database.epoch += TAKEOVER_EPOCHS
        await a_moment()

    assert FOREIGN in held
    assert mark.hold("east") == mark.hold("west") == ""
    assert east.stamp == west.stamp == stamp(10, epoch=1 + TAKEOVER_EPOCHS)


async def test_the_right_database_ends_the_hold_by_itself():
    mark, database = made()
    whole = database.history
    async with kept(mark):
        await a_moment()
        database.restore(4)
        await a_moment()
        database.history = whole
        await a_moment()

    assert mark.hold("east") == ""


async def test_one_that_does_not_lead_writes_no_stamp():
    cluster = Cluster()
    mark, _ = made(("east", cluster), epoch=None)
    async with kept(mark):
        await a_moment()

    assert cluster.writes == []


async def test_a_restore_is_noticed_in_one_cluster_while_another_hangs():
    mark, database = made(("east", Cluster()), ("west", Cluster(seconds=1e6)))
    async with kept(mark):
        await asyncio.sleep(60.0)
        database.change()
        await asyncio.sleep(60.0)
        database.restore(4)
        await asyncio.sleep(60.0)

    assert "does not know change 11" in mark.hold("east")


_STEPS = st.sampled_from(
    ["change", "restore", "another lease", "cluster lost", "cluster back", "store down", "store up"]
)


@given(steps=st.lists(_STEPS, max_size=25))
async def test_law_a_stamp_is_only_ever_replaced_by_a_later_one_of_the_same_history(steps):
    """Whatever happens to either side: who does not know what a cluster was brought to writes nothing there."""
    cluster = Cluster()
    mark, database = made(("east", cluster))
    async with kept(mark):
        for step in steps:
            was = cluster.stamp
            match step:
                case "change":
                    database.change()
                case "restore":
                    database.restore(max(0, database.history[-1].number - 3))
                case "another lease":
                    database.epoch += 1
                case "cluster lost" | "cluster back":
                    cluster.is_reachable = step == "cluster back"
                case _:
                    database.is_reachable = step == "store up"
            await a_moment()
            if was is not None and was.moment not in database.history:
                assert cluster.stamp == was
                assert mark.hold("east") or not (cluster.is_reachable and database.is_reachable)

    changes = [(one.epoch, one.moment.number) for one in cluster.writes]
    assert changes == sorted(changes)

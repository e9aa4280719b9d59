"""The watermark: a state database that does not know what its clusters do changes nothing until a takeover."""

from __future__ import annotations

import asyncio

import pytest

from reconciler.limits import Limits

from .stamped import FOREIGN, UNSEEN, Cluster, a_moment, kept, made, stamp, verified

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def test_nothing_is_changed_in_a_cluster_that_was_not_compared_yet():
    mark, _ = made()

    assert UNSEEN in mark.hold("east")


async def test_a_cluster_that_remembers_nothing_gets_a_stamp_and_may_be_changed():
    cluster = Cluster()
    mark, database = made(("east", cluster))

    assert await verified(mark, database) == ""
    assert cluster.stamp == stamp(10)


@pytest.mark.parametrize(
    ("there", "holds"),
    [
        (stamp(10), False),
        (stamp(9), False),
        (stamp(11), True),
        (stamp(9, token="of another history"), True),
        (stamp(10, epoch=2), True),
        (stamp(9, installation="installation-2"), True),
    ],
    ids=[
        "the same change",
        "an older change",
        "a change that is not known",
        "a known number with another token",
        "a lease that is not known",
        "another installation",
    ],
)
async def test_a_cluster_is_held_when_it_was_brought_to_something_this_database_does_not_know(there, holds):
    cluster = Cluster(stamp=there)
    mark, database = made(("east", cluster))
    why = await verified(mark, database)

    assert (FOREIGN in why) is holds
    assert cluster.stamp == (there if holds else stamp(10))


async def test_a_hold_says_what_is_not_known_and_what_to_do():
    mark, database = made(("east", Cluster(stamp=stamp(17, epoch=3, installation="installation-2"))))

    assert await verified(mark, database) == (
        "The state database does not know change 17 (lease 3), which this cluster was brought to by installation "
        "installation-2: it is another one, or was restored from a backup. Nothing is changed. Look at what is "
        "missing, then take over with: SELECT armillary.takeover('<reason>')."
    )


async def test_a_cluster_that_cannot_be_reached_is_held_and_not_judged():
    cluster = Cluster(is_reachable=False)
    mark, database = made(("east", cluster))

    assert UNSEEN in await verified(mark, database)
    async with kept(mark):
        cluster.is_reachable = True
        await a_moment()

        assert mark.hold("east") == ""


async def test_a_store_that_cannot_be_read_holds_and_writes_no_stamp():
    cluster = Cluster()
    mark, database = made(("east", cluster), is_reachable=False)

    assert UNSEEN in await verified(mark, database)
    assert cluster.stamp is None


async def test_a_cluster_without_a_memory_is_never_held_for_its_own_sake():
    mark, database = made()

    assert await verified(mark, database, "west") == ""


async def test_one_cluster_that_is_ahead_holds_them_all_because_they_share_the_database():
    mark, database = made(("east", Cluster()), ("west", Cluster(stamp=stamp(99))))
    await verified(mark, database, "east")
    await verified(mark, database, "west")

    assert FOREIGN in mark.hold("east")
    assert FOREIGN in mark.hold("somewhere without a memory")


async def test_many_passes_at_once_compare_a_cluster_once():
    cluster = Cluster(seconds=1.0)
    mark, database = made(("east", cluster))
    await asyncio.gather(*(mark.verified("east", database.term) for _ in range(20)))

    assert cluster.reads == 1


async def test_a_pass_in_a_cluster_that_hangs_waits_no_longer_than_a_look_may_take(looptime):
    mark, database = made(("east", Cluster(seconds=1e6)))

    assert UNSEEN in await verified(mark, database)
    assert looptime <= Limits().observe_seconds_max


async def test_a_pass_in_one_cluster_waits_for_another_that_hangs_for_seconds_only(looptime):
    mark, database = made(("east", Cluster()), ("west", Cluster(seconds=1e6)))

    assert await verified(mark, database, "east") == ""
    assert looptime < 5.0

"""The watermark over several terms: what was compared in one says nothing in the next."""

from __future__ import annotations

import pytest

from .stamped import FOREIGN, UNSEEN, Cluster, a_moment, kept, made, stamp, verified

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def test_under_another_lease_every_cluster_is_compared_again():
    cluster = Cluster()
    mark, database = made(("east", cluster))
    await verified(mark, database)
    database.epoch = 2

    assert UNSEEN in mark.hold("east")
    assert await verified(mark, database) == ""
    assert cluster.stamp == stamp(10, epoch=2)


async def test_a_restored_database_that_gives_the_same_lease_again_is_compared_again():
    """Nobody saw the moment in between in which this daemon did not lead."""
    mark, database = made(("east", Cluster()))
    async with kept(mark):
        await a_moment()
        database.restore(7)
        for _ in range(5):
            database.change()  # the numbers are past the stamp's again
        database.gained += 1
        before = mark.hold("east")
        await verified(mark, database)

    assert UNSEEN in before
    assert FOREIGN in mark.hold("east")

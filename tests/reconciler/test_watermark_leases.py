"""The watermark over several leases: what was compared under one says nothing under the next."""

from __future__ import annotations

import pytest

from .test_watermark import FOREIGN, Cluster, a_moment, kept, made, stamp, verified

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def test_an_epoch_that_a_restored_database_gives_again_is_compared_again():
    cluster = Cluster()
    mark, database = made(("east", cluster))
    assert await verified(mark, database) == ""

    async with kept(mark):
        database.epoch = None
        await a_moment()
    cluster.stamp = stamp(12, epoch=3)  # meanwhile another daemon led, and then the database was restored
    database.epoch = 1

    assert FOREIGN in await verified(mark, database)

"""A lease is kept, lost in time, and taken again; on virtual time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from reconciler.leadership import Leadership, Term

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


@dataclass(frozen=True)
class Held:
    epoch: int
    ends_at: float

    def is_held(self, now: float) -> bool:
        return now < self.ends_at


@dataclass
class Row:
    """A lease row and its database's clock, which is the loop's. Leases last 15 s and are acted upon for 12."""

    holder: str = ""
    epoch: int = 0
    expires_at: float = 0.0
    reachable: bool = True

    async def acquire(self, name: str, holder: str) -> Held | None:
        now = self._now()
        if self.holder != holder and now < self.expires_at:
            return None
        self.epoch += self.holder != holder
        self.holder, self.expires_at = holder, now + 15.0
        return Held(self.epoch, now + 12.0)

    async def renew(self, lease: Held) -> Held | None:
        return await self.acquire("local", self.holder) if lease.epoch == self.epoch else None

    async def release(self, lease: Held) -> None:
        self.expires_at = self._now()

    def _now(self) -> float:
        if not self.reachable:
            raise ConnectionError("connection refused")
        return asyncio.get_running_loop().time()


@asynccontextmanager
async def kept(row: Row, holder: str):
    leader = Leadership(row, name="local", holder=holder)
    task = asyncio.create_task(leader.keep())
    try:
        yield leader
    finally:
        task.cancel()


async def test_a_free_lease_is_taken_at_once_and_kept():
    async with kept(Row(), "one") as leader:
        assert await leader.wait() == Term(1, 1)
        await asyncio.sleep(600)
        assert leader.epoch == 1


async def test_a_second_daemon_waits_until_the_first_is_gone_and_gets_a_new_epoch():
    row = Row()
    async with kept(row, "one") as first:
        await first.wait()
        async with kept(row, "two") as second:
            await asyncio.sleep(60)
            assert second.epoch is None
            await first.resign()
            assert first.epoch is None


async def test_who_cannot_renew_stops_acting_before_the_lease_ends():
    row = Row()
    async with kept(row, "one") as leader:
        await leader.wait()
        row.reachable = False
        await asyncio.sleep(16)

        assert leader.epoch is None
        ended = row.expires_at
        row.reachable = True
        await leader.wait()
        assert asyncio.get_running_loop().time() >= ended - 3


async def test_a_restored_lease_of_the_same_epoch_is_another_term():
    row = Row()
    async with kept(row, "one") as leader:
        before = await leader.wait()
        row.reachable = False
        await asyncio.sleep(16)
        row.reachable, row.holder, row.epoch = True, "", 0  # as a backup from before the lease was ever taken

        after = await leader.wait()
        assert (before.epoch, after.epoch) == (1, 1)
        assert before != after


async def test_another_holder_s_lease_is_not_acted_upon():
    row = Row(holder="other", epoch=5, expires_at=100.0)
    async with kept(row, "one") as leader:
        await asyncio.sleep(50)
        assert leader.epoch is None
        assert await leader.wait() == Term(1, 6)
        assert asyncio.get_running_loop().time() >= 100

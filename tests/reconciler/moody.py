"""A tiny driver whose world hangs, refuses, throttles and comes back, and a bulkhead around it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from drivers.base import Applied, Driver
from model.names import Owner, Ref
from model.objects import Observed
from model.plan import Cause, Stop
from reconciler.breaker import BreakerLimits
from reconciler.bulkhead import Bulkhead, BulkheadLimits
from reconciler.pace import PaceLimits
from reconciler.turns import TurnLimits

A, B, C = OWNERS = tuple(Owner("deployment", name) for name in "abc")
STOP = Stop(ref=Ref("Thing", "a"), unit="a", cause=Cause.GENERATION, why="asked for")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class World:
    """A driver of one kind. `trouble`: what each call meets; "hangs" never answers, an exception is raised."""

    cluster: str = "east"
    kinds: frozenset = frozenset({"Thing"})
    units: frozenset = frozenset()
    seconds: float = 0.05
    trouble: Exception | str | None = None
    seen: Observed = field(default_factory=Observed)
    asked: list = field(default_factory=list)  # (what, when)
    in_flight: int = 0
    in_flight_max: int = 0
    hints: asyncio.Queue = field(default_factory=asyncio.Queue)
    watches: int = 0
    is_open: bool = False

    async def open(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    def translate(self, unit, site):
        return (unit, site)

    async def observe(self, owner, wanted, *, fresh=False) -> Observed:
        await self._meet("observe fresh" if fresh else "observe")
        return self.seen

    async def apply(self, owner, action) -> Applied:
        await self._meet("apply")
        return Applied(uid=owner.id)

    async def owners(self) -> frozenset[Owner]:
        await self._meet("owners")
        return frozenset(OWNERS)

    async def watch(self):
        self.watches += 1
        try:
            while True:
                hint = await self.hints.get()
                if isinstance(hint, Exception):
                    raise hint
                yield hint
        finally:
            self.watches -= 1

    async def _meet(self, what: str) -> None:
        self.asked.append((what, now()))
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight, self.in_flight_max)
        try:
            if isinstance(self.trouble, Exception):
                raise self.trouble
            if self.trouble == "hangs":
                await asyncio.Event().wait()
            await asyncio.sleep(self.seconds)
        finally:
            self.in_flight -= 1

    def times(self, what: str) -> list[float]:
        return [at for one, at in self.asked if one == what]


@asynccontextmanager
async def around(world: World, **arguments):
    start = now()
    arguments = {"random": Random(1), "clock": lambda: NOON + timedelta(seconds=now() - start), **arguments}
    bulkhead = Bulkhead(world, **arguments)
    await bulkhead.open()
    try:
        yield bulkhead
    finally:
        await bulkhead.close()


def narrow(calls: int = 8, **turns) -> BulkheadLimits:
    return BulkheadLimits(pace=PaceLimits(calls_at_once=calls), turns=TurnLimits(**turns))


def look(bulkhead: Driver, owner: Owner = A, *, fresh: bool = False):
    return bulkhead.observe(owner, frozenset(), fresh=fresh)


async def ended(*calls) -> list:
    return await asyncio.gather(*calls, return_exceptions=True)


async def fail_until_open(bulkhead: Bulkhead, world: World, trouble="hangs") -> None:
    world.trouble = trouble
    await ended(*(look(bulkhead) for _ in range(BreakerLimits().failures_max)))
    assert bulkhead.state().is_open

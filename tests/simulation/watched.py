"""What lies between a daemon and its world: a driver and a store's desk that tell the checkers what is done.

They change nothing, but for one thing: a daemon can be killed just before or just after a write.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from drivers.base import Applied, Refused, Stamp
from drivers.simulation.driver import SimulationDriver
from drivers.simulation.world import Write
from model.names import Owner, Ref
from model.objects import Known, Object, Observed, Site
from model.plan import Action
from model.spec import Snapshot
from model.status import Milestone, Record
from model.units import AnyUnit, Environment

from .store import Store
from .user import IMPOSSIBLE

if TYPE_CHECKING:
    from .checkers import Checkers


class Desk:
    """One daemon's way to the store: remembers what each pass loaded last."""

    def __init__(self, store: Store, checkers: Checkers, name: str) -> None:
        self._store = store
        self._checkers = checkers
        self.name = name
        self.loaded: dict[Owner, Snapshot] = {}
        self.done: dict[Ref, Write] = {}  # what it was told to have succeeded

    async def load(self, owner: Owner) -> Snapshot:
        snapshot = await self._store.load(owner)
        self.loaded[owner] = snapshot
        self._checkers.loaded(self.name, snapshot)
        return snapshot

    async def intend(
        self, owner: Owner, epoch: int, rows: tuple[Known, ...], begun: tuple[Milestone, ...] = ()
    ) -> None:
        await self._store.intend(owner, epoch, rows, begun)

    async def record(self, record: Record) -> None:
        await self._store.record(record)


class WatchedDriver:
    """A simulation driver whose writes are looked at before and after."""

    def __init__(self, inner: SimulationDriver, desk: Desk, checkers: Checkers) -> None:
        self._inner = inner
        self._desk = desk
        self._checkers = checkers
        self.cluster, self.kinds, self.units = inner.cluster, inner.kinds, inner.units

    async def open(self) -> None:
        await self._inner.open()

    async def close(self) -> None:
        await self._inner.close()

    def translate(self, unit: AnyUnit, site: Site) -> tuple[Object, ...]:
        if isinstance(unit, Environment) and unit.image.endswith(IMPOSSIBLE):
            raise Refused(f"there is no Airflow {IMPOSSIBLE} here; choose another airflow_version")
        return self._inner.translate(unit, site)

    async def observe(self, owner: Owner, wanted: frozenset[Ref], *, fresh: bool = False) -> Observed:
        return await self._inner.observe(owner, wanted, fresh=fresh)

    async def apply(self, owner: Owner, action: Action) -> Applied:
        if self._checkers.applying(self._desk, owner, action):
            await asyncio.Event().wait()  # killed: nothing of it happens
        applied = await self._inner.apply(owner, action)
        self._checkers.acknowledged(self._desk, action)
        return applied

    async def read_stamp(self) -> Stamp | None:
        return await self._inner.read_stamp()

    async def write_stamp(self, stamp: Stamp) -> None:
        await self._inner.write_stamp(stamp)

    async def owners(self) -> frozenset[Owner]:
        return await self._inner.owners()

    def watch(self) -> AsyncIterator[Owner]:
        return self._inner.watch()


class Log(list[Write]):
    """A world's log of effects, read while it is written."""

    def __init__(self, checkers: Checkers) -> None:
        super().__init__()
        self._checkers = checkers

    def append(self, write: Write) -> None:
        super().append(write)
        self._checkers.wrote(write)

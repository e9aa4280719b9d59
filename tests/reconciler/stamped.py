"""Clusters that remember a stamp and a database with a history, for the tests of the watermark."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

from drivers.base import Stamp, Unavailable
from model.names import Moment
from reconciler.leadership import Term
from reconciler.limits import Limits
from reconciler.watermark import INTERVAL_SECONDS, Watermark

HERE = "installation-1"
UNSEEN = "could not be seen so far"
FOREIGN = "does not know change"


class StoreDown(Exception):
    """The store could not be used."""


@dataclass
class Cluster:
    """A cluster that remembers one stamp, and may be out of reach."""

    stamp: Stamp | None = None
    is_reachable: bool = True
    writes: list[Stamp] = field(default_factory=list)
    reads: int = 0
    seconds: float = 0.0

    async def read_stamp(self) -> Stamp | None:
        await self._reach()
        self.reads += 1
        return self.stamp

    async def write_stamp(self, stamp: Stamp) -> None:
        await self._reach()
        self.stamp = stamp
        self.writes.append(stamp)

    async def _reach(self) -> None:
        await asyncio.sleep(self.seconds)
        if not self.is_reachable:
            raise Unavailable("connection refused")


@dataclass
class Database:
    """A history of changes, each with a token of its own, and the lease under which it is worked on."""

    history: list[Moment] = field(default_factory=lambda: [Moment(number, f"a{number}") for number in range(11)])
    epoch: int | None = 1
    gained: int = 1
    is_reachable: bool = True
    tokens: int = 0

    @property
    def term(self) -> Term | None:
        return None if self.epoch is None else Term(self.gained, self.epoch)

    async def moment(self) -> Moment:
        self._reach()
        return self.history[-1]

    async def knows(self, moment: Moment) -> bool:
        self._reach()
        return moment in self.history

    async def tend(self) -> None:
        """There is no history to keep."""

    def change(self) -> None:
        """Somebody changes what is desired. Numbers are counted; a token never comes twice."""
        self.tokens += 1
        self.history.append(Moment(self.history[-1].number + 1, f"b{self.tokens}"))

    def restore(self, number: int) -> None:
        """The database is what it was at that change."""
        self.history = [one for one in self.history if one.number <= number]

    def _reach(self) -> None:
        if not self.is_reachable:
            raise StoreDown("no connection")


@dataclass(frozen=True)
class Parts:
    """As much of a daemon's parts as a watermark needs."""

    index: Database
    stamps: dict[str, Cluster]
    installation: str = HERE
    tools: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(limits=Limits()))
    store_errors: tuple[type[Exception], ...] = (StoreDown,)

    @property
    def leadership(self) -> Database:
        return self.index


def stamp(number: int, *, token: str = "", epoch: int = 1, installation: str = HERE) -> Stamp:
    moment = Moment(number, token or f"a{number}")
    return Stamp(installation=installation, epoch=epoch, moment=moment)


def made(*clusters: tuple[str, Cluster], **database) -> tuple[Watermark, Database]:
    parts = Parts(Database(**database), dict(clusters or (("east", Cluster()),)))
    return Watermark(parts, newest=lambda: Moment(-1)), parts.index


async def verified(mark: Watermark, database: Database, cluster: str = "east") -> str:
    """Why a cluster is held after it was compared."""
    await mark.verified(cluster, database.term)
    return mark.hold(cluster)


@asynccontextmanager
async def kept(mark: Watermark):
    """A watermark that is kept in the background for a while."""
    keeping = asyncio.create_task(mark.keep())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def a_moment() -> None:
    await asyncio.sleep(INTERVAL_SECONDS + 0.1)

"""Workers and the daemon's life: what becomes of a pass, however it ends. On virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from drivers.base import Refused
from model.names import Due, Moment, Owner, Place
from model.status import Reason
from reconciler.daemon import Daemon
from reconciler.leadership import Leadership
from reconciler.parts import Parts
from reconciler.settings import Settings

from .memory import Fenced, Life, life
from .sketch import OWNER, spec
from .test_leadership import Row

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

HERE = Place("local", "demo")


class StoreIsDown(Exception):
    """The store cannot be asked."""


class Index:
    """A fleet of one, whose changes are signalled."""

    def __init__(self, one: Life) -> None:
        self._life = one
        self.news = asyncio.Event()

    async def due(self) -> dict[Owner, Due]:
        status = self._life.memory.row.status
        is_due = status is None or status.observed_generation != self._life.memory.row.generation
        return {OWNER: Due(HERE, self._life.memory.row.generation)} if is_due else {}

    async def owners(self) -> dict[Owner, Place]:
        return {OWNER: HERE}

    async def moment(self) -> Moment:
        return Moment(self._life.memory.row.generation)

    async def knows(self, moment: Moment) -> bool:
        return True

    async def tend(self) -> None:
        """There is no history to keep."""

    async def seal_inbox(self) -> frozenset[Owner]:
        return frozenset()

    async def signals(self) -> AsyncIterator[object]:
        yield "connected"
        while True:
            await self.news.wait()
            self.news.clear()
            yield "changed"


@asynccontextmanager
async def running(one: Life, **settings) -> AsyncIterator[tuple[Daemon, Index]]:
    """A whole daemon on the simulation, with virtual time everywhere but in APScheduler's ticks."""
    loop = asyncio.get_running_loop()
    one.world.clock, one.world.sleep = loop.time, asyncio.sleep
    index = Index(one)
    daemon = Daemon(
        Parts(
            tools=one.tools,
            index=index,
            seals=index,
            leadership=Leadership(Row(), name="cluster/local", holder="me"),
            signals=index.signals,
            store_errors=(StoreIsDown, Fenced),
            settings=Settings(home=Path("/nowhere"), **settings),
        )
    )
    stop = asyncio.Event()
    task = asyncio.create_task(daemon.run(stop))
    try:
        yield daemon, index
    finally:
        stop.set()
        await task


async def eventually(holds, *, seconds: float = 600.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 -- virtual time: looking again costs nothing
            await asyncio.sleep(0.5)


def condition(one: Life, kind: str):
    status = one.memory.row.status
    return status.condition(kind) if status else None


def is_ready(one: Life) -> bool:
    ready = condition(one, "Ready")
    return ready is not None and ready.status == "True"


async def test_a_daemon_brings_a_deployment_to_life_and_stops_when_told():
    one = life()
    async with running(one) as (daemon, _):
        await eventually(lambda: is_ready(one))
        progress = daemon.progress()

    assert progress.leading
    assert progress.listening
    assert progress.last_pass_at is not None


async def test_a_change_is_acted_upon_at_once():
    one = life()
    async with running(one) as (_, index):
        await eventually(lambda: is_ready(one))
        writes, began = len(one.world.writes), asyncio.get_running_loop().time()
        one.memory.ask(spec(dags_folder="/other"))
        index.news.set()
        await eventually(lambda: len(one.world.writes) > writes)

        assert asyncio.get_running_loop().time() - began <= 0.5


async def test_a_lost_signal_costs_two_seconds_and_nothing_else():
    one = life()
    async with running(one):
        await eventually(lambda: is_ready(one))
        writes, began = len(one.world.writes), asyncio.get_running_loop().time()
        one.memory.ask(spec(dags_folder="/other"))
        await eventually(lambda: len(one.world.writes) > writes)

        assert asyncio.get_running_loop().time() - began <= 2.5


async def test_a_store_that_is_down_is_asked_again_and_nothing_is_touched(monkeypatch):
    one = life()
    real, is_down = one.memory.load, True

    async def load(owner):
        if is_down:
            raise StoreIsDown("connection refused")
        return await real(owner)

    monkeypatch.setattr(one.memory, "load", load)
    async with running(one):
        await asyncio.sleep(120)
        assert one.world.writes == []
        is_down = False
        await eventually(lambda: is_ready(one))


async def test_a_pass_that_breaks_says_so_and_does_not_stop_the_daemon(monkeypatch):
    one = life()
    real, is_broken = one.tools.drivers[0].observe, True

    async def observe(owner, wanted, *, fresh=False):
        if is_broken:
            raise ZeroDivisionError
        return await real(owner, wanted, fresh=fresh)

    monkeypatch.setattr(one.tools.drivers[0], "observe", observe)
    async with running(one) as (_, index):
        await eventually(lambda: condition(one, "Synced") is not None)
        assert condition(one, "Synced").reason is Reason.INTERNAL_ERROR
        assert "ZeroDivisionError" in condition(one, "Synced").message
        is_broken = False
        one.memory.ask(spec())
        index.news.set()
        await eventually(lambda: is_ready(one))


async def test_a_spec_that_cannot_be_is_refused_once_and_looked_at_again_when_it_changes(monkeypatch):
    one = life()
    driver = one.tools.drivers[0]
    real = driver.translate

    def translate(unit, site):
        if getattr(unit, "replicas", 1) == 3:
            raise Refused("scheduler: one is all that a local cluster runs")
        return real(unit, site)

    monkeypatch.setattr(driver, "translate", translate)
    async with running(one) as (_, index):
        components = dict(spec().components)
        components["scheduler"] = type(components["scheduler"])(replicas=3)
        one.memory.ask(spec(components=components))
        index.news.set()
        await eventually(
            lambda: condition(one, "Synced") is not None and condition(one, "Synced").reason is Reason.INVALID_SPEC
        )
        writes = one.memory.writes
        await asyncio.sleep(300)
        assert one.memory.writes == writes
        one.memory.ask(spec())
        index.news.set()
        await eventually(lambda: is_ready(one))

"""The daemons of a life: whole ones, each a process of the loop, which the weather stops, kills and freezes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from drivers.base import Unavailable
from drivers.simulation.driver import SimulationDriver
from drivers.simulation.world import World
from reconciler.bulkhead import Bulkhead
from reconciler.daemon import Daemon
from reconciler.leadership import Leadership
from reconciler.parts import Parts
from reconciler.reconcile import Tools
from reconciler.render import Desires
from reconciler.settings import Settings

from .catalogs import FIRST, catalog_of
from .checkers import Checkers
from .loop import Process, SimLoop
from .store import LEASE, Store
from .tables import StoreError
from .truth import INSTALLATION, site
from .watched import Desk, WatchedDriver

SETTINGS = Settings(
    home=Path("/nowhere"),
    workers=3,
    sweep_interval_seconds=10.0,
    resync_interval_seconds=60.0,
    orphan_interval_seconds=300.0,
)
_OPEN_SECONDS = 15.0
_STANDBY_SECONDS = 7.0  # half of all that happens would be a standby asking each second

Ticks = dict[str, tuple[float, Callable[[], None]]]


class Timers:
    """Timers on the loop's own time."""

    def __init__(self, ticks: Ticks) -> None:
        self._ticks = ticks
        self._handles: dict[str, asyncio.TimerHandle] = {}

    def start(self) -> None:
        for name, (seconds, tick) in self._ticks.items():
            self._arm(name, seconds, tick)

    def shutdown(self, *, wait: bool) -> None:
        for handle in self._handles.values():
            handle.cancel()

    def _arm(self, name: str, seconds: float, tick: Callable[[], None]) -> None:
        def ring() -> None:
            tick()
            self._arm(name, seconds, tick)

        self._handles[name] = asyncio.get_running_loop().call_later(seconds, ring)


class Fleet:
    """Up to two daemons, named a and b. `release`: of which those are that start from now on."""

    def __init__(
        self, loop: SimLoop, store: Store, worlds: dict[str, World], checkers: Checkers, seed: int
    ) -> None:
        self._loop = loop
        self._store = store
        self._worlds = worlds
        self._checkers = checkers
        self._seed = seed
        self._lives = 0
        self.release = FIRST
        self.processes: dict[str, Process] = {}
        self._stops: dict[str, asyncio.Event] = {}

    def start(self, name: str) -> None:
        """Another daemon of that name, unless one is there."""
        if name in self.processes:
            return
        self._lives += 1
        self._note(f"daemon {name} starts")
        process, context = self._loop.spawn(name)
        self.processes[name], self._stops[name] = process, asyncio.Event()
        self._loop.create_task(self._run(name, process, self._stops[name]), context=context)

    def kill(self, name: str) -> None:
        """As kill -9."""
        process = self.processes.pop(name, None)
        if process is not None:
            self._note(f"daemon {name} is killed")
            self._loop.kill(process)

    def stop(self, name: str) -> None:
        """As SIGTERM."""
        if name in self._stops:
            self._note(f"daemon {name} is stopped")
            self._stops[name].set()

    def freeze(self, name: str) -> None:
        """As SIGSTOP."""
        if name in self.processes:
            self._note(f"daemon {name} is frozen")
            self._loop.freeze(self.processes[name])

    def thaw(self, name: str) -> None:
        """As SIGCONT."""
        if name in self.processes:
            self._note(f"daemon {name} is thawed")
            self._loop.thaw(self.processes[name])

    def _note(self, what: str) -> None:
        self._checkers.note(what)
        self._checkers.disturbed(0.0)

    async def _run(self, name: str, process: Process, stop: asyncio.Event) -> None:
        try:
            await self._serve(name, stop)
        except Exception as error:  # noqa: BLE001 - whatever it died of is what is looked for
            self._checkers.violated("L4", f"daemon {name} died of {_flat(error)!r}")
        self._checkers.note(f"daemon {name} ended")
        if self.processes.get(name) is process:
            del self.processes[name]

    async def _serve(self, name: str, stop: asyncio.Event) -> None:
        desk = Desk(self._store, self._checkers, name)
        random = Random(self._seed * 1000 + self._lives)
        leadership = Leadership(self._store, name=LEASE, holder=name, retry_seconds=_STANDBY_SECONDS)
        watched = {cluster: self._driver(cluster, world, desk) for cluster, world in self._worlds.items()}
        drivers = tuple(
            Bulkhead(
                one,
                may_write=lambda: leadership.epoch is not None,
                random=random,
                clock=lambda: self._store.now,
            )
            for one in watched.values()
        )
        for driver in drivers:
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(_OPEN_SECONDS):
                    await driver.open()
        parts = Parts(
            tools=Tools(
                store=desk,
                secrets=self._store,
                drivers=drivers,
                site_of=site,
                random=random,
                desires=Desires(catalog=catalog_of(self.release)),
            ),
            index=self._store,
            seals=self._store,
            leadership=leadership,
            signals=self._store.signals,
            store_errors=(StoreError,),
            settings=SETTINGS,
            installation=INSTALLATION,
            stamps=watched,
            timers=Timers,
        )
        await Daemon(parts).run(stop)
        for driver in drivers:
            await driver.close()

    def _driver(self, cluster: str, world: World, desk: Desk) -> WatchedDriver:
        driver = SimulationDriver(
            world=world, installation=INSTALLATION, reveal=self._store.reveal, cluster=cluster, name=desk.name
        )
        return WatchedDriver(driver, desk, self._checkers)


def _flat(error: BaseException) -> BaseException:
    """The first error inside a group of them."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

"""What puts keys into the queue: the store's signals, drivers' hints, the sweep, the resync, orphans.

Every feed only hints. A lost one costs time, never correctness: the sweep sees what a signal missed, the resync
what a driver's watch missed. No feed dies of an error it can outlive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

import structlog

from drivers.base import Driver, DriverError
from model.names import Owner, Place
from reconciler import clock
from reconciler.bulkhead import name_of
from reconciler.ledger import Ledger
from reconciler.metrics import Metrics
from reconciler.parts import Parts
from reconciler.queue import Priority, WorkQueue
from reconciler.retries import Retries

log = structlog.get_logger()

_PAUSE_AFTER_ERROR_SECONDS = 1.0
_HINTS_APART_SECONDS = 1.0
_HINTS_MAX = 10_000


class Feeds:
    """Turns news of every kind into keys."""

    def __init__(
        self, parts: Parts, queue: WorkQueue, *, retries: Retries, ledger: Ledger, metrics: Metrics
    ) -> None:
        self._retries = retries
        self._ledger = ledger
        self._parts = parts
        self._queue = queue
        self._metrics = metrics
        self._resync_wanted = asyncio.Event()
        self._orphans_wanted = asyncio.Event()
        self._hinted: dict[Owner, float] = {}  # when the last hint took or takes effect
        self.is_listening = False
        self.blind: dict[str, str] = {}

    def want_resync(self) -> None:
        """A timer's tick: every key deserves a look."""
        self._resync_wanted.set()

    def want_orphans(self) -> None:
        """A timer's tick: look for what is ours and has no row."""
        self._orphans_wanted.set()

    def tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """The eternal tasks, by name."""
        watches = {f"watch {name_of(driver)}": self._watch(driver) for driver in self._parts.tools.drivers}
        return {
            "listen": self._listen(),
            "sweep": self._sweep(),
            "resync": self._resync(),
            "orphans": self._orphans(),
            **watches,
        }

    async def _listen(self) -> None:
        async for _ in self._parts.signals():
            self.is_listening = True
            self._metrics.signals.inc()
            await self._look_for_changes()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._parts.settings.sweep_interval_seconds)
            await self._look_for_changes()

    async def _look_for_changes(self) -> None:
        """Seal what waits in the inbox, then enqueue what differs from what was last looked at."""
        try:
            sealed = await self._parts.seals.seal_inbox()
            due = await self._parts.index.due()
        except self._parts.store_errors as error:
            self.is_listening = False
            log.warning("state store not readable", why=str(error))
            await asyncio.sleep(_PAUSE_AFTER_ERROR_SECONDS)
        else:
            self.is_listening = True
            self._enqueue(dict.fromkeys(sealed), Priority.CHANGE)
            for owner, one in due.items():
                delay = self._retries.delay(owner, one.generation, clock.now())
                self._queue.add(owner, Priority.CHANGE, one.place, delay_seconds=delay)

    def _enqueue(self, owners: Mapping[Owner, Place | None], priority: Priority) -> None:
        for owner, place in owners.items():
            self._queue.add(owner, priority, place)

    async def _resync(self) -> None:
        while True:
            self._resync_wanted.clear()
            await self._tend()
            try:
                self._enqueue(await self._parts.index.owners(), Priority.RESYNC)
            except self._parts.store_errors as error:
                log.warning("resync skipped", why=str(error))
                await asyncio.sleep(_PAUSE_AFTER_ERROR_SECONDS)
                self.want_resync()
            await self._resync_wanted.wait()

    async def _tend(self) -> None:
        try:
            await self._parts.index.tend()
        except self._parts.store_errors as error:
            log.warning("store not tended", why=str(error))

    async def _orphans(self) -> None:
        """Owners of whom things exist in the world and whose row is gone, or says that they are elsewhere."""
        errors: tuple[type[Exception], ...] = (*self._parts.store_errors, DriverError)
        while True:
            self._orphans_wanted.clear()
            try:
                await self._look_for_orphans()
            except errors as error:
                log.warning("orphans not looked for", why=str(error))
            await self._orphans_wanted.wait()

    async def _look_for_orphans(self) -> None:
        rows = await self._parts.index.owners()
        strays: dict[Owner, frozenset[str]] = {}
        for driver in self._parts.tools.drivers:
            for owner in sorted(await driver.owners()):
                place = rows.get(owner)
                if place is None:
                    self._queue.add(owner, Priority.RESYNC, Place(driver.cluster))
                elif driver.cluster not in ("", place.cluster):
                    strays[owner] = strays.get(owner, frozenset()) | {driver.cluster}
                    self._queue.add(owner, Priority.RESYNC, place)
        self._ledger.strays = strays

    def _hint(self, owner: Owner) -> None:
        """Something of an owner changed. One that changes without end is looked at once a second."""
        now = clock.now()
        last = self._hinted.get(owner, float("-inf"))
        at = last if last > now else max(now, last + _HINTS_APART_SECONDS)
        if len(self._hinted) > _HINTS_MAX:
            self._hinted = {one: then for one, then in self._hinted.items() if then + _HINTS_APART_SECONDS > now}
        self._hinted[owner] = at
        self._queue.add(owner, Priority.DRIFT, delay_seconds=at - now)

    async def _watch(self, driver: Driver) -> None:
        name = name_of(driver)
        while True:
            try:
                async for owner in driver.watch():
                    self.blind.pop(name, None)
                    self._hint(owner)
            except DriverError as error:
                self.blind[name] = str(error)
                log.warning("watch interrupted", driver=name, why=str(error))
            await asyncio.sleep(_PAUSE_AFTER_ERROR_SECONDS)

"""The daemon: one TaskGroup of feeds, lease and workers, and the way down.

If any of its eternal tasks dies, the group ends and with it the process; whoever supervises it starts another,
which adopts everything that runs. Nothing here decides anything: keys go into the queue, passes come out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from prometheus_client import CollectorRegistry

from model.names import Owner
from model.plan import Plan
from reconciler.bulkhead import Bulkhead, name_of
from reconciler.feeds import Feeds
from reconciler.ledger import Ledger
from reconciler.metrics import Metrics
from reconciler.parts import Parts
from reconciler.progress import Progress
from reconciler.queue import WorkQueue
from reconciler.reconcile import preview
from reconciler.retries import Retries
from reconciler.watermark import Watermark
from reconciler.work import Workshop

log = structlog.get_logger()


class Daemon:
    """Keeps the world equal to what is asked, until told to stop."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._metrics = Metrics()
        self._queue = WorkQueue(weights=parts.settings.workspace_weights, opened=self._open_lane)
        retries = Retries(parts.tools.random)
        self._watermark = Watermark(parts, newest=lambda: self._ledger.newest)
        self._ledger = Ledger(parts.tools.limits, hold=self._watermark.hold)
        self._feeds = Feeds(parts, self._queue, retries=retries, ledger=self._ledger, metrics=self._metrics)
        self._workshop = Workshop(
            parts,
            queue=self._queue,
            retries=retries,
            ledger=self._ledger,
            watermark=self._watermark,
            metrics=self._metrics,
        )
        self._started_at = datetime.now(UTC)
        self._staff: Callable[[str], None]  # gives a cluster its workers, while the daemon runs

    @property
    def registry(self) -> CollectorRegistry:
        """Where this daemon's metrics are."""
        return self._metrics.registry

    async def preview(self, owner: Owner) -> Plan:
        """What a pass of this owner would do now. Writes nothing."""
        return await preview(owner, self._parts.tools, self._ledger)

    def progress(self) -> Progress:
        """Whether work gets done: liveness means progress, not a process that exists."""
        leading = self._parts.leadership.epoch is not None
        self._metrics.queue_depth.set(self._queue.depth)
        self._metrics.leading.set(int(leading))
        return Progress(
            started_at=self._started_at,
            last_pass_at=self._workshop.last_pass_at,
            queue_depth=self._queue.depth,
            oldest_waiting_seconds=self._queue.oldest_seconds(),
            listening=self._feeds.is_listening,
            leading=leading,
            blind={**self._feeds.blind, **self._silent()},
        )

    def _silent(self) -> dict[str, str]:
        """Drivers that do not answer → why, and their metrics."""
        found: dict[str, str] = {}
        for driver in self._parts.tools.drivers:
            if isinstance(driver, Bulkhead):
                state, name = driver.state(), name_of(driver)
                self._metrics.circuit_open.labels(name).set(int(state.is_open))
                self._metrics.calls_limit.labels(name).set(state.calls_limit)
                if state.is_open:
                    found[name] = state.why
        return found

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then let running passes end. Raises what an eternal task died of."""
        settings = self._parts.settings
        ticks = self._parts.timers(
            {
                "resync": (settings.resync_interval_seconds, self._feeds.want_resync),
                "orphans": (settings.orphan_interval_seconds, self._feeds.want_orphans),
            }
        )
        async with asyncio.TaskGroup() as group:
            eternal = [
                group.create_task(self._parts.leadership.keep(), name="lead"),
                group.create_task(self._watermark.keep(), name="watermark"),
                *(group.create_task(one, name=name) for name, one in self._feeds.tasks().items()),
            ]
            workers: list[asyncio.Task[None]] = []

            def staff(cluster: str) -> None:
                """A cluster's first key: its own workers, so that one that hangs holds up nobody else's."""
                workers.extend(
                    group.create_task(self._workshop.work(cluster), name=f"worker {number} {cluster}")
                    for number in range(settings.workers)
                )

            self._staff = staff
            ticks.start()
            await stop.wait()
            ticks.shutdown(wait=False)
            _cancel(eternal)
            await self._drain()
            _cancel(workers)
        await self._parts.leadership.resign()
        log.info("daemon stopped")

    def _open_lane(self, cluster: str) -> None:
        self._staff(cluster)

    async def _drain(self) -> None:
        """Wait until no pass runs, as long as the grace lasts. The next daemon finishes what is cut off."""
        self._queue.close()
        try:
            async with asyncio.timeout(self._parts.settings.shutdown_grace_seconds):
                await self._queue.at_rest()
        except TimeoutError:
            log.warning("passes cut off", grace_seconds=self._parts.settings.shutdown_grace_seconds)


def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()

"""Timers. They only enqueue: APScheduler swallows what a job raises, so no work may happen inside one."""

from __future__ import annotations

from collections.abc import Callable

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger


def timers(ticks: dict[str, tuple[float, Callable[[], None]]]) -> AsyncIOScheduler:
    """A scheduler, not started, that calls each tick every so many seconds, jittered by a tenth.

    `ticks`: name → (seconds, what to call). What is called must return at once.
    """
    scheduler = AsyncIOScheduler(timezone="UTC")
    for name, (seconds, tick) in ticks.items():
        scheduler.add_job(
            tick,
            IntervalTrigger(seconds=int(seconds), jitter=int(seconds / 10) or None),
            id=name,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
        )
    return scheduler

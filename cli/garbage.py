"""Python's full collections of cycles, made by the clock and kept small: one stops the daemon while it lasts.

By itself Python makes one whenever a quarter more objects are alive, and looks at all of them: with 200
deployments that is 90 to 170 ms in which no change is heard. Here what is alive at a collection is set aside
(`gc.freeze`), so that the next looks at what came since; once an hour everything is looked at, so that nothing is
kept for ever.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager

_INTERVAL_SECONDS = 60.0
_WHOLE_EVERY = 60
_THRESHOLDS = (10_000, 20, 1_000_000)
"""Young objects are collected as they come; the last number is never reached, so no full collection is."""


def collect(*, whole: bool) -> int:
    """Collect what came since the last time, or everything. How many objects were set aside."""
    if whole:
        gc.unfreeze()
    gc.collect()
    gc.freeze()
    return gc.get_freeze_count()


@contextmanager
def paced() -> Iterator[None]:
    """No full collections but ours, as long as it lasts. To be entered within a running loop."""
    before = gc.get_threshold()
    collect(whole=True)
    gc.set_threshold(*_THRESHOLDS)
    ticking = asyncio.get_running_loop().create_task(_keep(), name="garbage")
    try:
        yield
    finally:
        ticking.cancel()
        gc.set_threshold(*before)
        gc.unfreeze()


async def _keep() -> None:
    number = 0
    while True:
        await asyncio.sleep(_INTERVAL_SECONDS)
        number += 1
        collect(whole=number % _WHOLE_EVERY == 0)

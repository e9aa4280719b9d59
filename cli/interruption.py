"""Ctrl-C and SIGTERM as one cancellation, so that what was begun is ended in order.

Only the first counts: what cleans up has its own deadlines, and must not be cut off by an impatient second.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """Somebody asked this command to end."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end, in an event loop that is nobody else's; raises Interrupted."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(interruptible(work))


async def in_thread(work: Callable[[], T]) -> T:
    """Run blocking work in a thread. A cancellation waits for its end: a thread cannot be stopped half-way."""
    task = asyncio.create_task(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


async def interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Run `work`; cancel it at the first SIGINT or SIGTERM and, when it has cleaned up, raise Interrupted."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    asked = False

    def ask() -> None:
        nonlocal asked
        if not asked:
            asked = True
            task.cancel()

    for number in _SIGNALS:
        loop.add_signal_handler(number, ask)
    try:
        return await task
    except asyncio.CancelledError:
        if asked:
            raise Interrupted from None
        raise
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

"""Waiting for something real: always with a deadline, always able to say what was waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from cli.errors import TimedOut

T = TypeVar("T")

POLL_SECONDS = 0.25
"""How often the world is asked: four steps a second look live, and cost a local server nothing."""


async def until(
    what: str,
    probe: Callable[[], Awaitable[T | None]],
    *,
    timeout_seconds: float,
    every_seconds: float = POLL_SECONDS,
    todo: str = "",
) -> T:
    """Ask `probe` until it answers something else than None; raises TimedOut naming what was waited for."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + timeout_seconds
    while True:
        found = await probe()
        if found is not None:
            return found
        if clock() + every_seconds > deadline:
            raise TimedOut(f"Waited {timeout_seconds:g} s for {what}.", todo=todo)
        await asyncio.sleep(every_seconds)

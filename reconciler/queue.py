"""The work queue: keys worth another look, never events.

A key is in the queue once, at the earliest time and the highest priority that anybody asked for. It is never
worked on twice at once: a key added while its pass runs is dirty, and comes back when the pass is done. The
queue is bounded by the number of keys. Time is the running event loop's.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum

from model.names import Owner


class Priority(IntEnum):
    """Who goes first among the keys that are due."""

    CHANGE = 0  # somebody asked for something
    DRIFT = 1  # the world changed
    RETRY = 2  # a pass asked to look again
    RESYNC = 3  # nobody asked; it is only time


@dataclass(frozen=True, slots=True, order=True)
class _Entry:
    """One wish to look at a key. `number` keeps first come, first served among equals."""

    priority: Priority
    due: float
    number: int
    owner: Owner


class WorkQueue:
    """Deduplicated, delayed, prioritised keys; one pass a key at a time."""

    def __init__(self) -> None:
        self._waiting: dict[Owner, _Entry] = {}
        self._working: dict[Owner, float] = {}  # since when
        self._due: list[_Entry] = []
        self._delayed: list[tuple[float, _Entry]] = []
        self._numbers = itertools.count()
        self._news = asyncio.Event()
        self._at_rest = asyncio.Event()
        self._at_rest.set()
        self._is_closed = False

    def close(self) -> None:
        """Give out no more keys; those in work go on."""
        self._is_closed = True

    async def at_rest(self) -> None:
        """Return when no pass runs."""
        await self._at_rest.wait()

    def add(self, owner: Owner, priority: Priority, *, delay_seconds: float = 0.0) -> None:
        """Ask for a look at a key. The earliest time and the highest priority of all wishes win."""
        now = asyncio.get_running_loop().time()
        due = now + max(0.0, delay_seconds)
        old = self._waiting.get(owner)
        if old is not None:
            if old.due <= due and old.priority <= priority:
                return
            due, priority = min(old.due, due), min(old.priority, priority)
        entry = _Entry(priority, due, next(self._numbers), owner)
        self._waiting[owner] = entry
        if owner not in self._working:
            self._push(entry, now)

    def _push(self, entry: _Entry, now: float) -> None:
        if entry.due <= now:
            heapq.heappush(self._due, entry)
        else:
            heapq.heappush(self._delayed, (entry.due, entry))
        self._news.set()

    def is_dirty(self, owner: Owner) -> bool:
        """True when somebody changed what is desired of a key while its pass runs."""
        entry = self._waiting.get(owner)
        return entry is not None and entry.priority is Priority.CHANGE

    @property
    def depth(self) -> int:
        """How many keys are due or in work; keys that wait for their time are not counted."""
        now = asyncio.get_running_loop().time()
        return len(self._working) + sum(1 for one in self._waiting.values() if one.due <= now)

    def oldest_seconds(self) -> float:
        """For how long the key that waits longest has been due or in work; 0 when there is none."""
        now = asyncio.get_running_loop().time()
        due = [one.due for one in self._waiting.values() if one.due <= now]
        return now - min([*due, *self._working.values()], default=now)

    @asynccontextmanager
    async def take(self) -> AsyncIterator[Owner]:
        """The next key, for as long as the block runs. Waits until one is due."""
        owner = await self._next()
        self._working[owner] = asyncio.get_running_loop().time()
        self._at_rest.clear()
        try:
            yield owner
        finally:
            del self._working[owner]
            if not self._working:
                self._at_rest.set()
            again = self._waiting.get(owner)
            if again is not None:
                self._push(again, asyncio.get_running_loop().time())

    async def _next(self) -> Owner:
        while True:
            now = asyncio.get_running_loop().time()
            self._promote(now)
            while self._due and not self._is_closed:
                entry = heapq.heappop(self._due)
                if self._waiting.get(entry.owner) == entry and entry.owner not in self._working:
                    del self._waiting[entry.owner]
                    return entry.owner
            self._news.clear()
            await self._wait_for_news(now)

    def _promote(self, now: float) -> None:
        """Move what has become due from the delayed heap; superseded entries fall away in `_next`."""
        while self._delayed and self._delayed[0][0] <= now:
            heapq.heappush(self._due, heapq.heappop(self._delayed)[1])

    async def _wait_for_news(self, now: float) -> None:
        timeout = self._delayed[0][0] - now if self._delayed else None
        try:
            async with asyncio.timeout(timeout):
                await self._news.wait()
        except TimeoutError:
            return

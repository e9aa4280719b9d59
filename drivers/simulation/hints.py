"""Hints: what a watch of a simulated world tells, and what becomes of it on the way.

Nobody polls: the world tells of changes when they are made, and of those that time will make. A hint comes when
the cache of its kind shows what it is about, unless the world is rude: then it is lost, late, told twice, or of
nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from heapq import heappop, heappush
from itertools import count

from drivers.base import Unavailable
from drivers.simulation.thing import NEVER, Claim
from drivers.simulation.world import World
from model.names import Kind, Owner

_LOOK_UP_SECONDS = 30.0
"""A watch that hears nothing asks after so long whether anybody is there."""
_PENDING_MAX = 512
_PAST_MAX = 8
_GHOSTS = (10**6, 10**7)
"""The ids of owners that never were."""


class Hints:
    """What one driver hears. `lag_seconds` says how far its cache of a kind is behind."""

    def __init__(self, world: World, installation: str, lag_seconds: Callable[[Kind], float]) -> None:
        self._world = world
        self._installation = installation
        self._lag_seconds = lag_seconds
        self._pending: list[tuple[float, int, str, bool]] = []
        self._numbers = count()
        self._past: deque[Owner] = deque(maxlen=_PAST_MAX)
        self._news = asyncio.Event()
        self._silent_until = 0.0
        self._is_cut = False
        self.is_closed = False

    def tell(self, claim: Claim, kind: Kind, at: float) -> None:
        """Something of somebody's is different from that time on. What nobody fetches in time is lost."""
        if claim[0] == self._installation and len(self._pending) < _PENDING_MAX:
            self._push(at + self._lag_seconds(kind), claim[1], is_fated=False)

    def interrupt(self) -> None:
        """The connection is cut: whoever listens is told so next."""
        self._is_cut = True
        self._news.set()

    def close(self) -> None:
        """Nobody listens any more."""
        self.is_closed = True
        self._news.set()

    async def listen(self) -> AsyncIterator[Owner]:
        """Hints, as they come. Raises Unavailable when the connection is interrupted."""
        world = self._world
        self._is_cut = False
        ends_at = world.clock() + world.draw(world.faults.watch) if world.faults.watch[1] > 0 else NEVER
        while not self.is_closed:
            ends_at = ends_at if world.faults.watch[1] > 0 else NEVER  # healed meanwhile
            self._require_connected(ends_at)
            if not (world.is_black_hole or world.is_under("black hole")):
                for owner in self._due():
                    yield owner
            await self._rest(ends_at)

    def _require_connected(self, ends_at: float) -> None:
        if self._world.is_down or self._world.is_under("down"):
            raise Unavailable("the simulated world is down")
        if self._is_cut:
            raise Unavailable("the watch was interrupted: 410, its version is gone")
        if self._world.clock() >= ends_at:
            self._world.injected["watch interrupted"] += 1
            raise Unavailable("the watch was interrupted: the connection was closed")

    async def _rest(self, ends_at: float) -> None:
        """Until the next hint is due, the connection ends, or it is time to see whether anybody is there."""
        now = self._world.clock()
        due = self._pending[0][0] if self._pending else NEVER
        if due <= now and not (self._world.is_black_hole or self._world.is_under("black hole")):
            return
        until = min(due if due > now else NEVER, ends_at, now + _LOOK_UP_SECONDS)
        try:
            async with asyncio.timeout(max(until - now, 0.001)):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    def _push(self, at: float, owner: str, *, is_fated: bool) -> None:
        first = self._pending[0][0] if self._pending else NEVER
        heappush(self._pending, (at, next(self._numbers), owner, is_fated))
        if at < first:
            self._news.set()

    def _due(self) -> list[Owner]:
        """What is told now. Changes of one owner that come together are one hint."""
        now, fresh, fated = self._world.clock(), dict[str, None](), dict[str, None]()
        while self._pending and self._pending[0][0] <= now:
            _, _, owner, is_fated = heappop(self._pending)
            (fated if is_fated else fresh)[owner] = None
        told = [Owner.parse(owner) for owner in fated]
        for owner in fresh:
            told += self._fate(owner, now)
        if len(told) > 1 and self._world.chance(self._world.faults.reordered_hints, "reordered hints"):
            self._world.random.shuffle(told)
        self._past.extend(told)
        return told

    def _fate(self, owner: str, now: float) -> Iterator[Owner]:
        """What becomes of one hint."""
        world, faults = self._world, self._world.faults
        if now < self._silent_until and faults.silences > 0:
            return
        if world.chance(faults.silences, "silence"):
            self._silent_until = now + world.draw(faults.silence)
            return
        if world.chance(faults.lost_hints, "lost hint"):
            return
        if any(owner == other for _, _, other, _ in self._pending) and world.chance(
            faults.merged_hints, "merged hint"
        ):
            return
        if world.chance(faults.late_hints, "late hint"):
            self._push(now + world.draw(faults.lateness), owner, is_fated=True)
        else:
            yield Owner.parse(owner)
        if world.chance(faults.repeated_hints, "repeated hint"):
            yield Owner.parse(owner)
        if self._past and world.chance(faults.past_hints, "past hint"):
            yield world.random.choice(self._past)
        if world.chance(faults.ghost_hints, "ghost hint"):
            yield Owner("deployment", str(world.random.randrange(*_GHOSTS)))

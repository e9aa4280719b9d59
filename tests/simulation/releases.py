"""New releases of Armillary in a life: every daemon ends, and starts anew with a renderer that differs."""

from __future__ import annotations

import asyncio

from drivers.simulation.thing import NEVER
from drivers.simulation.world import World, Write

from .catalogs import FIRST, Release
from .checkers import Observer
from .fleet import Fleet
from .truth import Truth, unit_of
from .user import COMPONENTS

_GRACE_SECONDS = 3.0
"""Between telling the daemons to stop and killing those that did not: two releases are never at work together."""


class Releases(Observer):
    """The hands that install releases. What a broken one writes never becomes healthy."""

    def __init__(self, fleet: Fleet, truth: Truth, worlds: dict[str, World]) -> None:
        self._fleet = fleet
        self._truth = truth
        self._worlds = worlds
        self._number = 0
        self._good = FIRST
        self._pending: asyncio.TimerHandle | None = None

    def install(self, number: float, *, is_broken: bool) -> str:
        """Let another release take over soon; `number` in [0, 1) draws which processes it renders differently."""
        self._number += 1
        mask = 1 + int(number * 15)
        parts = tuple(name for bit, name in enumerate(COMPONENTS) if mask & 1 << bit)
        release = Release(number=self._number, parts=parts, is_broken=is_broken)
        names = tuple(self._fleet.processes)
        for name in names:
            self._fleet.stop(name)
        self._forget_pending()
        self._pending = asyncio.get_running_loop().call_later(_GRACE_SECONDS, self._begin, release, names)
        return f"release {release.number} of {', '.join(parts)}{', broken' if is_broken else ''}"

    def take_back(self) -> str:
        """If a broken release is at work, the last good one takes its place at once; what was done."""
        self._forget_pending()
        if not self._fleet.release.is_broken:
            return ""
        self._begin(self._good, tuple(self._fleet.processes))
        return f"release {self._good.number} again"

    def wrote(self, write: Write) -> None:
        """An effect: if a broken release had it, what was written never becomes healthy."""
        release = self._fleet.release
        is_made = write.verb in ("create", "update", "replace") and write.ref.kind.endswith("Sim.Process")
        if release.is_broken and is_made and unit_of(write.ref) in release.parts:
            world = self._truth.world_of(write.ref)
            thing = world.standing(write.ref)
            if thing is not None and thing.replicas:
                world.change(write.ref, crashes_until=NEVER, ready_at=NEVER)

    def _forget_pending(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None

    def _begin(self, release: Release, names: tuple[str, ...]) -> None:
        if not release.is_broken:
            self._good = release
        for name in tuple(self._fleet.processes):
            self._fleet.kill(name)
        self._fleet.release = release
        self._truth.release = release
        for name in names:
            self._fleet.start(name)

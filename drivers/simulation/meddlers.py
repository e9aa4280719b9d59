"""Meddlers: others who change our things again and again, for a while.

Nothing of it needs a timer: a webhook acts when something is written, and what another controller did ten times a
second is found out when somebody looks.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from drivers.simulation.thing import Thing
from model.names import Ref

if TYPE_CHECKING:
    from drivers.simulation.world import World

WEBHOOK = "webhook/defaults.example.org"
FLAPPER = "flapper"
_TICKS_PER_SECOND = 10.0
_TOLD_EACH_SECONDS = 1.0
"""A watch would hear each tick; told less often, whoever listens looks as often as it takes to see a fight."""


@dataclass(slots=True)
class _Flapper:
    since: float
    until: float
    ticks: int = 0
    told_at: float = 0.0


@dataclass(slots=True)
class Meddlers:
    """Webhooks (until when they act) and flapping controllers, by the thing that they meddle with."""

    webhooks: dict[Ref, float] = field(default_factory=dict)
    flappers: dict[Ref, _Flapper] = field(default_factory=dict)

    def flap(self, thing: Thing, seconds: float, world: World) -> None:
        """From now on another controller sets a field of a thing, and lets go of it, ten times a second."""
        now = world.clock()
        self.flappers[thing.ref] = _Flapper(since=now, until=now + seconds)
        world.announce(thing, now + 1 / _TICKS_PER_SECOND)

    def rewritten(self, thing: Thing, world: World) -> Thing:
        """What a webhook makes of a write."""
        until = self.webhooks.get(thing.ref)
        if until is None:
            return thing
        if world.clock() >= until:
            del self.webhooks[thing.ref]
            return thing
        world.injected["webhook"] += 1
        return replace(thing, actual=f"rewritten {thing.applied}", edited_by=WEBHOOK)

    def settle(self, world: World) -> None:
        """Let come true what flapping controllers did up to now."""
        if self.flappers:
            now = world.clock()
            for ref, flapper in list(self.flappers.items()):
                self._tick(ref, flapper, world, now)

    def end(self, world: World) -> None:
        """Nobody meddles any more. What was done last stays."""
        self.settle(world)
        self.webhooks.clear()
        self.flappers.clear()

    def _tick(self, ref: Ref, flapper: _Flapper, world: World, now: float) -> None:
        if now >= flapper.until:
            del self.flappers[ref]
        ticks = int((min(now, flapper.until) - flapper.since) * _TICKS_PER_SECOND)
        new, flapper.ticks = ticks - flapper.ticks, ticks
        if new <= 0:
            return
        thing = world.standing(ref)
        if thing is None or thing.gone_at is not None:
            self.flappers.pop(ref, None)
            return
        world.injected["flapper"] += new
        flapped = "flapped" if ticks % 2 else thing.applied
        is_news = now >= flapper.told_at
        if flapped != thing.actual:
            world.place(replace(thing, actual=flapped, edited_by=FLAPPER), quietly=not is_news)
        if is_news:
            flapper.told_at = now + _TOLD_EACH_SECONDS
            world.announce(thing, flapper.told_at)

"""The cache: how far behind the truth one driver's views are, kind by kind.

Each kind has its own, as each has its own watch in a real cluster. It goes forward, in stretches now closer and
now farther behind; only when the world travels in time is a view older than the one before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drivers.simulation.faults import Span
from drivers.simulation.register import REMEMBERED_SECONDS, View
from drivers.simulation.world import World
from model.names import Kind

_STRETCH: Span = (1.0, 10.0)
"""For so long a cache keeps its distance."""
_JOURNEY: Span = (1.0, 60.0)
"""How far a travel in time goes back."""


class Cache:
    """Views of a world, as one driver gets to see them."""

    def __init__(self, world: World, kinds: Sequence[Kind]) -> None:
        self._world = world
        self._kinds = kinds
        self._reached: dict[Kind, float] = {}
        self._lags: dict[Kind, tuple[float, float]] = {}

    def fill(self) -> None:
        """The caches are listed anew: each shows the truth of now."""
        self._reached = dict.fromkeys(self._kinds, self._world.clock())

    def lag_seconds(self, kind: Kind) -> float:
        """How far the cache of a kind is behind at present."""
        return self._lags[kind][0] if self._world.faults.is_cached and kind in self._lags else 0.0

    def look(self) -> View:
        """The next view, which says how old it is."""
        world, now = self._world, self._world.clock()
        if not self._reached:
            self.fill()
        for kind in self._kinds:
            self._reached[kind] = max(self._reached[kind], now - self._lag(kind, now))
        view = world.view(self._shown(now))
        if view.is_behind:
            world.injected["stale view"] += 1
        return view

    def _shown(self, now: float) -> Mapping[Kind, float]:
        if not self._world.chance(self._world.faults.time_travel, "time travel"):
            return dict(self._reached)
        back = self._world.draw(_JOURNEY)
        return {kind: max(at - back, now - REMEMBERED_SECONDS) for kind, at in self._reached.items()}

    def _lag(self, kind: Kind, now: float) -> float:
        lag, until = self._lags.get(kind, (0.0, 0.0))
        if now >= until:
            lag = min(self._world.draw(self._world.faults.lag), REMEMBERED_SECONDS)
            self._lags[kind] = (lag, now + self._world.draw(_STRETCH))
        return lag

"""The weather of a life: which storms come, when they begin and when they end. Drawn from the seed as data.

The worlds' own faults are drawn by `drivers.simulation.faults`; storms are everything around them: daemons that
are killed, frozen or doubled, a clock that jumps, a database that is away, slow, deaf, or goes back in time.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from random import Random

from drivers.simulation.faults import POLITE, Faults, drawn

_SLOW = ("latency", "starting", "task", "draining", "lingering")
"""What is no fault, only time: a reference life has it too."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Storm:
    """Something that happens at a time and ends after so many seconds; `number` in [0, 1) draws the details."""

    at: float
    kind: str
    seconds: float
    number: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """All of a life's weather. `faults` of each world, `healed_at` when everything is well again."""

    storms: tuple[Storm, ...]
    faults: tuple[Faults, ...]
    daemons: int
    healed_at: float

    def without(self, kind: str) -> Forecast:
        """The same without one kind of storm or one class of fault."""
        return replace(
            self,
            storms=tuple(one for one in self.storms if one.kind != kind),
            faults=tuple(
                replace(one, **{kind: getattr(POLITE, kind)}) if hasattr(one, kind) else one for one in self.faults
            ),
            daemons=1 if kind == "daemons" else self.daemons,
        )

    def calm(self) -> Forecast:
        """The same times without any fault: the weather of a reference life."""
        calm = tuple(replace(POLITE, **{name: getattr(one, name) for name in _SLOW}) for one in self.faults)
        return replace(self, storms=(), faults=calm, daemons=1)

    def kinds(self) -> list[str]:
        """Whatever `without` could leave out."""
        storms = dict.fromkeys(one.kind for one in self.storms)
        faults = [
            one.name
            for one in fields(Faults)
            if any(getattr(f, one.name) != getattr(POLITE, one.name) for f in self.faults)
        ]
        return [*storms, *faults, *(["daemons"] if self.daemons > 1 else [])]


_STORMS = {
    "kill": (0.0, 40.0),
    "kill before a write": (0.0, 40.0),
    "kill after a write": (0.0, 40.0),
    "stop": (0.0, 20.0),
    "freeze": (20.0, 90.0),
    "clock": (0.0, 0.0),
    "store down": (1.0, 120.0),
    "store unreachable": (10.0, 120.0),
    "store answers lost": (10.0, 120.0),
    "store slow": (10.0, 60.0),
    "store deaf": (30.0, 300.0),
    "store echoes": (30.0, 300.0),
    "store restored": (5.0, 300.0),
    "vandal": (0.0, 0.0),
    "database lost": (0.0, 0.0),
    "row lost": (0.0, 0.0),
}
"""Each kind, and how long it lasts: for killed and stopped daemons until another is started."""

_SHARES = (0.0, 0.15, 0.15, 0.3, 0.5, 0.8)
_NUMBERS = (1, 1, 2, 4)
_SPANS = ((45.0, 120.0), (60.0, 180.0), (60.0, 180.0), (240.0, 600.0))
"""For how many seconds there is weather: most lives are short, so that there are many, and some are long."""


def forecast(random: Random, clusters: int) -> Forecast:
    """The weather of one life, from still to terrible."""
    healed_at = random.uniform(*random.choice(_SPANS))
    share = random.choice(_SHARES)
    storms = [
        Storm(
            at=random.uniform(0, healed_at * 0.9),
            kind=kind,
            seconds=random.uniform(*spans),
            number=random.random(),
        )
        for kind, spans in _STORMS.items()
        if random.random() < share
        for _ in range(random.choice(_NUMBERS))
    ]
    return Forecast(
        storms=tuple(sorted(storms)),
        faults=tuple(drawn(random) for _ in range(clusters)),
        daemons=random.choice((1, 1, 2)),
        healed_at=healed_at,
    )

"""What the simulated database is made of: its tables as a backup holds them, leases, errors, and what ails it."""

from __future__ import annotations

from dataclasses import dataclass, field

from model.names import Moment, Owner

from .rows import Row


class StoreError(Exception):
    """The store could not be used."""


class Unreachable(StoreError):
    """No answer: nothing happened, or all of it did."""


class Fenced(StoreError):
    """A newer lease or a newer generation was recorded before."""


@dataclass(slots=True, kw_only=True)
class Trouble:
    """What ails the store now. Probabilities are per call, times seconds."""

    is_down: bool = False
    latency: tuple[float, float] = (0.001, 0.005)
    unreachable: float = 0.0  # nothing happened
    lost_answers: float = 0.0  # it was committed, and nobody was told
    lost_signals: float = 0.0
    repeated_signals: float = 0.0


@dataclass(slots=True)
class Tables:
    """Everything that a backup holds."""

    rows: dict[Owner, Row] = field(default_factory=dict)
    leases: dict[str, tuple[str, int, float]] = field(default_factory=dict)  # holder, epoch, expires at
    defaults: str = "defaults-1"
    changes: int = 0  # of desired state
    timeline: tuple[str, ...] = ()  # a token for each change, which no other change ever has

    @property
    def moment(self) -> Moment:
        """The newest change."""
        return Moment(self.changes, self.timeline[-1] if self.timeline else "")

    def knows(self, moment: Moment) -> bool:
        """Whether a change is of this history."""
        return moment.number == 0 or self.timeline[moment.number - 1 : moment.number] == (moment.token,)

    def copy(self) -> Tables:
        return Tables(dict(self.rows), dict(self.leases), self.defaults, self.changes, self.timeline)

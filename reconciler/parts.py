"""What the daemon is made of, as the composition root wires it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from drivers.base import SupportsStamp
from model.names import Due, Moment, Owner, Place
from reconciler.leadership import Leadership
from reconciler.reconcile import Tools
from reconciler.schedule import timers
from reconciler.settings import Settings


class Index(Protocol):
    """Which keys there are, and which need a look."""

    async def due(self) -> Mapping[Owner, Due]:
        """Owners whose desired state, stage or retry time says that a pass is due."""

    async def owners(self) -> Mapping[Owner, Place]:
        """Every owner that has a row or holds something, and where it queues."""

    async def moment(self) -> Moment:
        """The newest change of desired state."""

    async def knows(self, moment: Moment) -> bool:
        """Whether that change is part of this database's history."""

    async def tend(self) -> None:
        """Once a minute: keep history, and count what was changed behind the store's triggers."""


class Seals(Protocol):
    """Seals what administrators wrote as plain SQL."""

    async def seal_inbox(self) -> frozenset[Owner]:
        """Seal everything in the inbox; the owners concerned."""


class Timers(Protocol):
    """Timers, not running yet."""

    def start(self) -> None:
        """Let them tick."""

    def shutdown(self, *, wait: bool) -> None:
        """No tick comes any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that a daemon works with.

    `signals` yields whenever the store says that something may have changed, and after every reconnection;
    `store_errors` are the classes that mean "the store could not be used: nothing happened". `timers` makes the
    ticks of resync and orphans: name → (seconds, what to call). `stamps`: clusters that remember who keeps them.
    """

    tools: Tools
    index: Index
    seals: Seals
    leadership: Leadership
    signals: Callable[[], AsyncIterator[object]]
    store_errors: tuple[type[Exception], ...]
    settings: Settings
    installation: str = ""
    stamps: Mapping[str, SupportsStamp] = field(default_factory=dict)
    timers: Callable[[dict[str, tuple[float, Callable[[], None]]]], Timers] = timers

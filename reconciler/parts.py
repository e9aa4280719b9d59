"""What the daemon is made of, as the composition root wires it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from model.names import Owner
from reconciler.leadership import Leadership
from reconciler.reconcile import Tools
from reconciler.settings import Settings


class Index(Protocol):
    """Which keys there are, and which need a look."""

    async def due(self) -> tuple[Owner, ...]:
        """Owners whose desired state, stage or retry time says that a pass is due."""

    async def owners(self) -> tuple[Owner, ...]:
        """Every owner that has a row."""


class Seals(Protocol):
    """Seals what administrators wrote as plain SQL."""

    async def seal_inbox(self) -> frozenset[Owner]:
        """Seal everything in the inbox; the owners concerned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that a daemon works with.

    `signals` yields whenever the store says that something may have changed, and after every reconnection;
    `store_errors` are the classes that mean "the store could not be used: nothing happened".
    """

    tools: Tools
    index: Index
    seals: Seals
    leadership: Leadership
    signals: Callable[[], AsyncIterator[object]]
    store_errors: tuple[type[Exception], ...]
    settings: Settings

"""The contract between the reconciler and every driver.

A driver turns units into objects, looks, and applies one action at a time. It never decides what should
happen, never waits for health, and never touches what does not carry this installation's mark.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from model.names import Kind, Moment, Owner, Ref, SecretRef, UnitName
from model.objects import Object, Observed, Site
from model.plan import Action
from model.units import AnyUnit

Reveal = Callable[[SecretRef], Awaitable[str]]
"""Resolves a secret to its value. Handed to drivers at construction; called only while encoding a write."""


class DriverError(Exception):
    """Something a driver could not do. The message is a sentence for people and never holds a secret."""


class Unavailable(DriverError):
    """The world could not be reached or was too slow. Nothing may be concluded; try again later."""


class Throttled(Unavailable):
    """The world asks for fewer calls (HTTP 429). `retry_after_seconds` is for how long; None: it did not say."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Refused(DriverError):
    """The world said no, and will say no again until somebody changes something."""


class Conflict(DriverError):
    """Something that is not ours, or not the object we knew, stands where the object must go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """An accepted write: the uid of the object it concerned (empty when it is gone).

    `version` is the world's version that holds the write, for drivers whose `observe` may read a cache; 0 where
    every read is of the world itself.
    """

    uid: str = ""
    version: int = 0


class Driver(Protocol):
    """What the reconciler asks of the world.

    `cluster` is the one it serves; empty: it serves all (databases). `kinds` are the kinds of object it owns: no
    other driver has any of them. `units` are the classes of unit it translates: no other driver that serves the
    same cluster does.
    """

    cluster: str
    kinds: frozenset[Kind]
    units: frozenset[type[AnyUnit]]

    async def open(self) -> None:
        """Connect, and adopt whatever of ours already runs. Changes nothing. Raises Unavailable."""

    async def close(self) -> None:
        """Let go of everything this process holds. What runs, runs on."""

    def translate(self, unit: AnyUnit, site: Site) -> tuple[Object, ...]:
        """The objects of a unit. Pure: equal arguments, equal objects. Raises Refused for what cannot be."""

    async def observe(self, owner: Owner, wanted: frozenset[Ref], *, fresh: bool = False) -> Observed:
        """Everything of the owner's that exists, complete or marked blind. Modifies nothing. Raises Unavailable.

        `wanted` are places that objects will be put: what is not ours there is reported as foreign. `fresh`:
        read the world itself, not a cache; a driver without a cache always does.
        """

    async def apply(self, owner: Owner, action: Action) -> Applied:
        """Carry out one action. Idempotent; returns when accepted. Raises Unavailable, Refused, Conflict."""

    async def owners(self) -> frozenset[Owner]:
        """Every owner of whom anything of ours exists, so that orphans are found. Raises Unavailable."""

    def watch(self) -> AsyncIterator[Owner]:
        """Owners worth another look. Hints only: may be silent, may repeat. Ends only when closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What a cluster remembers of who keeps it: which installation, under which lease, and how far it was.

    `epoch` is of the lease, which only grows; `moment` the newest change that was acted upon. A state database
    that does not know that moment is not the one that acted: it was restored from a backup.
    """

    installation: str
    epoch: int
    moment: Moment


@runtime_checkable
class SupportsStamp(Protocol):
    """A driver whose cluster can remember a stamp."""

    async def read_stamp(self) -> Stamp | None:
        """What was written last; None when nobody ever kept this cluster. Raises Unavailable."""

    async def write_stamp(self, stamp: Stamp) -> None:
        """Remember it. Raises Unavailable."""


@runtime_checkable
class SupportsLogs(Protocol):
    """A driver that can show what processes printed."""

    def log_paths(self, release: str) -> dict[UnitName, Path]:
        """The newest log file of each unit of a release that has one, and of each replica, by `<unit>-<n>`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a unit uses of its cluster now.

    `cpu_seconds`: of what runs, and of what it started and outlived; only differences of it mean something.
    `memory_bytes`: what would be free without it, as far as the system tells.
    """

    processes: int
    cpu_seconds: float
    memory_bytes: int


@runtime_checkable
class SupportsUsage(Protocol):
    """A driver that can tell what its units use. Blocking, as it reads a whole machine: call it in a thread."""

    def usage(self, release: str) -> dict[UnitName, Usage]:
        """Of each unit of a release that runs."""

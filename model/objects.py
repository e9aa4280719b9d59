"""Objects: what a driver makes of a unit, what it saw, and what the inventory remembers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from model.names import Kind, Owner, Ref, UnitName
from model.units import Need


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """One thing in the world, as desired. One action writes one object.

    `digest` covers everything; `frozen_digest` covers what cannot be changed in place (a change means
    Replace). `body` is opaque to the core: only the driver that made it reads it. `irreplaceable`: it holds data
    that cannot be made again, so when it vanishes unasked a pass holds instead of making an empty one.
    """

    ref: Ref
    unit: UnitName
    digest: str
    frozen_digest: str = ""
    retain: bool = False
    irreplaceable: bool = False
    body: Any = None


class Health(StrEnum):
    """What a driver saw of an object's health. Existence alone (a file, a role) is `healthy`."""

    UNKNOWN = "unknown"  # not looked at yet, or could not be seen
    PROGRESSING = "progressing"  # starting, building, running a task
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"  # runs and does not answer as it should
    FAILED = "failed"  # a task ended with an error; a build failed
    DONE = "done"  # a task ended well
    STOPPED = "stopped"  # exists, nothing of it runs, and nothing should


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One difference between what was applied and what is there. `what` is a sentence for people."""

    what: str
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One object of ours, as just seen.

    `digest` is what the object itself says was last applied to it (None: it does not say); `frozen_digest`
    likewise. `running` counts processes that are still there. `detail` explains the health in a sentence
    and never holds a secret.
    """

    ref: Ref
    uid: str
    digest: str | None
    frozen_digest: str | None = None
    drift: tuple[Drift, ...] = ()
    health: Health = Health.HEALTHY
    running: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What one look at one owner's objects showed.

    `seen`: objects of ours. `foreign`: wanted places that something not ours stands in (an object of that
    name without our mark, a port somebody holds): ref → a sentence naming the holder. `blind`: kinds that
    could not be seen → why; nothing about them may be concluded. `as_of`: for each kind that a cache is kept
    of, the version of the world that was read, from the cache or from the world itself; kinds that are missing
    are always read from the world itself. Versions of one kind grow with time, until a world is restored from a
    backup.
    """

    seen: Mapping[Ref, Seen] = field(default_factory=dict)
    foreign: Mapping[Ref, str] = field(default_factory=dict)
    blind: Mapping[Kind, str] = field(default_factory=dict)
    as_of: Mapping[Kind, int] = field(default_factory=dict)


InventoryState = Literal["intended", "present", "stopped", "deleting", "gone"]
"""`stopped`: by us, for a task. That it does not run is then no drift."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An inventory row: an object we intended, made, or are deleting. Rows outlive their owner's row."""

    ref: Ref
    unit: UnitName
    digest: str
    needs: frozenset[Need] = frozenset()
    state: InventoryState = "intended"
    retain: bool = False
    uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The facts about one owner's place that `translate` needs. Pure data, equal for equal state.

    `root` is the folder (local) in which the owner's files live, `ports` maps `(unit, port name)` to the
    number leased for it, and `database` is `(host, port)` of the server that holds the owner's databases.
    """

    installation: str
    cluster: str
    owner: Owner
    release: str
    root: str
    ports: Mapping[tuple[UnitName, str], int] = field(default_factory=dict)
    database: tuple[str, int] = ("127.0.0.1", 5432)

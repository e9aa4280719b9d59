"""Plans: what a pass would do, as data. One action touches one object with one write."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from model.names import Ref, UnitName
from model.objects import Object
from model.units import Need


class Cause(StrEnum):
    """Why an action is taken. Every action has one."""

    GENERATION = "generation"  # somebody asked for it
    DRIFT = "drift"  # the world was changed behind our back
    RENDERER = "renderer"  # a new release of Armillary renders the same spec differently
    DEFAULTS = "defaults"  # an administrator changed the defaults
    ORPHAN = "orphan"  # its owner is gone
    RETRY = "retry"  # a task failed before


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What the three actions that leave an object as desired have in common."""

    object: Object
    cause: Cause
    why: str

    @property
    def ref(self) -> Ref:
        """The object acted on."""
        return self.object.ref

    @property
    def unit(self) -> UnitName:
        """The unit that the object is part of."""
        return self.object.unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Create(Change):
    """Make an object that is absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update(Change):
    """Change an object in place."""

    uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace(Change):
    """Remove an object and make it anew, because what differs cannot be changed in place."""

    uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Stop what runs of an object without changing what is desired of it (a task needs it stopped)."""

    ref: Ref
    unit: UnitName
    cause: Cause
    why: str
    uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Remove an object of ours, known by its uid. Gradual and repeatable."""

    ref: Ref
    unit: UnitName
    cause: Cause
    why: str
    uid: str = ""
    retain: bool = False


Action = Create | Update | Replace | Stop | Delete


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An object whose turn has not come, and why: the explanation people see.

    `action` is what will be done then; None while something already started (a task) has yet to end.
    `again_seconds`: when it is worth another look if no hint comes before.
    """

    ref: Ref
    unit: UnitName
    why: str
    action: Action | None = None
    unmet: tuple[Need, ...] = ()
    again_seconds: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Something that will not be done until a person or the world changes, and why."""

    ref: Ref
    unit: UnitName
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Something that holds data, is not used any more, and is left until a person says otherwise."""

    ref: Ref
    unit: UnitName
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Desired minus observed. Empty means converged.

    `kept` is what nobody desires any more and holds data: told, and in nobody's way.
    """

    now: tuple[Action, ...] = ()
    later: tuple[Waiting, ...] = ()
    held: tuple[Held, ...] = ()
    kept: tuple[Kept, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True when there is nothing to do, to wait for, or to hold."""
        return not (self.now or self.later or self.held)

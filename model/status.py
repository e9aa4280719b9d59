"""Status: what a pass concluded. Our half of a deployment, beside the user's spec."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from model.names import Owner, Ref, UnitName
from model.objects import Known
from model.plan import Cause

Truth = Literal["True", "False", "Unknown"]
ConditionType = Literal["Synced", "Ready"]


class Reason(StrEnum):
    """The machine's word for why a condition is as it is."""

    CONVERGED = "Converged"  # observed equals desired
    CONVERGING = "Converging"  # actions were taken; the next observation will tell
    WAITING = "Waiting"  # actions wait for something they need
    HELD = "Held"  # a person or the world must change first
    BLIND = "Blind"  # something could not be seen
    DRIVER_UNAVAILABLE = "DriverUnavailable"
    REFUSED = "Refused"  # the driver or the world said no
    INVALID_SPEC = "InvalidSpec"
    PAUSED = "Paused"
    STOPPED = "Stopped"  # nothing runs, as desired (hibernated, deleted within its grace)
    DELETING = "Deleting"
    HEALTHY = "Healthy"
    NOT_HEALTHY = "NotHealthy"
    TASK_FAILED = "TaskFailed"
    INTERNAL_ERROR = "InternalError"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One observation about an owner. `since` is when `status` last changed."""

    type: ConditionType
    status: Truth
    reason: Reason
    message: str
    since: datetime


UnitState = Literal["waiting", "held", "blind", "applying", "progressing", "ready", "failed", "stopped", "done"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitStatus:
    """How one unit is doing, for people: `detail` is a sentence and holds no secret."""

    unit: UnitName
    component: str
    state: UnitState
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened to an owner. `object` is empty when it concerns the whole owner."""

    reason: str
    message: str
    cause: Cause | None = None
    object: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Milestone:
    """What a task has achieved last, and what was begun since: done is a row.

    `key` is the newest achievement, empty for none: a schema that went from 1 to 2 and back is at 1, and no longer
    at 2. `begun` are the keys of what was started after it, written before it starts: until something is achieved
    again, nobody knows how far they came.
    """

    name: UnitName
    key: str = ""
    begun: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is stored about an owner between passes. Equal values are never written again.

    `converged_generation` and `converged_defaults`: of the last time that everything asked for was there (None,
    empty: never). While they are not today's, what differs was asked for. `rolling_since`: when the fleet gate
    let through a change that nobody asked for in particular, until the owner has converged and is Ready again.
    """

    observed_generation: int
    conditions: tuple[Condition, ...] = ()
    units: tuple[UnitStatus, ...] = ()
    attempts: int = 0  # failed passes since the last success or new generation
    next_attempt_at: datetime | None = None
    converged_generation: int | None = None
    converged_defaults: str = ""
    rolling_since: datetime | None = None

    def condition(self, kind: ConditionType) -> Condition | None:
        """The condition of that type, or None when it was never observed."""
        return next((one for one in self.conditions if one.type == kind), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one action of a plan."""

    ref: Ref
    uid: str = ""
    error: str = ""  # a sentence for people; empty means accepted
    retryable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Look at this key again at that time."""

    at: datetime
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Nothing to do until something changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Everything one pass wants written, in one transaction. Empty parts are not written."""

    owner: Owner
    epoch: int
    status: Status | None = None
    objects: tuple[Known, ...] = ()  # inventory rows to insert or replace
    forget: tuple[Ref, ...] = ()  # inventory rows that are gone
    milestones: tuple[Milestone, ...] = ()
    events: tuple[Event, ...] = ()
    remove_owner: bool = False  # a deleted owner that owns nothing any more

    @property
    def is_empty(self) -> bool:
        """True when nothing at all would be written."""
        return self.status is None and not (
            self.objects or self.forget or self.milestones or self.events or self.remove_owner
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What a pass found out: what to record, and when to look again."""

    record: Record
    verdict: Again | Done

"""What a pass found out: status, milestones, inventory, events, and when to look again. Pure.

`Synced=True` only from an observation with an empty plan, never because a write was accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from model.names import Ref
from model.objects import Health, Known, Object, Observed
from model.plan import Change, Delete, Plan, Replace, Update
from model.spec import Snapshot
from model.status import (
    Again,
    Conclusion,
    Condition,
    Done,
    Event,
    Milestone,
    Outcome,
    Record,
    Status,
)
from model.units import Task
from reconciler.backoff import backoff_seconds, is_due
from reconciler.judge import is_well, ready, synced, unit_statuses
from reconciler.needs import Desired, World, world_of
from reconciler.rails import UNASKED

LOOK_AGAIN_SECONDS = 5.0
"""How long to wait for a driver's hint while something is on its way. The hint is usually first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Everything a pass knows at its end: what was asked and known, planned, done, and seen."""

    before: Snapshot
    desired: Desired
    observed: Observed
    plan: Plan
    outcomes: tuple[Outcome, ...] = ()
    epoch: int = 0
    hold: str = ""  # why nothing at all may be changed now

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The actions that were not accepted."""
        return tuple(one for one in self.outcomes if one.error)

    @property
    def world(self) -> World:
        """The observation with what it is judged by."""
        return world_of(self.desired, self.observed, self.before.milestones, self.before.inventory)


def conclude(finding: Finding, *, now: datetime, fraction: float) -> Conclusion:
    """Judge a pass. `now` is the database's clock at the pass's start, `fraction` the jitter in [0, 1)."""
    status = _status(finding, now=now, fraction=fraction)
    achieved = tuple(_achieved(finding))
    objects = tuple(_inventory(finding))
    forget = tuple(_forgotten(finding))
    is_gone = _is_gone(finding, forget)
    if finding.before.spec is None and not (finding.before.inventory or finding.observed.seen):
        # nobody asked for it and nothing of it is known: a hint about somebody who never was, or is gone
        leaves = is_gone and finding.before.status is not None
        record = Record(owner=finding.before.owner, epoch=finding.epoch, remove_owner=leaves)
        return Conclusion(record=record, verdict=Done())
    record = Record(
        owner=finding.before.owner,
        epoch=finding.epoch,
        status=None if status == finding.before.status else status,
        objects=objects,
        forget=forget,
        milestones=achieved,
        events=tuple(_events(finding, status, achieved)),
        remove_owner=is_gone,
    )
    return Conclusion(record=record, verdict=_verdict(finding, record, status, now=now))


# --- status -----------------------------------------------------------------------------------------------


def _status(finding: Finding, *, now: datetime, fraction: float) -> Status:
    before = finding.before.status
    world = finding.world
    units = unit_statuses(world, finding.plan, finding.outcomes)
    attempts, next_attempt_at = _attempts(finding, now=now, fraction=fraction)
    fresh = (
        synced(finding.before, finding.plan, finding.observed, finding.failed, finding.hold),
        ready(world, units, finding.before.stage),
    )
    converged_generation, converged_defaults = _converged(finding, fresh[0])
    return Status(
        # a restored database may ask for an older generation: that is held, and what was seen stays seen
        observed_generation=max(finding.before.generation, before.observed_generation if before else 0),
        conditions=tuple(_since(one, before, now) for one in fresh),
        units=units,
        attempts=attempts,
        next_attempt_at=next_attempt_at,
        converged_generation=converged_generation,
        converged_defaults=converged_defaults,
        rolling_since=_rolling_since(finding, fresh, now),
    )


def _converged(finding: Finding, synced: Condition) -> tuple[int | None, str]:
    """The generation and the defaults that the world was last equal to."""
    before = finding.before
    if synced.status == "True":
        return before.generation, before.defaults
    return (before.status.converged_generation, before.status.converged_defaults) if before.status else (None, "")


def _rolling_since(finding: Finding, fresh: tuple[Condition, Condition], now: datetime) -> datetime | None:
    """When an unasked change began that the owner has not recovered from yet."""
    if is_well(*fresh):
        return None
    old = finding.before.status.rolling_since if finding.before.status is not None else None
    begins = any(one.cause in UNASKED for one in finding.plan.now)
    return old or (now if begins else None)


def _since(fresh: Condition, before: Status | None, now: datetime) -> Condition:
    old = before.condition(fresh.type) if before is not None else None
    return replace(fresh, since=old.since if old is not None and old.status == fresh.status else now)


def _attempts(finding: Finding, *, now: datetime, fraction: float) -> tuple[int, datetime | None]:
    """Failed passes since the last success, and when to try again. A new generation starts afresh."""
    before = finding.before.status
    old = before.attempts if before is not None else 0
    if before is not None and before.observed_generation != finding.before.generation:
        old = 0
    if finding.failed or _tried_again(finding):
        return old + 1, now + timedelta(seconds=backoff_seconds(old + 1, fraction))
    if finding.plan.is_empty:
        return 0, None
    planned = before.next_attempt_at if before is not None and old > 0 else None
    return old, None if is_due(planned, now) else planned


def _tried_again(finding: Finding) -> bool:
    """A task or build that had failed was started again: the next failure must wait longer."""
    return any(isinstance(one, Update | Replace) and one.cause == "retry" for one in finding.plan.now)


# --- milestones and inventory -----------------------------------------------------------------------------


def _achieved(finding: Finding) -> Iterator[Milestone]:
    """Tasks seen done at the digest that is desired now: another digest's success proves nothing."""
    tasks = {unit.name: unit for unit in finding.desired.units if isinstance(unit, Task)}
    for wanted in finding.desired.objects:
        task = tasks.get(wanted.unit)
        seen = finding.observed.seen.get(wanted.ref)
        if task is None or seen is None or seen.digest != wanted.digest or seen.health is not Health.DONE:
            continue
        milestone = Milestone(name=task.name, key=task.key)
        if milestone not in finding.before.milestones:
            yield milestone


def _inventory(finding: Finding) -> Iterator[Known]:
    """Rows that this pass changed: what was accepted, what is being deleted."""
    actions = {one.ref: one for one in finding.plan.now}
    rows = {row.ref: row for row in finding.before.inventory}
    for outcome in finding.outcomes:
        action = actions[outcome.ref]
        if outcome.error:
            continue
        if isinstance(action, Change):
            fresh = known_of(action.object, finding.desired, uid=outcome.uid)
            if fresh != rows.get(action.ref):
                yield fresh
        elif isinstance(action, Delete) and rows[action.ref].state != "deleting":
            yield replace(rows[action.ref], state="deleting")
    for wanted in finding.desired.objects:
        seen = finding.observed.seen.get(wanted.ref)
        if seen is None or seen.digest != wanted.digest or wanted.ref in actions:
            continue
        row = rows.get(wanted.ref)
        if row is not None and row.state == "stopped" and seen.drift:
            continue  # until it is started again, or somebody else starts it
        # also where the row tells of less: a write whose answer was lost, an object adopted or made anew by others
        fresh = known_of(wanted, finding.desired, uid=seen.uid)
        if fresh != row:
            yield fresh


def known_of(wanted: Object, desired: Desired, *, uid: str) -> Known:
    """The inventory row of an object that was accepted as desired."""
    needs = next(unit.needs for unit in desired.units if unit.name == wanted.unit)
    return Known(
        ref=wanted.ref,
        unit=wanted.unit,
        digest=wanted.digest,
        needs=needs,
        state="present",
        retain=wanted.retain,
        uid=uid,
    )


def _forgotten(finding: Finding) -> Iterator[Ref]:
    """Inventory rows of what nobody desires and a sighted observation did not show."""
    desired = {one.ref for one in finding.desired.objects}
    for row in finding.before.inventory:
        absent = row.ref not in finding.observed.seen and row.ref.kind not in finding.observed.blind
        if absent and (row.ref not in desired or row.state == "deleting"):
            yield row.ref


def _is_gone(finding: Finding, forget: Sequence[Ref]) -> bool:
    """An owner whose retention is over, or whose row is gone, that owns nothing any more, seen with open eyes."""
    return (
        (finding.before.stage == "purging" or finding.before.spec is None)
        and not finding.observed.seen
        and not finding.observed.blind
        and len(forget) == len(finding.before.inventory)
        and not finding.outcomes
    )


# --- events -----------------------------------------------------------------------------------------------

_DONE_WORDS = {
    "Create": "Created",
    "Update": "Updated",
    "Replace": "Replaced",
    "Stop": "Stopped",
    "Delete": "Deleted",
}


def _events(finding: Finding, status: Status, achieved: Sequence[Milestone]) -> Iterator[Event]:
    actions = {one.ref: one for one in finding.plan.now}
    for outcome in finding.outcomes:
        action = actions[outcome.ref]
        word = "ActionFailed" if outcome.error else _DONE_WORDS[type(action).__name__]
        message = f"{action.why}: {outcome.error}" if outcome.error else action.why
        yield Event(reason=word, message=message, cause=action.cause, object=str(action.ref))
    for milestone in achieved:
        yield Event(reason="Achieved", message=f"{milestone.key} is done", object=milestone.name)
    yield from _turns(finding.before.status, status)


def _turns(before: Status | None, after: Status) -> Iterator[Event]:
    """What a person would want to have been told: units newly held, and readiness won or lost."""
    old = {one.unit: one for one in before.units} if before is not None else {}
    for one in after.units:
        was = old.get(one.unit)
        newly_held = one.state == "held" and (was is None or was.state != "held" or was.detail != one.detail)
        if newly_held:
            yield Event(reason="Held", message=one.detail, object=one.unit)
    now_ready = after.condition("Ready")
    was_ready = before.condition("Ready") if before is not None else None
    if now_ready is not None and (was_ready is None or was_ready.status != now_ready.status):
        word = "Ready" if now_ready.status == "True" else "NotReady"
        if was_ready is not None or word == "Ready":
            yield Event(reason=word, message=now_ready.message)


# --- when to look again -----------------------------------------------------------------------------------


def _verdict(finding: Finding, record: Record, status: Status, *, now: datetime) -> Again | Done:
    soon = now + timedelta(seconds=LOOK_AGAIN_SECONDS)
    if record.remove_owner:
        return Done()
    if finding.failed and status.next_attempt_at is not None:
        return Again(at=status.next_attempt_at, why="an action failed")
    if record.milestones:
        return Again(at=now, why="a task was achieved")
    if status.next_attempt_at is not None and status.next_attempt_at > now and not finding.outcomes:
        return Again(at=status.next_attempt_at, why="the last attempt failed")
    waiting = finding.plan.later if finding.before.paused_until is None else ()
    if finding.outcomes or len(finding.plan.now) > len(finding.outcomes):
        return Again(at=soon, why="something is on its way")
    if waiting:
        seconds = min(one.again_seconds for one in waiting)
        return Again(at=now + timedelta(seconds=seconds), why="something is waited for")
    times = [at for at in (status.next_attempt_at, *_own_changes(finding.before)) if at and at > now]
    return Again(at=min(times), why="a time that was set") if times else Done()


def _own_changes(before: Snapshot) -> tuple[datetime | None, datetime | None]:
    """The times at which what is desired changes by itself."""
    return before.stage_ends_at, before.paused_until

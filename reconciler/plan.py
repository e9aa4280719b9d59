"""Desired minus observed: the plan of one pass. Pure.

The rules are those of docs/architecture.md. In short: a task is done iff its milestone is a row; needs gate
changes, never existence; an open task's need for something stopped stops it; drift at an accepted digest is
repaired at once; what is no longer desired is pruned last and from the inventory only; nothing is concluded
about a kind that could not be seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from model.names import Ref, UnitName
from model.objects import Health, Known, Object, Observed, Seen
from model.plan import Action, Cause, Change, Create, Delete, Held, Plan, Replace, Stop, Update, Waiting
from model.spec import Snapshot
from model.units import AnyUnit, Task
from reconciler.limits import Limits
from reconciler.needs import Desired, World, explain, is_met, unmet, world_of

Verdict = Action | Waiting | Held


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a plan depends on beside the two worlds.

    `new_generation`: the spec changed since the last pass that looked at it. `is_orphan`: the owner's row is
    gone. `may_retry`: the backoff after
    the last failure is over. `paused`: a sentence saying until when and why nothing may be changed, or empty.
    """

    new_generation: bool = False
    is_orphan: bool = False
    may_retry: bool = True
    paused: str = ""
    repair_drift: bool = True
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """The arguments of one plan, gathered once."""

    world: World
    known: Mapping[Ref, Known]
    circumstances: Circumstances
    stopping: frozenset[UnitName]


def plan(desired: Desired, observed: Observed, before: Snapshot, circumstances: Circumstances) -> Plan:
    """The actions that can be taken now, those that wait and for what, and those that are held and why."""
    world = world_of(desired, observed, before.milestones)
    stopping = _to_stop(desired.units, world)
    here = _Pass(
        world=world,
        known={row.ref: row for row in before.inventory},
        circumstances=circumstances,
        stopping=frozenset(stopping),
    )
    verdicts = [*_stops(stopping, here), *_changes(desired.objects, here), *_prunes(desired.objects, here)]
    return _gathered(verdicts, circumstances)


def _gathered(verdicts: Sequence[Verdict], circumstances: Circumstances) -> Plan:
    now = tuple(one for one in verdicts if not isinstance(one, Waiting | Held))
    later = tuple(one for one in verdicts if isinstance(one, Waiting))
    held = tuple(one for one in verdicts if isinstance(one, Held))
    if circumstances.paused:
        paused = tuple(_held(one, circumstances.paused) for one in now)
        return Plan(now=(), later=later, held=held + paused)
    return Plan(now=now[: circumstances.limits.writes_per_pass_max], later=later, held=held)


def _held(action: Action, why: str) -> Held:
    return Held(ref=action.ref, unit=action.unit, why=f"{why} Not done: {action.why}")


# --- rule 4: what an open task needs stopped --------------------------------------------------------------


def _to_stop(units: Sequence[AnyUnit], world: World) -> tuple[UnitName, ...]:
    """Units that open tasks need stopped, once everything else those tasks need is there.

    Waiting for the rest first keeps the old version running while, say, the new runtime is still being built.
    """
    wanted: list[UnitName] = []
    for task in units:
        if not isinstance(task, Task) or world.is_done(task):
            continue
        if all(is_met(need, world) for need in task.needs if need.state != "stopped"):
            wanted += [need.unit for need in sorted(task.needs) if need.state == "stopped"]
    return tuple(sorted(set(wanted), key=lambda unit: -_depth(unit, world, ())))


def _depth(unit: UnitName, world: World, above: tuple[UnitName, ...]) -> int:
    """How many needs lie under a unit: what depends on more is stopped first."""
    needs = world.units[unit].needs if unit in world.units and unit not in above else frozenset()
    return 1 + max((_depth(need.unit, world, (*above, unit)) for need in needs), default=0)


def _stops(stopping: Sequence[UnitName], here: _Pass) -> Iterator[Verdict]:
    for unit in stopping:
        for wanted in here.world.objects.get(unit, ()):
            seen = here.world.observed.seen.get(wanted.ref)
            if seen is not None and seen.running > 0 and wanted.ref.kind not in here.world.observed.blind:
                yield Stop(
                    ref=wanted.ref,
                    unit=unit,
                    cause=Cause.GENERATION,
                    why=f"{unit} must be stopped while a task runs",
                    uid=seen.uid,
                )


# --- rules 1, 3, 5, 7: what is desired --------------------------------------------------------------------


def _changes(objects: Sequence[Object], here: _Pass) -> Iterator[Verdict]:
    for wanted in objects:
        verdict = _change(wanted, here)
        if verdict is not None:
            yield verdict


def _change(wanted: Object, here: _Pass) -> Verdict | None:
    """What must become of one desired object; None when it is as it should be, or is not judged now."""
    observed = here.world.observed
    blocked = observed.blind.get(wanted.ref.kind) or observed.foreign.get(wanted.ref)
    if blocked:
        return Held(ref=wanted.ref, unit=wanted.unit, why=blocked)
    unit = here.world.units[wanted.unit]
    seen = observed.seen.get(wanted.ref)
    if isinstance(unit, Task):
        return None if here.world.is_done(unit) else _gated(_for_task(unit, wanted, seen, here), unit, here)
    verdict = _create(wanted, unit, here) if seen is None else _for_standing(wanted, unit, seen, here)
    return _suppressed(verdict) if wanted.unit in here.stopping else verdict


def _suppressed(verdict: Verdict | None) -> Verdict | None:
    """Rule 4: nothing is done to what a task needs stopped until the task is done."""
    if isinstance(verdict, Change):
        why = f"waits while a task needs {verdict.unit} stopped"
        return Waiting(ref=verdict.ref, unit=verdict.unit, action=verdict, why=why)
    return verdict


def _create(wanted: Object, unit: AnyUnit, here: _Pass) -> Verdict:
    known = here.known.get(wanted.ref)
    vanished = known is not None and known.state == "present" and known.digest == wanted.digest
    if vanished and wanted.irreplaceable:
        return Held(
            ref=wanted.ref,
            unit=wanted.unit,
            why=f"{wanted.ref} is gone though nobody asked, and it held data. Restore it from a backup, "
            "owned by the role that owned it; Armillary will not put an empty one in its place.",
        )
    if vanished:
        return _repair(
            Create(object=wanted, cause=Cause.DRIFT, why=f"{wanted.ref} is gone though nobody asked"), here
        )
    return _gated(Create(object=wanted, cause=Cause.GENERATION, why=f"{wanted.ref} is not there yet"), unit, here)


def _for_standing(wanted: Object, unit: AnyUnit, seen: Seen, here: _Pass) -> Verdict | None:
    if seen.digest != wanted.digest:
        return _gated(_changed(wanted, seen, _cause_of_difference(wanted, here)), unit, here)
    if seen.drift:
        why = "; ".join(one.what + (f" (by {one.by})" if one.by else "") for one in seen.drift)
        return _repair(Update(object=wanted, cause=Cause.DRIFT, why=why, uid=seen.uid), here)
    if seen.health is Health.FAILED:
        return _retried(Update(object=wanted, cause=Cause.RETRY, why=f"failed: {seen.detail}", uid=seen.uid), here)
    return None


def _changed(wanted: Object, seen: Seen, cause: Cause) -> Action:
    if seen.frozen_digest is not None and seen.frozen_digest != wanted.frozen_digest:
        why = f"{wanted.ref} differs in what cannot be changed in place"
        return Replace(object=wanted, cause=cause, why=why, uid=seen.uid)
    return Update(object=wanted, cause=cause, why=f"{wanted.ref} differs from what is asked", uid=seen.uid)


def _for_task(task: Task, wanted: Object, seen: Seen | None, here: _Pass) -> Verdict:
    if seen is None:
        return Create(object=wanted, cause=Cause.GENERATION, why=f"{task.key} is not achieved yet")
    if seen.digest != wanted.digest:
        why = f"{task.key} is not achieved yet; an earlier task stands in its place"
        return Replace(object=wanted, cause=Cause.GENERATION, why=why, uid=seen.uid)
    if seen.health is Health.FAILED:
        return _retried(
            Replace(object=wanted, cause=Cause.RETRY, why=f"failed: {seen.detail}", uid=seen.uid), here
        )
    return Waiting(ref=wanted.ref, unit=wanted.unit, why=f"{task.key} is on its way")


def _gated(verdict: Verdict, unit: AnyUnit, here: _Pass) -> Verdict:
    """The action, or its waiting when something that the unit needs does not hold."""
    if isinstance(verdict, Waiting | Held):
        return verdict
    missing = unmet(unit, here.world)
    if not missing:
        return verdict
    why = "waits for " + " and ".join(explain(need, here.world) for need in missing)
    return Waiting(ref=verdict.ref, unit=unit.name, action=verdict, unmet=missing, why=why)


def _repair(action: Create | Update, here: _Pass) -> Verdict:
    """Rule 5: drift is repaired whatever the needs, unless the policy is to report it only."""
    if here.circumstances.repair_drift:
        return action
    why = f"drift is reported, not repaired (drift_policy = report): {action.why}"
    return Held(ref=action.ref, unit=action.unit, why=why)


def _retried(action: Update | Replace, here: _Pass) -> Verdict:
    if here.circumstances.may_retry:
        return action
    return Held(ref=action.ref, unit=action.unit, why=f"{action.why}; it is tried again after a pause")


def _cause_of_difference(wanted: Object, here: _Pass) -> Cause:
    """Somebody's change, a change behind our back, or a new release that renders the spec differently."""
    known = here.known.get(wanted.ref)
    if known is not None and known.state == "present" and known.digest == wanted.digest:
        return Cause.DRIFT
    return Cause.GENERATION if here.circumstances.new_generation else Cause.RENDERER


# --- rule 6: what is no longer desired --------------------------------------------------------------------


def _prunes(objects: Sequence[Object], here: _Pass) -> Iterator[Verdict]:
    """Deletes of what the inventory knows and nobody desires; what it does not know is only reported."""
    desired = {one.ref for one in objects}
    observed = here.world.observed
    for ref in sorted(here.known.keys() | observed.seen.keys()):
        if ref in desired or ref.kind in observed.blind:
            continue
        row, seen = here.known.get(ref), observed.seen.get(ref)
        if row is None and seen is not None:
            yield Held(ref=ref, unit="", why=f"{ref} carries our mark and is in no inventory; it is left alone")
        elif row is not None and seen is not None:
            yield _pruned(row, seen, here)


def _pruned(row: Known, seen: Seen, here: _Pass) -> Verdict:
    if here.circumstances.is_orphan and row.retain:
        # a deletion that was asked for ends with the inventory empty: this row's owner vanished unexplained
        why = f"{row.ref} holds data, and the row of its deployment is gone though nobody asked; it is kept"
        return Held(ref=row.ref, unit=row.unit, why=why)
    delete = Delete(
        ref=row.ref,
        unit=row.unit,
        cause=Cause.ORPHAN if here.circumstances.is_orphan else Cause.GENERATION,
        why=f"{row.ref} is no longer desired",
        uid=seen.uid,
        retain=row.retain,
    )
    dependants = _dependants(row, here)
    if not dependants:
        return delete
    names = ", ".join(str(ref) for ref in dependants)
    return Waiting(
        ref=row.ref, unit=row.unit, action=delete, why=f"waits until {names} no longer needs {row.unit}"
    )


def _dependants(row: Known, here: _Pass) -> tuple[Ref, ...]:
    """Live objects whose recorded needs point at this object's unit. What is stopped needs nothing."""
    return tuple(
        sorted(
            other.ref
            for other in here.known.values()
            if other.unit != row.unit
            and _is_live(here.world.observed.seen.get(other.ref))
            and any(need.unit == row.unit and need.state != "stopped" for need in other.needs)
        )
    )


def _is_live(seen: Seen | None) -> bool:
    return seen is not None and not (seen.health is Health.STOPPED and seen.running == 0)

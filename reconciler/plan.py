"""Desired minus observed: the plan of one pass. Pure.

The rules are those of docs/architecture.md. In short: a task is done iff its milestone is a row; needs gate
changes, never existence; an open task's need for something stopped stops it; drift at an accepted digest is
repaired at once; what is no longer desired is pruned last (prune.py); nothing is concluded about a kind that
could not be seen. What the rules ask for then passes the rails (rails.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from model.names import Ref, UnitName
from model.objects import Health, Known, Object, Observed, Seen
from model.plan import Action, Cause, Change, Create, Delete, Held, Kept, Plan, Replace, Stop, Update, Waiting
from model.spec import Snapshot
from model.units import AnyUnit, Task
from reconciler.circumstances import Circumstances
from reconciler.needs import Desired, World, explain, is_met, unmet, world_of
from reconciler.prune import Inventory, prunes
from reconciler.rails import Verdict, admitted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """The arguments of one plan, gathered once."""

    world: World
    known: Mapping[Ref, Known]
    circumstances: Circumstances
    stopping: frozenset[UnitName]


def plan(desired: Desired, observed: Observed, before: Snapshot, circumstances: Circumstances) -> Plan:
    """The actions that can be taken now, those that wait and for what, and those that are held and why."""
    world = world_of(
        desired,
        observed,
        before.milestones,
        before.inventory,
        accepts_drift=not circumstances.repair_drift,
    )
    known = {row.ref: row for row in before.inventory}
    stopping = _to_stop(desired, known, world)
    here = _Pass(world=world, known=known, circumstances=circumstances, stopping=frozenset(stopping))
    stops, changes = tuple(_stops(stopping, here)), tuple(_changes(desired.objects, here))
    inventory = Inventory(
        known=known,
        desired=frozenset(one.ref for one in desired.objects),
        world=world,
        circumstances=circumstances,
        stopping=frozenset(one.ref for one in stops),
        wait=_unfinished(changes),
    )
    return admitted([*stops, *changes, *prunes(inventory)], circumstances)


def _unfinished(changes: Sequence[Verdict]) -> str:
    """Why nothing is pruned yet: what stands and is to be changed must not lose what it still works with."""
    for one in changes:
        if isinstance(one, Waiting) and isinstance(one.action, Update | Replace):
            return f"waits until {one.ref} has been changed"
    return ""


def is_destructive(plan: Plan, desired: Desired) -> bool:
    """True when a plan takes something away, or starts a task: neither can be taken back."""
    tasks = {unit.name for unit in desired.units if isinstance(unit, Task)}
    return any(isinstance(one, Delete | Replace | Stop) or one.unit in tasks for one in plan.now)


# --- rule 4: what an open task needs stopped --------------------------------------------------------------


def _to_stop(desired: Desired, known: Mapping[Ref, Known], world: World) -> tuple[UnitName, ...]:
    """Units that tasks need stopped: those of tasks that run, and of open ones once all else they need is there.

    Waiting for the rest first keeps the old version running while, say, the new runtime is still being built. A
    task that runs keeps what it needs stopped, also when nobody wants it any more.
    """
    wanted: set[UnitName] = set()
    for task in desired.units:
        if not isinstance(task, Task) or world.is_done(task) or _has_ended_well(task, world):
            continue
        if all(is_met(need, world) for need in task.needs if need.state != "stopped"):
            wanted |= {need.unit for need in task.needs if need.state == "stopped"}
    for row in known.values():
        if is_running(row.ref, world.observed):
            wanted |= {need.unit for need in row.needs if need.state == "stopped"}
    return tuple(sorted(wanted, key=lambda unit: (-_depth(unit, world, ()), unit)))


def _has_ended_well(task: Task, world: World) -> bool:
    """A task that is about to be recorded as done, such as one that an adopted world shows."""
    objects = world.objects.get(task.name, ())
    looks = [(one, world.observed.seen.get(one.ref)) for one in objects]
    return bool(looks) and all(
        seen is not None and seen.digest == one.digest and seen.health is Health.DONE for one, seen in looks
    )


def is_running(ref: Ref, observed: Observed) -> bool:
    """True when something of an object was seen to run."""
    seen = observed.seen.get(ref)
    return seen is not None and seen.running > 0


def _depth(unit: UnitName, world: World, above: tuple[UnitName, ...]) -> int:
    """How many needs lie under a unit: what depends on more is stopped first."""
    needs = world.units[unit].needs if unit in world.units and unit not in above else frozenset()
    return 1 + max((_depth(need.unit, world, (*above, unit)) for need in needs), default=0)


def _stops(stopping: Sequence[UnitName], here: _Pass) -> Iterator[Verdict]:
    for unit in stopping:
        for ref in here.world.places(unit):
            seen = here.world.observed.seen.get(ref)
            if seen is not None and seen.running > 0 and ref.kind not in here.world.observed.blind:
                yield Stop(
                    ref=ref,
                    unit=unit,
                    cause=here.circumstances.asked,
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
    if seen is None and here.circumstances.stage != "active" and not _has_vanished(wanted, here):
        return None  # what was never made, or is deleted already, is not made for a deletion
    verdict = _create(wanted, unit, here) if seen is None else _for_standing(wanted, unit, seen, here)
    return _suppressed(verdict) if wanted.unit in here.stopping else verdict


def _suppressed(verdict: Verdict | None) -> Verdict | None:
    """Rule 4: nothing is done to what a task needs stopped until the task is done."""
    if isinstance(verdict, Change):
        why = f"waits while a task needs {verdict.unit} stopped"
        return Waiting(ref=verdict.ref, unit=verdict.unit, action=verdict, why=why)
    return verdict


def _has_vanished(wanted: Object, here: _Pass) -> bool:
    """Whether an absent object was there, as it is wanted, when last seen."""
    known = here.known.get(wanted.ref)
    return known is not None and known.state == "present" and known.digest == wanted.digest


def _create(wanted: Object, unit: AnyUnit, here: _Pass) -> Verdict:
    vanished = _has_vanished(wanted, here)
    if vanished and wanted.irreplaceable and "data" not in here.circumstances.approved:
        return Held(
            ref=wanted.ref,
            unit=wanted.unit,
            why=f"{wanted.ref} is gone though nobody asked, and it held data. Restore it from a backup, "
            "owned by the role that owned it; or have an empty one made with: "
            "SELECT armillary.approve('<workspace>/<deployment>', 'data').",
        )
    if vanished:
        return _repair(
            Create(object=wanted, cause=Cause.DRIFT, why=f"{wanted.ref} is gone though nobody asked"), here
        )
    create = Create(object=wanted, cause=here.circumstances.asked, why=f"{wanted.ref} is not there yet")
    return _gated(create, unit, here)


def _for_standing(wanted: Object, unit: AnyUnit, seen: Seen, here: _Pass) -> Verdict | None:
    if seen.digest != wanted.digest:
        return _for_another(wanted, unit, seen, here)
    row = here.known.get(wanted.ref)
    if row is not None and row.state == "stopped" and seen.drift:
        why = f"{wanted.ref} was stopped for a task, and may run again"
        return _gated(Update(object=wanted, cause=here.circumstances.asked, why=why, uid=seen.uid), unit, here)
    if seen.drift:
        why = "; ".join(one.what + (f" (by {one.by})" if one.by else "") for one in seen.drift)
        if row is not None and row.state == "present" and row.digest != wanted.digest:
            # We made something newer of it since: what is seen may be of before that, and is no drift.
            return _gated(Update(object=wanted, cause=here.circumstances.asked, why=why, uid=seen.uid), unit, here)
        return _repair(Update(object=wanted, cause=Cause.DRIFT, why=why, uid=seen.uid), here)
    if seen.health is Health.FAILED:
        return _retried(Update(object=wanted, cause=Cause.RETRY, why=f"failed: {seen.detail}", uid=seen.uid), here)
    return None


def _for_another(wanted: Object, unit: AnyUnit, seen: Seen, here: _Pass) -> Verdict:
    """Something of ours stands there as it is not asked for: somebody's wish, or a change behind our back."""
    action = _changed(wanted, seen, _cause_of_difference(wanted, here))
    if action.cause is Cause.DRIFT and not here.circumstances.repair_drift:
        return _reported(action)
    return _gated(action, unit, here)


def _changed(wanted: Object, seen: Seen, cause: Cause) -> Action:
    if seen.frozen_digest is not None and seen.frozen_digest != wanted.frozen_digest:
        why = f"{wanted.ref} differs in what cannot be changed in place"
        return Replace(object=wanted, cause=cause, why=why, uid=seen.uid)
    return Update(object=wanted, cause=cause, why=f"{wanted.ref} differs from what is asked", uid=seen.uid)


def _for_task(task: Task, wanted: Object, seen: Seen | None, here: _Pass) -> Verdict:
    if seen is None:
        return Create(object=wanted, cause=here.circumstances.asked, why=f"{task.key} is not achieved yet")
    if seen.running and seen.digest not in (wanted.digest, None):  # None: its making was cut off
        why = f"{task.key} waits until an earlier task has ended, which must not be cut off in the middle"
        return Waiting(ref=wanted.ref, unit=wanted.unit, why=why)
    if seen.digest != wanted.digest:
        why = f"{task.key} is not achieved yet; an earlier task stands in its place"
        return Replace(object=wanted, cause=here.circumstances.asked, why=why, uid=seen.uid)
    if seen.health is Health.FAILED:
        return _retried(
            Replace(object=wanted, cause=Cause.RETRY, why=f"failed: {seen.detail}", uid=seen.uid), here
        )
    return Waiting(ref=wanted.ref, unit=wanted.unit, why=f"{task.key} is on its way")


def _gated(verdict: Verdict, unit: AnyUnit, here: _Pass) -> Verdict:
    """The action, or its waiting when something that the unit needs does not hold."""
    if isinstance(verdict, Waiting | Held | Kept):
        return verdict
    missing = unmet(unit, here.world)
    if not missing:
        return verdict
    why = "waits for " + " and ".join(explain(need, here.world) for need in missing)
    return Waiting(ref=verdict.ref, unit=unit.name, action=verdict, unmet=missing, why=why)


def _repair(action: Create | Update, here: _Pass) -> Verdict:
    """Rule 5: drift is repaired whatever the needs, unless the policy is to report it only."""
    return action if here.circumstances.repair_drift else _reported(action)


def _reported(action: Action) -> Held:
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
    return here.circumstances.asked

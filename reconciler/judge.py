"""Conditions and unit states from an observation and its plan. Pure. The words people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from model.names import Ref, UnitName
from model.objects import Health, Observed, Seen
from model.plan import Change, Plan
from model.spec import Snapshot, Stage
from model.status import Condition, Outcome, Reason, Truth, UnitState, UnitStatus
from model.units import AnyUnit, Process, Task
from reconciler.circumstances import went_back
from reconciler.needs import World

_UNSET = datetime.min.replace(tzinfo=UTC)  # `conclude` puts the real time of the last change in its place

_STATE_OF: dict[Health, UnitState] = {
    Health.UNKNOWN: "progressing",
    Health.PROGRESSING: "progressing",
    Health.HEALTHY: "ready",
    Health.UNHEALTHY: "progressing",
    Health.FAILED: "failed",
    Health.DONE: "done",
    Health.STOPPED: "stopped",
}
_WORST_FIRST: tuple[UnitState, ...] = (
    "blind",
    "held",
    "failed",
    "applying",
    "waiting",
    "progressing",
    "stopped",
    "done",
    "ready",
)


def synced(
    before: Snapshot, plan: Plan, observed: Observed, failed: Sequence[Outcome], hold: str = ""
) -> Condition:
    """Whether what was seen equals what is asked. Its message names the first thing in the way."""
    if hold:
        return _synced("Unknown", Reason.HELD, hold)
    if before.paused_until is not None:
        why = f"paused until {before.paused_until.isoformat()}: {before.pause_reason}"
        return _synced("Unknown", Reason.PAUSED, why)
    if observed.blind:
        return _synced("Unknown", Reason.BLIND, "; ".join(sorted(set(observed.blind.values()))))
    if failed:
        reason = Reason.DRIVER_UNAVAILABLE if failed[0].retryable else Reason.REFUSED
        return _synced("False", reason, f"{failed[0].ref}: {failed[0].error}")
    if plan.held:
        return _synced("False", Reason.HELD, plan.held[0].why)
    if plan.now:
        return _synced("False", Reason.CONVERGING, f"{len(plan.now)} changes under way: {plan.now[0].why}")
    if plan.later:
        return _synced("False", Reason.WAITING, f"{plan.later[0].ref}: {plan.later[0].why}")
    return _at_rest(before, plan)


def _at_rest(before: Snapshot, plan: Plan) -> Condition:
    """Nothing is to be done. That is not all: a database that went back asks for what nobody may want any more."""
    if before.stage in ("retaining", "purging"):
        return _synced("True", Reason.DELETING, "what was to be removed is removed")
    if older := went_back(before):
        return _synced("False", Reason.HELD, older)
    message = f"all that generation {before.generation} asks for is there"
    return _synced("True", Reason.CONVERGED, "; ".join([message, *(one.why for one in plan.kept)]))


def _synced(status: Truth, reason: Reason, message: str) -> Condition:
    return Condition(type="Synced", status=status, reason=reason, message=message, since=_UNSET)


def ready(world: World, units: Sequence[UnitStatus], stage: Stage = "active") -> Condition:
    """Whether the thing works: every unit healthy, every task done.

    What waits or is held while it is well is a matter of Synced: a fleet whose rollout waits its turn works.
    """
    units = tuple(replace(one, state="ready") if _works_meanwhile(one, world) else one for one in units)
    for one in units:
        if one.state == "failed":
            return _ready("False", _reason_of(one, world), f"{one.unit}: {one.detail}")
    behind = [one for one in units if one.state not in ("ready", "done", "stopped")]
    if behind:
        reason = Reason.BLIND if behind[0].state == "blind" else Reason.NOT_HEALTHY
        truth: Truth = "Unknown" if behind[0].state == "blind" else "False"
        return _ready(truth, reason, f"{behind[0].unit}: {behind[0].detail or behind[0].state}")
    if (
        stage in ("retaining", "purging")
        or not units
        or (any(one.state == "stopped" for one in units) and not _runs(units, world))
    ):
        return _ready("False", Reason.STOPPED, "nothing runs, as asked")
    return _ready("True", Reason.HEALTHY, "everything that should run is healthy")


def _works_meanwhile(one: UnitStatus, world: World) -> bool:
    """True for a unit that is to be changed some time, and that nothing is wrong with until then."""
    unit = world.units.get(one.unit)
    if one.state not in ("waiting", "held") or unit is None or isinstance(unit, Task):
        return False
    seen = tuple(world.seen(one.unit))
    return bool(seen) and all(look is not None and look.health is Health.HEALTHY for look in seen)


def _runs(units: Sequence[UnitStatus], world: World) -> bool:
    """True when some process runs: one component scaled to 0 does not make the whole unready."""
    return any(one.state == "ready" and isinstance(world.units.get(one.unit), Process) for one in units)


def _reason_of(one: UnitStatus, world: World) -> Reason:
    return Reason.TASK_FAILED if isinstance(world.units.get(one.unit), Task) else Reason.NOT_HEALTHY


def is_well(synced: Condition | None, ready: Condition | None) -> bool:
    """True when all that is asked for is known to be there, and runs, or is at rest as asked."""
    if synced is None or ready is None:
        return False
    return synced.status == "True" and (ready.status == "True" or ready.reason is Reason.STOPPED)


def _ready(status: Truth, reason: Reason, message: str) -> Condition:
    return Condition(type="Ready", status=status, reason=reason, message=message, since=_UNSET)


def unit_statuses(world: World, plan: Plan, outcomes: Sequence[Outcome]) -> tuple[UnitStatus, ...]:
    """One line a unit, in the order of creation: the worst of its objects speaks for it."""
    planned = _planned(plan, {one.ref: one.error for one in outcomes if one.error})
    lines = []
    for unit in world.units.values():
        states = [*_blind(unit.name, world), *planned.get(unit.name, ()), *_seen(unit, world)]
        state, detail = min(states, key=_badness)
        lines.append(UnitStatus(unit=unit.name, component=unit.component, state=state, detail=detail))
    return tuple(lines)


Line = tuple[UnitState, str]


def _badness(line: Line) -> int:
    return _WORST_FIRST.index(line[0])


def _blind(unit: UnitName, world: World) -> list[Line]:
    blind = world.observed.blind
    return [("blind", blind[one.ref.kind]) for one in world.objects.get(unit, ()) if one.ref.kind in blind]


def _planned(plan: Plan, failed: Mapping[Ref, str]) -> dict[UnitName, list[Line]]:
    """What a plan and its outcomes say of each unit. Of equally bad lines the first counts."""
    lines: dict[UnitName, list[Line]] = {}
    for held in plan.held:
        lines.setdefault(held.unit, []).append(("held", held.why))
    for waiting in plan.later:
        if waiting.action:
            lines.setdefault(waiting.unit, []).append(("waiting", waiting.why))
    for action in plan.now:
        if isinstance(action, Change):
            error = failed.get(action.ref)
            line: Line = ("applying", action.why) if error is None else ("failed", error)
            lines.setdefault(action.unit, []).append(line)
    return lines


def _seen(unit: AnyUnit, world: World) -> list[Line]:
    if isinstance(unit, Task) and world.is_done(unit):
        return [("done", "")]
    return [_line(seen) for seen in world.seen(unit.name)] or [("ready", "")]


def _line(seen: Seen | None) -> Line:
    return ("waiting", "") if seen is None else (_STATE_OF[seen.health], seen.detail)

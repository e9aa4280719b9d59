"""The invariant SWITCH: the new comes before the old goes (an executor's parts, a place), and no task is cut off.

Judged by the world's effects. What changed a moment ago, by other hands than ours, nobody could have seen: it is
held against nobody.
"""

from __future__ import annotations

from drivers.simulation.thing import Thing
from drivers.simulation.world import Write
from model.names import Ref, UnitName
from model.objects import Object
from model.plan import Action, Cause, Change, Delete
from model.spec import Snapshot
from reconciler.components.airflow import SCHEDULER

from .catalogs import BROKER, NEEDED, PARTS, WORKER
from .checkers import Checkers, Observer
from .truth import INSTALLATION, Truth, unit_of

_PASS_SECONDS = 90.0
"""A look may be so old when the last write of its pass is made."""
_ASKED = (Cause.GENERATION, Cause.RENDERER, Cause.DEFAULTS)
_OF_EXECUTORS = frozenset(unit for parts in PARTS.values() for unit in parts)


class Switches(Observer):
    """Watches deletes of executors' parts, and changes of schedulers."""

    def __init__(self, checkers: Checkers, truth: Truth) -> None:
        self._checkers = checkers
        self._truth = truth

    def wrote(self, write: Write) -> None:
        """An effect on anything of a deployment that is to be."""
        unit = unit_of(write.ref)
        action, snapshot = self._checkers.action_of(write)
        if snapshot.spec is None or snapshot.stage != "active":
            return
        if isinstance(action, Delete):
            self._check_moved(action, snapshot)
        if unit == SCHEDULER:
            self._check_needed(action, snapshot)
        elif isinstance(action, Delete) and unit not in PARTS[snapshot.spec.executor]:
            self._check_gone(action, snapshot)

    def _check_needed(self, action: Action, snapshot: Snapshot) -> None:
        """A scheduler is told of an executor whose parts are there."""
        if snapshot.spec is None or not isinstance(action, Change) or action.cause not in _ASKED:
            return
        for unit in sorted(NEEDED[snapshot.spec.executor]):
            wanted = self._wanted(unit, snapshot)
            if action.object.body.replicas and wanted is not None and self._is_steadily_missing(wanted):
                told = f"{action.ref} is changed to {snapshot.spec.executor}, and {wanted.ref} is not there"
                self._checkers.violated("SWITCH", told)

    def _check_moved(self, action: Delete, snapshot: Snapshot) -> None:
        """What is made in another place is ready there before the old one goes."""
        wanted = self._wanted(unit_of(action.ref), snapshot)
        if wanted is not None and wanted.ref != action.ref and wanted.body.is_process:
            self._checkers.counts["moved"] += 1
            if not self._was_ready(wanted):
                self._checkers.violated("SWITCH", f"{action.ref} goes, and {wanted.ref} was never ready")

    def _was_ready(self, wanted: Object) -> bool:
        """Whether it was, at any moment that a pass could have seen."""
        world, now = self._truth.world_of(wanted.ref), self._checkers.now
        changes = world._register.since(now - _PASS_SECONDS)
        past = [(one.before, one.at) for one in changes if one.ref == wanted.ref]
        return any(
            one is not None and one.digest == wanted.digest and _is_ready(one, at)
            for one, at in [(world.standing(wanted.ref), now), *past]
        )

    def _check_gone(self, action: Delete, snapshot: Snapshot) -> None:
        """What an executor had goes when nothing works with it any more."""
        self._checkers.counts["parts of executors gone"] += 1
        scheduler = self._wanted(SCHEDULER, snapshot)
        thing = self._ours(scheduler.ref, snapshot) if scheduler is not None else None
        if scheduler is not None and thing is not None and self._works_as_before(thing, scheduler):
            self._checkers.violated("SWITCH", f"{action.ref} goes, and {thing.ref} has not been changed yet")
        if unit_of(action.ref) == BROKER:
            worker = Ref(action.ref.kind, action.ref.name.removesuffix(BROKER) + WORKER)
            if self._ours(worker, snapshot) is not None and self._runs_steadily(worker):
                self._checkers.violated("SWITCH", f"{action.ref} goes while {worker} runs")

    def _wanted(self, unit: UnitName, snapshot: Snapshot) -> Object | None:
        return next((one for one in self._truth.desired(snapshot) if one.unit == unit), None)

    def _ours(self, ref: Ref, snapshot: Snapshot) -> Thing | None:
        thing = self._truth.world_of(ref).standing(ref)
        return thing if thing is not None and thing.claim == (INSTALLATION, str(snapshot.owner)) else None

    def _works_as_before(self, thing: Thing, wanted: Object) -> bool:
        """Whether something runs, and is not what it should be, for longer than a pass."""
        is_at_work = thing.replicas > 0 and thing.stopped_at is None and not thing.is_killed
        return is_at_work and thing.digest != wanted.digest and not self._is_young(thing.ref)

    def _is_steadily_missing(self, wanted: Object) -> bool:
        return self._truth.world_of(wanted.ref).standing(wanted.ref) is None and not self._is_young(wanted.ref)

    def _runs_steadily(self, ref: Ref) -> bool:
        """Whether something of it ran all the time that a pass takes."""
        return self._truth.runs_since(ref, self._checkers.now - _PASS_SECONDS)

    def _is_young(self, ref: Ref) -> bool:
        return self._truth.is_young(ref, self._checkers.now - _PASS_SECONDS)


def _is_ready(thing: Thing, at: float) -> bool:
    return thing.replicas == 0 or max(thing.ready_at, thing.crashes_until) <= at

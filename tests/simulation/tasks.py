"""The invariant S2 of tasks: none begins beside what must be stopped for it, and none is cut off while it runs.
None counts as achieved when another was begun after it.

Judged by the effects on the world; what must be stopped is what the rendered task says. What other hands changed a
moment ago nobody could have seen: it is held against nobody.
"""

from __future__ import annotations

from drivers.simulation.thing import see
from drivers.simulation.world import Write
from model.names import Owner, Ref, UnitName
from model.spec import Snapshot
from model.status import Milestone, Reason, Record
from model.units import Task

from .checkers import Checkers, Observer
from .rows import Row
from .truth import Truth, unit_of

_PASS_SECONDS = 90.0
"""A look may be so old when the last write of its pass is made."""


class Tasks(Observer):
    """Watches what is done to tasks."""

    def __init__(self, checkers: Checkers, truth: Truth) -> None:
        self._checkers = checkers
        self._truth = truth
        self._begun: dict[tuple[Owner, UnitName], tuple[str, float]] = {}

    def wrote(self, write: Write) -> None:
        """An effect on a task."""
        _, snapshot = self._checkers.action_of(write)
        task = self._task(write.ref, snapshot)
        if task is not None and write.verb in ("create", "replace"):
            self._check_alone(write.ref, task, snapshot)
            was_loaded_before = snapshot.now < self._checkers.restored_at
            at = float("-inf") if was_loaded_before else self._checkers.now
            self._begun[snapshot.owner, task.name] = (task.key, at)
        if write.verb in ("replace", "delete") and _works_alone(write.ref, snapshot):
            self._check_ended(write)

    def committed(self, before: Row | None, after: Row | None, record: Record | None) -> None:
        """A daemon says that all is there: what is called achieved is what was begun last."""
        status = after.status if record is not None and after is not None else None
        if after is None or status is None or status.observed_generation != after.generation:
            return
        synced = status.condition("Synced")
        if synced is not None and synced.reason is Reason.CONVERGED:
            self._check_last(after)

    def _check_last(self, row: Row) -> None:
        for task in self._truth.tasks(row):
            begun, at = self._begun.get((row.owner, task.name), (task.key, 0.0))
            is_known = at > self._checkers.upheaval_at  # a restored database may not know of it
            if is_known and begun != task.key and Milestone(name=task.name, key=task.key) in row.milestones:
                told = f"{task.key} of {row.owner} is called achieved, and {begun} was begun after it"
                self._checkers.violated("S2", told)

    def _task(self, ref: Ref, snapshot: Snapshot) -> Task | None:
        units = self._truth.rendered(snapshot).units
        return next((one for one in units if isinstance(one, Task) and one.name == unit_of(ref)), None)

    def _check_alone(self, ref: Ref, task: Task, snapshot: Snapshot) -> None:
        self._checkers.counts["tasks begun"] += 1
        stopped = {need.unit for need in task.needs if need.state == "stopped"}
        for wanted in self._truth.desired(snapshot):
            if wanted.unit in stopped and self._runs_steadily(wanted.ref):
                self._checkers.violated("S2", f"{ref} begins, and {wanted.ref} runs beside it")

    def _runs_steadily(self, ref: Ref) -> bool:
        return self._truth.runs_since(ref, self._checkers.now - _PASS_SECONDS)

    def _check_ended(self, write: Write) -> None:
        """What ran, whole, until just now."""
        restored_at = self._truth.world_of(write.ref).reset_at  # its making may be what a restored cluster shows
        change = self._truth.last_whole(write.ref, since=max(self._checkers.now - _PASS_SECONDS, restored_at))
        before = change.before if change is not None else None
        if before is not None and before.life == "task" and see(before, change.at).running:
            self._checkers.violated("S2", f"{write.ref} is cut off while it runs ({write.verb})")


def _works_alone(ref: Ref, snapshot: Snapshot) -> bool:
    """Whether a task was begun that needs others stopped: one that fills an empty database may be begun again."""
    needs = [need for one in snapshot.inventory if one.ref == ref for need in one.needs]
    return any(need.state == "stopped" for need in needs)

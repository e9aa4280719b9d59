"""Bugs of order: tasks, needs, stops, and what must be written down before it is done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from model.objects import Health
from model.status import Milestone
from model.units import Task

from .patching import Mutant, around, instead


def _exists(right: Any, self: Any, task: Any) -> bool:
    return right(self, task) or any(seen is not None for seen in self.seen(task.name))


def _any_digest(right: Any, finding: Any) -> Any:
    tasks = {unit.name: unit for unit in finding.desired.units if isinstance(unit, Task)}
    for wanted in finding.desired.objects:
        task, seen = tasks.get(wanted.unit), finding.observed.seen.get(wanted.ref)
        if task is not None and seen is not None and seen.health is Health.DONE:
            one = Milestone(name=task.name, key=task.key)
            if one not in finding.before.milestones:
                yield one


def _not_stopped(right: Any, unit: Any, world: Any) -> Any:
    return tuple(need for need in right(unit, world) if need.state != "stopped")


def _cut_off(right: Any, task: Any, wanted: Any, seen: Any, here: Any) -> Any:
    return right(task, wanted, seen and replace(seen, running=0), here)


def _stays_stopped(right: Any, wanted: Any, unit: Any, seen: Any, here: Any) -> Any:
    verdict = right(wanted, unit, seen, here)
    row = here.known.get(wanted.ref)
    is_restart = row is not None and row.state == "stopped" and seen.digest == wanted.digest
    return None if is_restart else verdict


def _in_place(right: Any, wanted: Any, seen: Any, cause: Any) -> Any:
    return right(wanted, replace(seen, frozen_digest=None), cause)


MUTANTS = (
    Mutant(
        "done-by-existence",
        "A task is done when its object is there.",
        "Helm: hooks and jobs",
        (around("reconciler.needs:World.is_done", _exists),),
    ),
    Mutant(
        "done-at-another-digest",
        "The success of another version's task counts.",
        "completed jobs reused",
        (around("reconciler.conclude:_achieved", _any_digest),),
    ),
    Mutant(
        "task-starts-beside-what-runs",
        "A task starts before what it needs stopped has stopped.",
        "migrations under live schedulers",
        (around("reconciler.plan:unmet", _not_stopped),),
    ),
    Mutant(
        "needs-ignored",
        "Everything is made at once.",
        "missing dependsOn",
        (instead("reconciler.plan:unmet", value=()),),
    ),
    Mutant(
        "nothing-stopped-for-a-task",
        "Nobody stops what a task needs stopped.",
        "migrations under live schedulers",
        (instead("reconciler.plan:_to_stop", value=()),),
    ),
    Mutant(
        "stopped-for-ever",
        "What was stopped for a task is never started again.",
        "Sieve: intermediate state",
        (around("reconciler.plan:_for_standing", _stays_stopped),),
    ),
    Mutant(
        "begun-not-written-ahead",
        "That a task begins is not written down first.",
        "Sieve: intermediate state",
        (instead("reconciler.reconcile:begun_by", value=()),),
    ),
    Mutant(
        "inventory-not-written-ahead",
        "What is about to be made is not written down first.",
        "Sieve: intermediate state",
        (instead("reconciler.reconcile:written_ahead", value=()),),
    ),
    Mutant(
        "running-task-cut-off",
        "A running task is replaced by a newer one.",
        "interrupted migrations",
        (around("reconciler.plan:_for_task", _cut_off),),
    ),
    Mutant(
        "frozen-changed-in-place",
        "What cannot be changed in place is updated for ever.",
        "Kubernetes: immutable fields",
        (around("reconciler.plan:_changed", _in_place),),
    ),
)

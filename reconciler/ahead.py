"""What is written down before it is done, so that a crash in between loses nothing. Pure.

An object that is about to be made, or stopped for a task, gets its inventory row first; a task that is about to
begin puts its last achievement in doubt first, because from then on nobody knows how far it came.
"""

from __future__ import annotations

from dataclasses import replace

from model.objects import Known
from model.plan import Create, Plan, Replace, Stop
from model.spec import Snapshot
from model.status import Milestone
from model.units import Task
from reconciler.conclude import known_of
from reconciler.needs import Desired


def written_ahead(todo: Plan, desired: Desired, before: Snapshot) -> tuple[Known, ...]:
    """Rows of objects about to be made that no row names, and of those about to be stopped."""
    rows = {row.ref: row for row in before.inventory}
    ahead: list[Known] = []
    for one in todo.now:
        row = rows.get(one.ref)
        if isinstance(one, Create) and row is None:
            ahead.append(replace(known_of(one.object, desired, uid=""), state="intended"))
        if isinstance(one, Stop) and row is not None and row.state != "stopped":
            ahead.append(replace(row, state="stopped"))
    return tuple(ahead)


def begun_by(todo: Plan, desired: Desired, before: Snapshot) -> tuple[Milestone, ...]:
    """The milestones of tasks about to begin, with what is begun beside what was achieved.

    Where data is about to be made anew, all that was achieved with the old is in doubt too.
    """
    if any(isinstance(one, Create) and one.object.irreplaceable for one in todo.now):
        return tuple(
            replace(one, begun=(one.key,)) for one in sorted(before.milestones) if one.key and not one.begun
        )
    tasks = {unit.name: unit for unit in desired.units if isinstance(unit, Task)}
    old = {one.name: one for one in before.milestones}
    begun: list[Milestone] = []
    for one in todo.now:
        task = tasks.get(one.unit)
        if task is None or not isinstance(one, Create | Replace):
            continue
        was = old.get(task.name, Milestone(name=task.name))
        if task.key not in was.begun:
            begun.append(replace(was, begun=tuple(sorted({*was.begun, task.key}))))
    return tuple(begun)

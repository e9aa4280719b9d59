"""Rule 6: what is no longer desired. Pure.

Prune comes last and from the inventory only. What others still need is deleted after them, what has a
replacement after that is ready, and what holds data only when its owner's retention is over or a person says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from model.names import Ref
from model.objects import Health, Known, Observed, Seen
from model.plan import Cause, Delete, Held, Kept, Waiting
from model.units import Task
from reconciler.circumstances import Circumstances
from reconciler.needs import World, works


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What is known, and the world that it is compared with.

    `stopping`: objects that this pass stops; what is being stopped is not deleted in the same breath. `wait`: why
    nothing at all is pruned now, as a sentence; empty: it may be.
    """

    known: Mapping[Ref, Known]
    desired: frozenset[Ref]
    world: World
    circumstances: Circumstances
    stopping: frozenset[Ref] = frozenset()
    wait: str = ""


def prunes(here: Inventory) -> Iterator[Delete | Waiting | Held | Kept]:
    """Deletes of what the inventory knows and nobody desires; what it does not know is only reported."""
    observed = here.world.observed
    for ref in sorted((here.known.keys() | observed.seen.keys()) - here.desired):
        row, seen = here.known.get(ref), observed.seen.get(ref)
        if ref.kind in observed.blind or seen is None or ref in here.stopping:
            continue
        if row is None:
            yield Held(ref=ref, unit="", why=f"{ref} carries our mark and is in no inventory; it is left alone")
        elif row.retain and here.circumstances.stage != "purging" and "data" not in here.circumstances.approved:
            yield Kept(ref=ref, unit=row.unit, why=_kept(row, here))
        else:
            yield _pruned(row, seen, here)


def _pruned(row: Known, seen: Seen, here: Inventory) -> Delete | Waiting:
    delete = Delete(
        ref=row.ref,
        unit=row.unit,
        cause=_cause(row, here.circumstances),
        why=f"{row.ref} is no longer desired",
        uid=seen.uid,
        retain=row.retain,
    )
    why = _why_later(row, seen, here)
    return Waiting(ref=row.ref, unit=row.unit, action=delete, why=why) if why else delete


def _why_later(row: Known, seen: Seen, here: Inventory) -> str:
    """What a prune waits for, as a sentence; empty when it need not."""
    if here.wait:
        return here.wait
    if seen.running and runs_a_task(row) and seen.digest is not None:  # None: its making was cut off
        return f"waits until {row.ref} has ended: what it does must not be cut off in the middle"
    # for a deletion nothing is made any more that could take its place
    if here.circumstances.stage == "active" and not _is_replaced(row, here.world):
        return f"waits until what takes its place in {row.unit} is ready"
    dependants = _dependants(row, here)
    if dependants:
        return f"waits until {', '.join(map(str, dependants))} no longer needs {row.unit}"
    unknown = _unknown(here)
    return f"waits while {unknown} runs, which is in no inventory and may need it" if unknown else ""


def runs_a_task(row: Known) -> bool:
    """True for a row of a task: nothing else needs anything stopped."""
    return any(need.state == "stopped" for need in row.needs)


def _cause(row: Known, circumstances: Circumstances) -> Cause:
    if circumstances.is_orphan:
        return Cause.ORPHAN
    if row.retain and "data" in circumstances.approved:
        return Cause.GENERATION  # a person said so
    return Cause.GENERATION if circumstances.stage != "active" else circumstances.asked


def _kept(row: Known, here: Inventory) -> str:
    if here.circumstances.is_orphan:
        return f"{row.ref} holds data, and the row of its deployment is gone though nobody asked; it is kept"
    return (
        f"{row.ref} holds data and is not used any more; it is kept. When it is not wanted, approve its removal "
        "with: SELECT armillary.approve('<workspace>/<deployment>', 'data')."
    )


def _is_replaced(row: Known, world: World) -> bool:
    """True when the unit that the object was part of is gone, or well without it."""
    unit = world.units.get(row.unit)
    if unit is None or not world.objects.get(row.unit):
        return True
    return world.is_done(unit) if isinstance(unit, Task) else works(row.unit, world)


def _unknown(here: Inventory) -> Ref | None:
    """Something of ours that runs and of which nobody knows what it needs: a restored database has lost it."""
    seen = here.world.observed.seen
    strangers = sorted(seen.keys() - here.known.keys() - here.desired)
    return next((ref for ref in strangers if seen[ref].running), None)


def _dependants(row: Known, here: Inventory) -> tuple[Ref, ...]:
    """Live objects whose recorded needs point at this object's unit. What is stopped needs nothing.

    While the unit is still there, in another place, only what is itself no longer desired can mean this object.
    """
    is_elsewhere = row.unit in here.world.units
    return tuple(
        sorted(
            other.ref
            for other in here.known.values()
            if other.unit != row.unit
            and not (is_elsewhere and other.ref in here.desired)
            and _may_live(other.ref, here.world.observed)
            and any(need.unit == row.unit and need.state != "stopped" for need in other.needs)
        )
    )


def _may_live(ref: Ref, observed: Observed) -> bool:
    """Whether an object lives, for all that was seen: what could not be seen may."""
    if ref.kind in observed.blind:
        return True
    seen = observed.seen.get(ref)
    return seen is not None and not (seen.health is Health.STOPPED and seen.running == 0)

"""Needs, judged: is what a unit needs true of this observation? Pure.

Needs gate changes, never existence; who asks decides what a "no" means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from model.names import Ref, UnitName
from model.objects import Health, Known, Object, Observed, Seen
from model.status import Milestone
from model.units import AnyUnit, Need, Process, Task

_WELL = frozenset({Health.HEALTHY, Health.DONE, Health.STOPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What one owner should have: its units, and the objects of them in the order of creation."""

    units: tuple[AnyUnit, ...] = ()
    objects: tuple[Object, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a need is judged against: the units and their objects, what was seen, what was achieved.

    `former`: objects that the inventory knows of a unit and that nobody desires any more, such as those in the
    cluster that a deployment is leaving. `accepts_drift`: where drift is reported and not repaired, it keeps
    nothing from going on.
    """

    units: Mapping[UnitName, AnyUnit]
    objects: Mapping[UnitName, tuple[Object, ...]]
    observed: Observed
    milestones: frozenset[Milestone]
    former: Mapping[UnitName, tuple[Ref, ...]] = field(default_factory=dict)
    accepts_drift: bool = False

    def seen(self, unit: UnitName) -> Iterable[Seen | None]:
        """What was seen of each object of a unit, in the order of the objects."""
        return (self.observed.seen.get(one.ref) for one in self.objects.get(unit, ()))

    def is_blind_to(self, unit: UnitName) -> bool:
        """True when some object of the unit is of a kind that could not be seen."""
        return any(one.ref.kind in self.observed.blind for one in self.objects.get(unit, ()))

    def places(self, unit: UnitName) -> tuple[Ref, ...]:
        """Where something of a unit may run: its objects' places and its former ones."""
        return (*(one.ref for one in self.objects.get(unit, ())), *self.former.get(unit, ()))

    def is_done(self, task: Task) -> bool:
        """A task is done iff its milestone is a row, and nothing was begun since."""
        return Milestone(name=task.name, key=task.key) in self.milestones


def world_of(
    desired: Desired,
    observed: Observed,
    milestones: frozenset[Milestone],
    inventory: Iterable[Known] = (),
    *,
    accepts_drift: bool = False,
) -> World:
    """A world from its parts, with the objects grouped by unit."""
    objects: dict[UnitName, tuple[Object, ...]] = {}
    for one in desired.objects:
        objects[one.unit] = (*objects.get(one.unit, ()), one)
    wanted = {one.ref for one in desired.objects}
    former: dict[UnitName, tuple[Ref, ...]] = {}
    for row in inventory:
        if row.ref not in wanted:
            former[row.unit] = (*former.get(row.unit, ()), row.ref)
    return World(
        units={unit.name: unit for unit in desired.units},
        objects=objects,
        observed=observed,
        milestones=milestones,
        former=former,
        accepts_drift=accepts_drift,
    )


def is_met(need: Need, world: World) -> bool:
    """True only when the observation shows the need to hold; what could not be seen does not hold."""
    if need.state == "done":
        unit = world.units.get(need.unit)
        return isinstance(unit, Task) and world.is_done(unit)
    if need.state == "stopped":
        return all(_is_still(ref, world.observed) for ref in world.places(need.unit))
    if world.is_blind_to(need.unit):
        return False
    match need.state:
        case "present":
            return all(seen is not None for seen in world.seen(need.unit))
        case "ready":
            return _is_ready(need.unit, world)


def _is_still(ref: Ref, observed: Observed) -> bool:
    """True when nothing runs in a place. What stands there without our mark may be ours, and run."""
    seen = observed.seen.get(ref)
    is_known = ref.kind not in observed.blind and ref not in observed.foreign
    return is_known and (seen is None or seen.running == 0)


def _is_ready(unit: UnitName, world: World) -> bool:
    objects = world.objects.get(unit, ())
    if not objects:
        return False
    return all(_is_accepted(one, world.observed.seen.get(one.ref), world) for one in objects)


def _is_accepted(wanted: Object, seen: Seen | None, world: World) -> bool:
    if seen is None or seen.digest != wanted.digest:
        return False
    return world.accepts_drift if seen.drift else seen.health in _WELL


def works(unit: UnitName, world: World) -> bool:
    """True when a unit is there as asked and well, whatever else is accepted: what it replaces may go."""
    if world.is_blind_to(unit):
        return False
    seen = tuple(world.seen(unit))
    return _is_ready(unit, world) and all(one is not None and one.health in _WELL for one in seen)


def unmet(unit: AnyUnit, world: World) -> tuple[Need, ...]:
    """The needs of a unit that do not hold, in a stable order. Nothing is needed to run nothing."""
    if isinstance(unit, Process) and unit.replicas == 0:
        return ()
    return tuple(need for need in sorted(unit.needs) if not is_met(need, world))


def explain(need: Need, world: World) -> str:
    """A sentence part for people: what is waited for, and how that is doing."""
    details = [seen.detail for seen in world.seen(need.unit) if seen is not None and seen.detail]
    wanted = "to be done" if need.state == "done" else f"to be {need.state}"
    beside = f" ({details[0]})" if details else ""
    return f"{need.unit} {wanted}{beside}"

"""The truth of a life: what the desired state, faultlessly rendered, asks of the worlds, and what differs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from drivers.base import Refused
from drivers.simulation.driver import SimulationDriver
from drivers.simulation.register import Change
from drivers.simulation.thing import Thing, see
from drivers.simulation.world import World
from model.digest import digest
from model.names import Owner, Ref
from model.objects import Object, Site
from model.spec import Snapshot
from model.status import Milestone
from model.units import Task
from reconciler.needs import Desired
from reconciler.render import desire, site_of

from .catalogs import FIRST, Release, catalog_of
from .rows import Row
from .store import Store
from .user import IMPOSSIBLE

INSTALLATION = "simulated"
_RETAINED = ("Sim.Environment", "Sim.Database", ".logs")


def unit_of(ref: Ref) -> str:
    """The unit of an object of ours."""
    return ref.name.rpartition(".")[2]


def site(before: Snapshot) -> Site | None:
    return site_of(before, installation=INSTALLATION, home="/home", database=("127.0.0.1", 5432))


class Truth:
    """Renders by itself, with drivers that no daemon has, and remembers what it rendered."""

    def __init__(self, store: Store, worlds: dict[str, World]) -> None:
        self._store = store
        self._worlds = worlds
        self._drivers = tuple(
            SimulationDriver(world=world, installation=INSTALLATION, cluster=name, name="truth")
            for name, world in worlds.items()
        )
        self._release = FIRST
        self._rendered: dict[tuple[Owner, str], tuple[Snapshot, Desired]] = {}

    @property
    def release(self) -> Release:
        """The release of which all daemons are now."""
        return self._release

    @release.setter
    def release(self, release: Release) -> None:
        self._release = release
        self._rendered.clear()

    def rendered(self, snapshot: Snapshot) -> Desired:
        """What is desired; nothing for what cannot be carried out."""
        key = (snapshot.owner, snapshot.stage)
        kept = self._rendered.get(key)
        if kept is not None and _asks_the_same(kept[0], snapshot):
            return kept[1]
        spec = snapshot.spec
        drivers = [one for one in self._drivers if spec is None or one.cluster == spec.cluster]
        try:
            _require_possible(snapshot)
            made = desire(snapshot, site(snapshot), drivers, catalog_of(self._release))
        except Refused:
            made = Desired()
        self._rendered[key] = (snapshot, made)
        return made

    def desired(self, snapshot: Snapshot) -> tuple[Object, ...]:
        return self.rendered(snapshot).objects

    def tasks(self, row: Row) -> list[Task]:
        """The tasks of what a row asks for now."""
        units = self.rendered(row.snapshot(self._store.now, self._store.tables.defaults)).units
        return [one for one in units if isinstance(one, Task)]

    def is_retained(self, ref: Ref) -> bool:
        """Whether an object holds data, known without asking the inventory."""
        return ref.kind.endswith(_RETAINED[:2]) or ref.name.endswith(_RETAINED[2])

    def world_of(self, ref: Ref) -> World:
        return next(world for name, world in self._worlds.items() if ref.kind.startswith(name))

    def differences(self, row: Row, *, unless_changed_since: float = float("inf")) -> Iterator[str]:
        """How the worlds differ from what a row asks for. What was changed after that time is not told."""
        snapshot = row.snapshot(self._store.now, self._store.tables.defaults)
        desired = self.rendered(snapshot)
        tasks = {unit.name: unit for unit in desired.units if isinstance(unit, Task)}
        for wanted in desired.objects:
            if wanted.unit in tasks:
                task = tasks[wanted.unit]
                if Milestone(name=task.name, key=task.key) not in row.milestones:
                    yield f"{task.key} is not achieved"
            elif snapshot.stage != "active" and not row.holds(wanted) and self._is_absent(wanted.ref):
                continue  # what was never made is not made for a deletion
            elif not self.is_young(wanted.ref, unless_changed_since):
                yield from self._difference(wanted, row)

    def is_as_wanted(self, wanted: Object, owner: Owner, *, since: float) -> bool:
        """Whether an object is there as it should be, and nobody touched it since. Never of a task."""
        row = self._store.tables.rows.get(owner)
        if row is None or wanted.body.is_task or self.is_young(wanted.ref, since):
            return False
        return not any(self._difference(wanted, row))

    def extras(self, row: Row) -> list[Ref]:
        """What exists of an owner and is not desired."""
        snapshot = row.snapshot(self._store.now, self._store.tables.defaults)
        wanted = {one.ref for one in self.desired(snapshot)}
        claim = (INSTALLATION, str(row.owner))
        return [
            thing.ref
            for world in self._worlds.values()
            for thing in world.things()
            if thing.claim == claim and thing.ref not in wanted
        ]

    def unclaimed(self) -> list[Ref]:
        """What carries our mark, and no row of the store is about."""
        rows = {str(owner) for owner in self._store.tables.rows}
        return [
            thing.ref
            for world in self._worlds.values()
            for thing in world.things()
            if thing.claim is not None and thing.claim[0] == INSTALLATION and thing.claim[1] not in rows
        ]

    def _difference(self, wanted: Object, row: Row) -> Iterator[str]:
        thing = self.world_of(wanted.ref).thing(wanted.ref)
        if thing is None:
            is_needless = row.deletion is not None and wanted.ref not in row.inventory
            if not is_needless:  # what is being deleted gets nothing that it never had
                yield f"{wanted.ref} is not there"
        elif thing.claim != (INSTALLATION, str(row.owner)):
            yield f"{wanted.ref} is somebody else's"
        elif thing.digest != wanted.digest:
            yield f"{wanted.ref} is there as {thing.digest} and should be {wanted.digest}"
        else:
            yield from self._wrong(wanted, thing, row)

    def _wrong(self, wanted: Object, thing: Thing, row: Row) -> Iterator[str]:
        values = [row.values.get((one.name, one.version), "?") for one in wanted.body.secrets]
        content = _content(wanted.digest, *values)
        if thing.applied != content:
            yield f"{wanted.ref} holds other secrets than the store"
        if thing.actual != thing.applied:
            yield f"{wanted.ref} was edited by {thing.edited_by}"
        if thing.gone_at is not None:
            yield f"{wanted.ref} is on its way out"
        if thing.life == "process" and thing.replicas and (thing.is_killed or thing.stopped_at is not None):
            yield f"{wanted.ref} should run and does not"

    def _is_absent(self, ref: Ref) -> bool:
        return self.world_of(ref).thing(ref) is None

    def runs_since(self, ref: Ref, since: float) -> bool:
        """Whether something of a thing ran at every moment since then, as far as the world remembers."""
        world = self.world_of(ref)
        was = [one.before for one in world._register.since(since) if one.ref == ref]
        now = world.clock()
        return all(one is not None and see(one, now).running > 0 for one in [world.standing(ref), *was])

    def last_whole(self, ref: Ref, since: float) -> Change | None:
        """The last change of a place before which nothing, or something finished, stood there."""
        changes = self.world_of(ref)._register.since(since)
        return next((one for one in changes if one.ref == ref and _is_whole(one.before)), None)

    def is_young(self, ref: Ref, since: float) -> bool:
        world = self.world_of(ref)
        return bool(world.version) and any(one.ref == ref for one in world._register.since(since))


def _require_possible(snapshot: Snapshot) -> None:
    """Refuse what the daemons' drivers refuse."""
    if snapshot.spec is not None and snapshot.spec.airflow_version == IMPOSSIBLE:
        raise Refused(f"there is no Airflow {IMPOSSIBLE} here")


@lru_cache(maxsize=4096)
def _content(*parts: str) -> str:
    """What a world holds of an object with these secrets, as its driver says."""
    return digest(*parts)


def _is_whole(thing: Thing | None) -> bool:
    return thing is None or thing.digest is not None


def _asks_the_same(one: Snapshot, other: Snapshot) -> bool:
    inputs = ((kept.secrets, kept.milestones, kept.ports) for kept in (one, other))
    return one.spec is other.spec and next(inputs) == next(inputs)

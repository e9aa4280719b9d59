"""From a snapshot to what should exist: render the spec to units, translate units to objects. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from drivers.base import Driver, Refused
from model.names import Owner
from model.objects import Object, Site
from model.spec import Snapshot, Spec, Stage
from model.status import Milestone
from model.units import AnyUnit
from reconciler.components import CATALOG, render
from reconciler.components.component import Component, Facts
from reconciler.needs import Desired

_Inputs = tuple[Spec | None, Stage, Mapping[str, int], frozenset[Milestone], Site | None]


def desire(
    before: Snapshot,
    site: Site | None,
    drivers: Sequence[Driver],
    catalog: Mapping[str, Component] = CATALOG,
) -> Desired:
    """Everything the snapshot's owner should have. Nothing for an owner whose row is gone.

    Raises Refused when a unit cannot be translated by any driver, or its driver says that it cannot be.
    """
    if before.spec is None or site is None:
        return Desired()
    facts = Facts(
        owner=before.owner,
        stage=before.stage,
        secrets=before.secrets,
        milestones={one.name: one for one in before.milestones},
    )
    units = render(before.spec, facts, catalog)
    objects = tuple(one for unit in units for one in _translated(unit, site, drivers))
    return Desired(units=units, objects=objects)


class Desires:
    """What was desired of each owner at its last pass, so that what did not change is not rendered again.

    Rendering is pure: equal inputs give equal units and objects. Bounded by `owners_max`; beyond it, all is
    forgotten and rendered once more.
    """

    def __init__(self, *, owners_max: int = 20_000, catalog: Mapping[str, Component] = CATALOG) -> None:
        self.catalog = catalog
        self._owners_max = owners_max
        self._known: dict[Owner, tuple[_Inputs, Desired]] = {}

    def of(self, before: Snapshot, site: Site | None, drivers: Sequence[Driver]) -> Desired:
        """As `desire`, and as quick as comparing the inputs when they are those of the last time."""
        inputs = (before.spec, before.stage, before.secrets, before.milestones, site)
        known = self._known.get(before.owner)
        if known is not None and known[0] == inputs:
            return known[1]
        desired = desire(before, site, drivers, self.catalog)
        if len(self._known) >= self._owners_max:
            self._known.clear()
        self._known[before.owner] = (inputs, desired)
        return desired


def _translated(unit: AnyUnit, site: Site, drivers: Sequence[Driver]) -> tuple[Object, ...]:
    for driver in drivers:
        if type(unit) in driver.units and driver.cluster in ("", site.cluster):
            return driver.translate(unit, site)
    raise Refused(f"no driver of cluster {site.cluster} knows what a {type(unit).__name__} is ({unit.name})")


def site_of(before: Snapshot, *, installation: str, home: str, database: tuple[str, int]) -> Site | None:
    """The facts about the owner's place that drivers translate with; None when its row is gone."""
    spec: Spec | None = before.spec
    if spec is None:
        return None
    return Site(
        installation=installation,
        cluster=spec.cluster,
        owner=before.owner,
        release=spec.release,
        root=str(PurePath(home) / "deployments" / spec.release),
        ports=before.ports,
        database=database,
    )


def secrets_to_mint(before: Snapshot, catalog: Mapping[str, Component] = CATALOG) -> frozenset[str]:
    """Names of secrets that the deployment's components need and that were never generated.

    What a deletion keeps for a while needs them too: a restored database may have lost those it was made with, and
    may not even know that it was made.
    """
    spec = before.spec
    if spec is None or before.stage == "purging":
        return frozenset()
    wanted = {name for one in catalog.values() if one.is_part_of(spec) for name in one.secrets}
    return frozenset(wanted - before.secrets.keys())

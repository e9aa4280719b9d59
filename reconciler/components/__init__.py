"""The components of a deployment, one file each, and the catalogue that finds them.

A component renders its part of a spec to units. Adding one is adding a file with a `COMPONENT` in it: the
catalogue walks this package once and fails at import on a duplicate name or a file without one.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import replace

from model.spec import Spec
from model.units import AnyUnit, Process, Task
from reconciler.components.component import Component, Facts

_NOT_COMPONENTS = frozenset({"component", "airflow", "celery", "generations"})


def _walk() -> dict[str, Component]:
    found: dict[str, Component] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name in _NOT_COMPONENTS:
            continue
        component: Component = importlib.import_module(f"{__name__}.{module.name}").COMPONENT
        if component.name in found:
            raise ImportError(f"two components are called {component.name}: see {module.name}.py")
        found[component.name] = component
    return dict(sorted(found.items(), key=lambda item: item[1].position))


CATALOG: dict[str, Component] = _walk()
"""Every component by name, in the order in which a person would start them by hand."""


def render(spec: Spec, facts: Facts, catalog: Mapping[str, Component] = CATALOG) -> tuple[AnyUnit, ...]:
    """The units of a deployment at its stage of life. Pure.

    `active`: everything. `stopping`: everything but tasks, with nothing running. `retaining`: only what is
    kept until `retain_until`. `purging`: nothing.
    """
    components = (component for component in catalog.values() if component.is_part_of(spec))
    units = tuple(unit for component in components for unit in component.render(spec, facts))
    match facts.stage:
        case "active":
            return tuple(map(_at_rest, units)) if spec.hibernated else units
        case "stopping":
            return tuple(_at_rest(unit) for unit in units if not isinstance(unit, Task))
        case "retaining":
            return tuple(unit for unit in units if unit.retain)
        case "purging":
            return ()


def _at_rest(unit: AnyUnit) -> AnyUnit:
    return replace(unit, replicas=0) if isinstance(unit, Process) else unit

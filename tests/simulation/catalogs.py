"""The components of simulated deployments: the real ones, sketches of what two more executors need, and releases.

What the engine must do when brokers, workers and pod templates come and go is independent of what they are, so a
sketch of each is enough. Lives that were found with these sketches are kept by their seeds, which another number
of units or secrets would make others: so the real parts of Celery are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from model.names import UnitName, text
from model.spec import ComponentSpec, Executor, Spec
from model.units import AnyUnit, Environment, Identity, Need, Probe, Process, Settings, Task
from reconciler.components import CATALOG
from reconciler.components.airflow import MIGRATE, RESULTS, SCHEDULER, airflow_process
from reconciler.components.component import Component, Facts

EXECUTORS: tuple[Executor, ...] = ("LocalExecutor", "CeleryExecutor", "KubernetesExecutor")
BROKER, WORKER, IDENTITY, TEMPLATE = "redis", "worker", "identity", "pod-template"
PARTS: Mapping[str, frozenset[UnitName]] = {
    "LocalExecutor": frozenset(),
    "CeleryExecutor": frozenset({BROKER, WORKER}),
    "KubernetesExecutor": frozenset({IDENTITY, TEMPLATE}),
}
"""What a deployment has only because of its executor."""
NEEDED: Mapping[str, frozenset[UnitName]] = {**PARTS, "CeleryExecutor": frozenset({BROKER})}
"""What a scheduler with that executor cannot do without."""

_OF_REAL_PARTS = frozenset({Need(RESULTS, "done"), Need(WORKER, "ready")})
_Render = Callable[[Spec, Facts], tuple[AnyUnit, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A version of our own rendering. It differs from the first in the processes named `parts`.

    `is_broken`: what it makes of them never becomes healthy.
    """

    number: int = 0
    parts: tuple[UnitName, ...] = ()
    is_broken: bool = False


FIRST = Release()


@lru_cache(maxsize=256)
def catalog_of(release: Release) -> Mapping[str, Component]:
    """Every component as this release renders it, in the order of creation."""
    everybodys = {name: one for name, one in CATALOG.items() if not one.executors}
    real = {name: replace(one, render=_as_of(release, one.render)) for name, one in everybodys.items()}
    first = {name: real.pop(name) for name in ("environment", "database", MIGRATE)}
    return {**first, **_BEFORE, **real, **_AFTER}


def _as_of(release: Release, render: _Render) -> _Render:
    def rendered(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
        return tuple(_released(_for_executor(one, spec), release) for one in render(spec, facts))

    return rendered


def _released(unit: AnyUnit, release: Release) -> AnyUnit:
    if isinstance(unit, Process) and unit.name in release.parts:
        return replace(unit, env={**unit.env, "RELEASE": text(str(release.number))})
    return unit


_OF_SCHEDULERS = {
    "CeleryExecutor": frozenset({Need(BROKER, "ready")}),
    "KubernetesExecutor": frozenset({Need(TEMPLATE, "ready"), Need(IDENTITY, "present")}),
}


def _for_executor(unit: AnyUnit, spec: Spec) -> AnyUnit:
    """A scheduler needs its executor's parts, and a migration that stops writers stops workers too."""
    unit = _without_celery(unit)
    if unit.name == SCHEDULER:
        return replace(unit, needs=unit.needs | _OF_SCHEDULERS.get(spec.executor, frozenset()))
    if isinstance(unit, Task) and unit.name == MIGRATE and Need(SCHEDULER, "stopped") in unit.needs:
        return replace(unit, needs=unit.needs | {Need(WORKER, "stopped")})
    return unit


def _without_celery(unit: AnyUnit) -> AnyUnit:
    if isinstance(unit, Process | Task):
        env = {key: value for key, value in unit.env.items() if not key.startswith("AIRFLOW__CELERY__")}
        return replace(unit, env=env, needs=unit.needs - _OF_REAL_PARTS)
    return replace(unit, others=()) if isinstance(unit, Environment) else unit


def _broker(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    if spec.executor != "CeleryExecutor":
        return ()
    return (Process(name=BROKER, component=BROKER, image="redis:8", command=("redis-server",), env={}),)


def _worker(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    if spec.executor != "CeleryExecutor":
        return ()
    own = replace(spec, components={**spec.components, WORKER: ComponentSpec()})
    probe = Probe(unit=WORKER, port="logs", path="/")
    made = airflow_process(WORKER, ("airflow", "celery", "worker"), own, facts, env={}, probe=probe, ports={})
    return (replace(made, needs=made.needs | {Need(BROKER, "ready")}),)


def _identity(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    return (Identity(name=IDENTITY, component=IDENTITY),) if spec.executor == "KubernetesExecutor" else ()


def _template(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    if spec.executor != "KubernetesExecutor":
        return ()
    files = {"pod.yaml": text(f"image: airflow:{spec.airflow_version}")}
    needs = frozenset({Need(IDENTITY, "present")})
    return (Settings(name=TEMPLATE, component=TEMPLATE, files=files, needs=needs),)


_BEFORE = {
    BROKER: Component(name=BROKER, position=8, render=_broker),
    IDENTITY: Component(name=IDENTITY, position=9, render=_identity),
    TEMPLATE: Component(name=TEMPLATE, position=10, render=_template),
}
_AFTER = {WORKER: Component(name=WORKER, position=11, render=_worker)}

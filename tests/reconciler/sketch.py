"""Small worlds for tests of the pure core: units in one line, one object a unit, and what was seen of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from model.digest import digest
from model.names import Owner, Ref
from model.objects import Health, Known, Object, Observed, Seen
from model.plan import Cause, Plan
from model.spec import ComponentSpec, PlainVariable, Snapshot, Spec
from model.status import Milestone
from model.units import AnyUnit, Need, Process, Task
from reconciler.circumstances import Circumstances
from reconciler.needs import Desired
from reconciler.plan import plan

OWNER = Owner("deployment", "7")
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def needs(**states: str) -> frozenset[Need]:
    return frozenset(Need(unit.replace("_", "-"), state) for unit, state in states.items())  # type: ignore[arg-type]


def process(name: str, *, image: str = "a:1", replicas: int = 1, on: frozenset[Need] = frozenset()) -> Process:
    return Process(name=name, component=name, image=image, command=(name,), env={}, replicas=replicas, needs=on)


def task(name: str, key: str, *, on: frozenset[Need] = frozenset()) -> Task:
    return Task(name=name, component=name, image="a:1", command=(name,), env={}, key=key, needs=on)


def object_of(unit: AnyUnit, *, irreplaceable: bool = False) -> Object:
    return Object(
        ref=Ref(type(unit).__name__, unit.name),
        unit=unit.name,
        digest=digest(replace(unit, needs=frozenset())),
        retain=unit.retain,
        irreplaceable=irreplaceable,
    )


def desired(*units: AnyUnit) -> Desired:
    return Desired(units=units, objects=tuple(object_of(unit) for unit in units))


def seen(unit: AnyUnit, **changes: Any) -> Seen:
    wanted = object_of(unit)
    runs = 1 if isinstance(unit, Process) and unit.replicas else 0
    usual = Seen(ref=wanted.ref, uid=f"uid-{unit.name}", digest=wanted.digest, frozen_digest="", running=runs)
    return replace(usual, **changes)


def known(unit: AnyUnit, **changes: Any) -> Known:
    wanted = object_of(unit)
    usual = Known(
        ref=wanted.ref, unit=unit.name, digest=wanted.digest, needs=unit.needs, state="present", retain=unit.retain
    )
    return replace(usual, **changes)


def observed(*looks: Seen, **rest: Any) -> Observed:
    return Observed(seen={one.ref: one for one in looks}, **rest)


def snapshot(*rows: Known, done: tuple[tuple[str, str], ...] = (), **changes: Any) -> Snapshot:
    usual = Snapshot(
        owner=OWNER,
        now=NOW,
        spec=spec(),
        generation=1,
        inventory=rows,
        milestones=frozenset(Milestone(name=name, key=key) for name, key in done),
    )
    return replace(usual, **changes)


def planned(want: Desired, look: Observed, before: Snapshot | None = None, **circumstances: Any) -> Plan:
    usual = {"asked": Cause.GENERATION, **circumstances}
    return plan(want, look, before or snapshot(), Circumstances(**usual))


def told(todo: Plan) -> list[str]:
    """A plan as short sentences, for tables of expectations."""
    lines = [f"{type(one).__name__} {one.ref.name} [{one.cause}]" for one in todo.now]
    lines += [
        f"later {type(one.action).__name__} {one.ref.name}" if one.action else f"under way {one.ref.name}"
        for one in todo.later
    ]
    return lines + [f"held {one.ref.name}" for one in todo.held]


def spec(**changes: Any) -> Spec:
    """A deployment as the quick start asks for it."""
    usual = Spec(
        workspace="demo",
        name="hello",
        release="demo-hello",
        cluster="local",
        airflow_version="3.3.2",
        executor="LocalExecutor",
        dags_folder="/dags",
        components={name: ComponentSpec() for name in ("api-server", "scheduler", "dag-processor", "triggerer")},
        variables={"GREETING": PlainVariable(value="hi")},
    )
    return replace(usual, **changes)


__all__ = ["Health"]

"""A deployment under each executor, as units of the tests' own: the order and the needs that its parts have.

What the plan must do when workers, brokers and pod templates come and go is independent of what they are, so a
sketch of each is enough, and the three executors are alike. Celery's own are in test_components_celery.py.
"""

from __future__ import annotations

from dataclasses import replace

from model.names import text
from model.spec import Executor, Snapshot, Spec
from model.units import AnyUnit, Database, Identity, Need, Process, Settings, Task
from reconciler.components.component import Facts
from reconciler.needs import Desired

from .lives import objects_of
from .sketch import needs

EXECUTORS: tuple[Executor, ...] = ("LocalExecutor", "CeleryExecutor", "KubernetesExecutor")
_MIGRATED = needs(database="ready", migrate="done")
_WRITERS = ("scheduler", "dag-processor", "triggerer", "worker")  # workers also where they are no longer desired


def units_of(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    """Everything of a deployment, in the order of creation."""
    broker = {"CeleryExecutor": needs(redis="ready"), "KubernetesExecutor": needs(pod_template="ready")}
    scheduler = _MIGRATED | broker.get(spec.executor, frozenset())
    return (
        _database(facts),
        _migrate(spec),
        *_before(spec),
        _airflow("scheduler", spec, scheduler),
        _airflow("dag-processor", spec, _MIGRATED),
        _airflow("triggerer", spec, _MIGRATED),
        _airflow("api-server", spec, _MIGRATED),
        *_after(spec),
    )


def switching(before: Snapshot) -> Desired:
    """What the snapshot's executor and stage ask for."""
    if before.spec is None:
        return Desired()
    units = units_of(before.spec, Facts(owner=before.owner, secrets=before.secrets))
    match before.stage:
        case "active":
            return objects_of(units)
        case "stopping":
            return objects_of(tuple(_at_rest(one) for one in units if not isinstance(one, Task)))
        case "retaining":
            return objects_of(tuple(one for one in units if one.retain))
        case "purging":
            return Desired()


def _at_rest(unit: AnyUnit) -> AnyUnit:
    return replace(unit, replicas=0) if isinstance(unit, Process) else unit


def _before(spec: Spec) -> tuple[AnyUnit, ...]:
    """What the scheduler of an executor needs."""
    match spec.executor:
        case "CeleryExecutor":
            return (_process("redis"),)
        case "KubernetesExecutor":
            return (Identity(name="identity", component="identity"), _pod_template())
        case _:
            return ()


def _pod_template() -> Settings:
    files = {"pod.yaml": text("pod")}
    return Settings(name="pod-template", component="pod-template", files=files, needs=needs(identity="present"))


def _after(spec: Spec) -> tuple[AnyUnit, ...]:
    """What runs or shows the tasks of an executor."""
    if spec.executor != "CeleryExecutor":
        return ()
    return (_airflow("worker", spec, _MIGRATED | needs(redis="ready")), _process("flower", needs(redis="ready")))


def _process(name: str, on: frozenset[Need] = frozenset()) -> Process:
    return Process(name=name, component=name, image=f"{name}:1", command=(name,), env={}, needs=on)


def _airflow(name: str, spec: Spec, on: frozenset[Need]) -> Process:
    """One of Airflow's own processes: all of them read which executor there is."""
    env = {"AIRFLOW__CORE__EXECUTOR": text(spec.executor)}
    return replace(_process(name, on), image=f"airflow:{spec.airflow_version}", env=env)


def _migrate(spec: Spec) -> Task:
    return Task(
        name="migrate",
        component="migrate",
        image=f"airflow:{spec.airflow_version}",
        command=("airflow", "db", "migrate"),
        env={},
        key=f"schema/{spec.airflow_version}",
        needs=needs(database="ready") | {Need(one, "stopped") for one in _WRITERS},
    )


def _database(facts: Facts) -> Database:
    return Database(
        name="database",
        component="database",
        retain=True,
        database="demo_hello",
        owner="demo-hello-owner",
        user="demo-hello",
        owner_password=facts.secret("database-owner"),
        user_password=facts.secret("database-user"),
    )

"""docs/local.md: its table of restarts is what the renderer says, its ports are those of the catalogue."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg

from drivers.local.body import ProcessBody
from drivers.local.runtime import Lock, read_locks, shipped_locks
from drivers.local.translate import translate
from model.digest import digest
from model.names import Owner
from model.objects import Site
from model.spec import ComponentSpec, PlainVariable, Spec
from model.units import Process
from reconciler.components import CATALOG, render
from reconciler.components.component import Facts

PAGE = (Path(__file__).parents[1] / "docs" / "local.md").read_text()
OWNER = Owner("deployment", "1")
LOCKS = read_locks(shipped_locks()) | {"3.4.0": Lock(version="3.4.0", path=Path(), digest="0" * 24)}
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer", "redis", "worker", "flower")
PORTS = [(unit, "http") for unit in ("api-server", "flower")] + [("scheduler", "health"), ("scheduler", "logs")]
SITE = Site(
    installation="i",
    cluster="local",
    owner=OWNER,
    release="demo-hello",
    root="/r",
    ports={name: 20000 + number for number, name in enumerate([*PORTS, ("redis", "broker")])},
)
CELERY = Spec(
    workspace="demo",
    name="hello",
    release="demo-hello",
    cluster="local",
    airflow_version="3.3.2",
    executor="CeleryExecutor",
    dags_folder="/dags",
    components={name: ComponentSpec(replicas=2 if name == "worker" else 1) for name in COMPONENTS},
)
State = tuple[Spec, Facts]
Change = Callable[[Spec, Facts], State]


def asked(**changes: object) -> Change:
    return lambda spec, facts: (replace(spec, **changes), facts)


def of(component: str, **changes: object) -> Change:
    def change(spec: Spec, facts: Facts) -> State:
        own = replace(spec.components[component], **changes)
        return replace(spec, components={**spec.components, component: own}), facts

    return change


def setting(component: str, key: str, value: str | int) -> tuple[str, Change]:
    return f"`{key}` of {component}", of(component, settings={key: value})


def newer(secret: str) -> Change:
    return lambda spec, facts: (spec, replace(facts, secrets={secret: 2}))


LOCAL = replace(CELERY, executor="LocalExecutor")
CHANGES: dict[str, Change] = dict(
    [
        ("`executor` to LocalExecutor", asked(executor="LocalExecutor")),
        ("`airflow_version`", asked(airflow_version="3.4.0")),
        ("`dags_folder`", asked(dags_folder="/others")),
        ("a variable for everybody", asked(variables={"A": PlainVariable(value="1")})),
        ("a variable for worker", asked(variables={"A": PlainVariable(value="1", components=("worker",))})),
        setting("scheduler", "parallelism", 7),
        setting("api-server", "workers", 3),
        setting("dag-processor", "refresh_interval_seconds", 77),
        setting("triggerer", "capacity", 7),
        setting("worker", "concurrency", 9),
        setting("worker", "queues", "heavy"),
        setting("redis", "persistence", 0),
        ("`replicas` of worker", of("worker", replicas=1)),
        ("`replicas` of flower", of("flower", replicas=0)),
        ("`grace_seconds` of worker", of("worker", grace_seconds=99)),
        ("`memory_mib` of worker", of("worker", memory_mib=999)),
        ("a new Fernet key", newer("fernet-key")),
        ("a new password of the broker", newer("broker-password")),
        ("`restarted_at`", asked(restarted_at="2026-11-22T12:00:00+00:00")),
        ("`hibernated`", asked(hibernated=True)),
    ]
)


def processes(spec: Spec, facts: Facts) -> dict[str, ProcessBody]:
    """What the local driver makes of each process."""
    units = [unit for unit in render(spec, facts) if isinstance(unit, Process)]
    made = {unit.name: translate(unit, SITE, LOCKS)[0].body for unit in units}
    return {name: body for name, body in made.items() if isinstance(body, ProcessBody)}


def effect(before: State, after: State) -> tuple[str, str]:
    """The processes that a change restarts, and those of which it starts or stops some: as in the table."""
    old, new = processes(*before), processes(*after)

    def replicas(some: dict[str, ProcessBody], name: str) -> int:
        return some[name].replicas if name in some else 0

    scaled = {name for name in old.keys() | new.keys() if replicas(old, name) != replicas(new, name)}
    restarted = {name for name in old.keys() & new.keys() if digest(old[name].run) != digest(new[name].run)}
    return written(restarted - scaled), written(scaled)


def written(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def test_the_table_of_restarts_says_what_is_rendered() -> None:
    facts = Facts(owner=OWNER)
    section = PAGE.partition("## What restarts what")[2].partition("\n## ")[0]
    told = {
        change: (restarts, others)
        for change, restarts, others in re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", section, re.MULTILINE)
        if change != "change"
    }
    found = {name: effect((CELERY, facts), change(CELERY, facts)) for name, change in CHANGES.items()}
    found["`executor` to CeleryExecutor"] = effect((LOCAL, facts), (CELERY, facts))

    assert told == found


def test_each_port_of_the_catalogue_is_in_the_table(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT position, unit, port FROM core.port_catalogue ORDER BY 1").fetchall()
    told = re.findall(r"^\| first \+ (\d+) \| (\S+) (\S+) \|$", PAGE, re.MULTILINE)

    assert [(int(position), unit, port) for position, unit, port in told] == rows


def test_each_component_that_runs_is_in_the_page_with_its_executors() -> None:
    told = dict(re.findall(r"^\| ([a-z-]+) \| (all|CeleryExecutor) \|", PAGE, re.MULTILINE))
    running = {unit.component for unit in render(CELERY, Facts(owner=OWNER)) if isinstance(unit, Process)}

    assert told == {name: ", ".join(CATALOG[name].executors) or "all" for name in running}


def test_every_setting_of_celery_is_in_the_page(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT component, key FROM core.setting_catalogue WHERE component IN ('redis', 'worker')"
        ).fetchall()

    assert [(component, key) for component, key in rows if f"| {component} | `{key}` |" not in PAGE] == []

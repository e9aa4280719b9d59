"""scheduler: decides what runs and, with the LocalExecutor, runs it.

Settings: `parallelism` (tasks at once, default 4; each keeps a worker process of about 100 MiB).
"""

from __future__ import annotations

from model.spec import Spec
from model.units import AnyUnit, Probe
from reconciler.components.airflow import SCHEDULER, airflow_process
from reconciler.components.component import Component, Facts


def render(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    """The process, with its health port and its log server's."""
    return (
        airflow_process(
            SCHEDULER,
            ("airflow", "scheduler"),
            spec,
            facts,
            env={},
            probe=Probe(unit=SCHEDULER, port="health", path="/health"),
            ports={"health": 8974, "logs": 8793},
        ),
    )


COMPONENT = Component(name=SCHEDULER, position=4, render=render)

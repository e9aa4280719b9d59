"""scheduler: decides what runs and, with the LocalExecutor, runs it.

Settings: `parallelism` (tasks at once, default 4; each keeps a worker process of about 100 MiB. With the
CeleryExecutor workers run them, and the default is 32). Only the scheduler's executor reads it, so it is in the
scheduler's own environment: changing it drains no worker.
"""

from __future__ import annotations

from dataclasses import replace

from model.names import text
from model.spec import Spec
from model.units import AnyUnit, Probe
from reconciler.components.airflow import SCHEDULER, airflow_process
from reconciler.components.celery import celery_env, needs_of
from reconciler.components.component import Component, Facts
from reconciler.components.generations import generation_of


def render(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    """The process, with its health port and its log server's."""
    made = airflow_process(
        SCHEDULER,
        generation_of(spec).scheduler,
        spec,
        facts,
        env={**celery_env(spec, facts), "AIRFLOW__CORE__PARALLELISM": text(_parallelism(spec))},
        probe=Probe(unit=SCHEDULER, port="health", path="/health"),
        ports={"health": 8974, "logs": 8793},
    )
    return (replace(made, needs=made.needs | needs_of(spec)),)


def _parallelism(spec: Spec) -> str:
    usual = 4 if spec.executor == "LocalExecutor" else 32  # elsewhere it costs the scheduler no processes
    return str(spec.components[SCHEDULER].settings.get("parallelism", usual))


COMPONENT = Component(name=SCHEDULER, position=6, render=render)

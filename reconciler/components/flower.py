"""flower: shows the workers, their queues and what they run. It asks for the same login as Airflow."""

from __future__ import annotations

from dataclasses import replace

from model.names import AddressRef, text
from model.spec import Spec
from model.units import AnyUnit, Need, Probe
from reconciler.components.airflow import ADMIN, airflow_process
from reconciler.components.celery import CELERY, FLOWER, REDIS, celery_env
from reconciler.components.component import Component, Facts


def render(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    """The process, on its leased port."""
    made = airflow_process(
        FLOWER,
        ("airflow", "celery", "flower"),
        spec,
        facts,
        env={
            **celery_env(spec, facts),
            "AIRFLOW__CELERY__FLOWER_HOST": text(AddressRef(FLOWER, "http", "listen")),
            "AIRFLOW__CELERY__FLOWER_PORT": text(AddressRef(FLOWER, "http", "port")),
            "AIRFLOW__CELERY__FLOWER_BASIC_AUTH": text(f"{ADMIN}:", facts.secret("admin-password")),
        },
        probe=Probe(unit=FLOWER, port="http", path="/healthcheck"),
        ports={"http": 5555},
    )
    return (replace(made, needs=made.needs | {Need(REDIS, "ready")}),)


COMPONENT = Component(name=FLOWER, position=10, render=render, executors=(CELERY,))

"""api-server: Airflow's user interface, its REST API, and the API that tasks talk to.

Settings: `workers` (processes that answer requests, default 1).
"""

from __future__ import annotations

from model.names import AddressRef, text
from model.spec import Spec
from model.units import AnyUnit, Probe
from reconciler.components.airflow import API_SERVER, airflow_process
from reconciler.components.component import Component, Facts


def render(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    """The process, on its leased port."""
    workers = spec.components[API_SERVER].settings.get("workers", 1)
    return (
        airflow_process(
            API_SERVER,
            ("airflow", "api-server"),
            spec,
            facts,
            env={
                "AIRFLOW__API__PORT": text(AddressRef(API_SERVER, "http", "port")),
                "AIRFLOW__API__WORKERS": text(str(workers)),
            },
            probe=Probe(
                unit=API_SERVER,
                port="http",
                path="/api/v2/monitor/health",
                expect={"/metadatabase/status": "healthy"},
            ),
            ports={"http": 8080},
        ),
    )


COMPONENT = Component(name=API_SERVER, position=5, render=render, secrets=("api-secret-key", "jwt-secret"))

"""api-server: Airflow's user interface, its REST API, and the API that tasks talk to. In Airflow 2, the webserver.

Settings: `workers` (processes that answer requests, default 1).
"""

from __future__ import annotations

from model.names import AddressRef, text
from model.spec import Spec
from model.units import AnyUnit
from reconciler.components.airflow import API_SERVER, airflow_process, monitored_by_api_server
from reconciler.components.component import Component, Facts
from reconciler.components.generations import generation_of


def render(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    """The process, on its leased port."""
    generation, workers = generation_of(spec), spec.components[API_SERVER].settings.get("workers", 1)
    return (
        airflow_process(
            API_SERVER,
            generation.api_server,
            spec,
            facts,
            env={
                generation.port: text(AddressRef(API_SERVER, "http", "port")),
                generation.workers: text(str(workers)),
            },
            probe=monitored_by_api_server(spec, "metadatabase"),
            ports={"http": 8080},
        ),
    )


COMPONENT = Component(name=API_SERVER, position=5, render=render, secrets=("api-secret-key", "jwt-secret"))

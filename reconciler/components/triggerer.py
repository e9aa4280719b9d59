"""triggerer: waits for events on behalf of deferred tasks.

Settings: `capacity` (triggers at once, default 1000). It serves no logs of its own: the api-server reads them
from the shared folder.
"""

from __future__ import annotations

from model.names import text
from model.spec import Spec
from model.units import AnyUnit
from reconciler.components.airflow import TRIGGERER, airflow_process, monitored_by_api_server
from reconciler.components.component import Component, Facts
from reconciler.components.generations import generation_of


def render(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    """The process, without its log server."""
    capacity = spec.components[TRIGGERER].settings.get("capacity", 1000)
    return (
        airflow_process(
            TRIGGERER,
            ("airflow", "triggerer", "--skip-serve-logs"),
            spec,
            facts,
            env={generation_of(spec).capacity: text(str(capacity))},
            probe=monitored_by_api_server(spec, "triggerer"),
            ports={},
        ),
    )


COMPONENT = Component(name=TRIGGERER, position=8, render=render)

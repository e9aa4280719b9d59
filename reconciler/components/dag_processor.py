"""dag-processor: reads DAG files and stores what they say.

Settings: `refresh_interval_seconds` (between listings of the folder, default 10), `parsing_processes`
(default 1).
"""

from __future__ import annotations

from model.names import text
from model.spec import Spec
from model.units import AnyUnit
from reconciler.components.airflow import DAG_PROCESSOR, airflow_process, monitored_by_api_server
from reconciler.components.component import Component, Facts
from reconciler.components.generations import generation_of


def render(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    """The process; Airflow's own default of 300 s between listings keeps people waiting, so ours is 10 s."""
    settings, generation = spec.components[DAG_PROCESSOR].settings, generation_of(spec)
    return (
        airflow_process(
            DAG_PROCESSOR,
            ("airflow", "dag-processor"),
            spec,
            facts,
            env={
                generation.refresh_interval: text(str(settings.get("refresh_interval_seconds", 10))),
                generation.parsing_processes: text(str(settings.get("parsing_processes", 1))),
            },
            probe=monitored_by_api_server(spec, "dag_processor"),
            ports={},
        ),
    )


COMPONENT = Component(name=DAG_PROCESSOR, position=7, render=render)

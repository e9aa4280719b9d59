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


def render(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    """The process; Airflow's own default of 300 s between listings keeps people waiting, so ours is 10 s."""
    settings = spec.components[DAG_PROCESSOR].settings
    return (
        airflow_process(
            DAG_PROCESSOR,
            ("airflow", "dag-processor"),
            spec,
            facts,
            env={
                "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": text(
                    str(settings.get("refresh_interval_seconds", 10))
                ),
                "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": text(str(settings.get("parsing_processes", 1))),
            },
            probe=monitored_by_api_server("dag_processor"),
            ports={},
        ),
    )


COMPONENT = Component(name=DAG_PROCESSOR, position=7, render=render)

"""Migrate: brings the metadata database to the schema of the deployment's Airflow version, once a version.

Its milestone `schema/<version>` is what makes it done. What would write with the old schema is stopped first.
"""

from __future__ import annotations

from model.spec import Spec
from model.units import AnyUnit, Need, Task
from reconciler.components.airflow import (
    DAG_PROCESSOR,
    MIGRATE,
    NEEDS_TO_START,
    SCHEDULER,
    TRIGGERER,
    common_env,
    image_of,
    mounts,
)
from reconciler.components.component import Component, Facts

_STOPPED = frozenset({Need(SCHEDULER, "stopped"), Need(DAG_PROCESSOR, "stopped"), Need(TRIGGERER, "stopped")})


def render(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    """The migration task of this Airflow version."""
    return (
        Task(
            name=MIGRATE,
            component=COMPONENT.name,
            needs=NEEDS_TO_START | _STOPPED,
            image=image_of(spec),
            command=("airflow", "db", "migrate"),
            env=common_env(spec, facts, migrates=True),
            key=f"schema/{spec.airflow_version}",
            mounts=mounts(spec, facts),
        ),
    )


COMPONENT = Component(name="migrate", position=2, render=render, secrets=("fernet-key",))

"""results: makes the two tables in which Celery keeps what became of tasks, in the deployment's own database.

Celery would make them itself as the first worker starts; but the role that Airflow runs as can make no table.
"""

from __future__ import annotations

from model.spec import Spec
from model.units import AnyUnit, Need, Task
from reconciler.components.airflow import MIGRATE, NEEDS_TO_START, RESULTS, common_env, image_of, mounts
from reconciler.components.celery import CELERY
from reconciler.components.component import Component, Facts

_MAKE = """
import os

from celery.backends.database.models import ResultModelBase
from sqlalchemy import create_engine

ResultModelBase.metadata.create_all(create_engine(os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]))
print("the tables of Celery's results are there")
"""


def render(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    """The task, by the role that owns the database."""
    return (
        Task(
            name=RESULTS,
            component=COMPONENT.name,
            needs=NEEDS_TO_START | {Need(MIGRATE, "done")},
            image=image_of(spec),
            command=("python", "-c", _MAKE),
            env=common_env(spec, facts, migrates=True),
            key="results/1",
            mounts=mounts(spec, facts),
        ),
    )


COMPONENT = Component(name=RESULTS, position=4, render=render, executors=(CELERY,))

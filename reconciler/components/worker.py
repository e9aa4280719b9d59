"""worker: takes tasks from the broker and runs them, each worker some at once. Any number of them.

Settings: `concurrency` (tasks at once in each worker, default 4; each keeps a process of about 100 MiB), `queues`
(those it takes tasks from, with commas between, default `default`). Told to stop, a worker takes no more tasks and
ends those it runs, within its `grace_seconds`.
"""

from __future__ import annotations

from dataclasses import replace

from model.names import text
from model.spec import Spec
from model.units import AnyUnit
from reconciler.components.airflow import WORKER, airflow_process
from reconciler.components.celery import CELERY, celery_env, needs_of
from reconciler.components.component import Component, Facts

_START = (
    "exec airflow celery worker --skip-serve-logs --without-gossip --without-mingle"
    ' --celery-hostname "${ARMILLARY_REPLICA:-$HOSTNAME}@$0" --queues "$1"'
)
"""Each replica has a name of its own: among workers of one name only one is ever seen."""


def render(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    """The processes. Their tasks' logs are in the shared folder, so they serve none."""
    settings = spec.components[WORKER].settings
    made = airflow_process(
        WORKER,
        ("/bin/sh", "-c", _START, spec.release, str(settings.get("queues", "default"))),
        spec,
        facts,
        env={
            **celery_env(spec, facts),
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": text(str(settings.get("concurrency", 4))),
        },
        probe=None,
        ports={},
    )
    return (replace(made, needs=made.needs | needs_of(spec)),)


COMPONENT = Component(name=WORKER, position=9, render=render, executors=(CELERY,))

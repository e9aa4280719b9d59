"""Rotate: encrypts Airflow's connections and variables anew after its fernet key got a newer version.

While it has not, every process knows the old keys beside the newest; its milestone `fernet/<version>` lets them
forget. With the first key there is nothing to do, and no such task.
"""

from __future__ import annotations

from model.spec import Spec
from model.units import AnyUnit, Need, Task
from reconciler.components.airflow import (
    API_SERVER,
    DAG_PROCESSOR,
    FERNET_KEY,
    MIGRATE,
    NEEDS_TO_START,
    ROTATE,
    SCHEDULER,
    TRIGGERER,
    common_env,
    fernet_milestone,
    first_version,
    image_of,
    mounts,
)
from reconciler.components.celery import workers_of
from reconciler.components.component import Component, Facts

_EVERYBODY_KNOWS = frozenset(Need(unit, "ready") for unit in (API_SERVER, SCHEDULER, DAG_PROCESSOR, TRIGGERER))


def render(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    """The task that makes the newest key the only one needed."""
    newest = facts.secrets.get(FERNET_KEY, 1)
    if newest == first_version(newest):
        return ()
    return (
        Task(
            name=ROTATE,
            component=COMPONENT.name,
            needs=NEEDS_TO_START | {Need(MIGRATE, "done")} | _EVERYBODY_KNOWS | workers_of(spec),
            image=image_of(spec),
            command=("airflow", "rotate-fernet-key"),
            env=common_env(spec, facts),
            key=fernet_milestone(newest),
            mounts=mounts(spec, facts),
        ),
    )


COMPONENT = Component(name=ROTATE, position=11, render=render)

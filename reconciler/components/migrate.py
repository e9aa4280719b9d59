"""Migrate: brings the metadata database to the schema of the deployment's Airflow version, up or down.

Its milestone `schema/<version>` is what makes it done, and remembers which images may have migrated: only the
newest of them knows how to go back. What would write with the other schema is stopped first, but for a patch
release, which changes no table.
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
    WORKER,
    common_env,
    image_of,
    image_of_version,
    mounts,
)
from reconciler.components.component import Component, Facts

# workers also where they are no longer desired: they may still end what they run
_STOPPED = frozenset(Need(one, "stopped") for one in (SCHEDULER, DAG_PROCESSOR, TRIGGERER, WORKER))
_SCHEMA = "schema/"


def render(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    """The task that brings the schema from where it is to where this version needs it."""
    milestone = facts.milestone(MIGRATE)
    reached = [key.removeprefix(_SCHEMA) for key in (milestone.key, *milestone.begun) if key]
    there = max(reached, key=_numbers, default="")
    goes_back = bool(there) and _numbers(spec.airflow_version) < _numbers(there)
    is_patch = all(_numbers(one)[:2] == _numbers(spec.airflow_version)[:2] for one in reached) and bool(reached)
    return (
        Task(
            name=MIGRATE,
            component=COMPONENT.name,
            needs=NEEDS_TO_START if is_patch else NEEDS_TO_START | _STOPPED,
            image=image_of_version(there) if goes_back else image_of(spec),
            command=_downgrade(spec.airflow_version) if goes_back else ("airflow", "db", "migrate"),
            env=common_env(spec, facts, migrates=True),
            key=f"{_SCHEMA}{spec.airflow_version}",
            mounts=mounts(spec, facts),
        ),
    )


def _downgrade(version: str) -> tuple[str, ...]:
    return ("airflow", "db", "downgrade", "--to-version", version, "--yes")


def _numbers(version: str) -> tuple[int, ...]:
    """A version in its order: 3.10.0 comes after 3.9.1. What is no number counts as 0."""
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))


COMPONENT = Component(name="migrate", position=2, render=render, secrets=("fernet-key",))

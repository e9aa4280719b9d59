"""What the parts of the CeleryExecutor share: where tasks wait, where results are kept, and what needs both. Pure.

The broker's address holds its password, so it is in the environment of those alone who speak to it.
"""

from __future__ import annotations

from model.names import AddressRef, Text, text
from model.spec import Executor, Spec
from model.units import Need
from reconciler.components.airflow import RESULTS, WORKER
from reconciler.components.component import Facts

CELERY: Executor = "CeleryExecutor"
REDIS = "redis"
BROKER = "broker"
BROKER_DATA = "broker-data"
FLOWER = "flower"
BROKER_PASSWORD = "broker-password"  # noqa: S105 - the name of the secret
BROKER_IMAGE = "valkey:9.1.2"


def needs_of(spec: Spec) -> frozenset[Need]:
    """What whoever sends or takes tasks needs beside what all of Airflow does; nothing without Celery."""
    if spec.executor != CELERY:
        return frozenset()
    return frozenset({Need(REDIS, "ready"), Need(RESULTS, "done")})


def workers_of(spec: Spec) -> frozenset[Need]:
    """That the workers run, where there are some."""
    return frozenset({Need(WORKER, "ready")}) if spec.executor == CELERY else frozenset()


def celery_env(spec: Spec, facts: Facts) -> dict[str, Text]:
    """The environment of those who speak to the broker; nothing without Celery.

    Results go to the deployment's own database by the role that Airflow runs as: Airflow's default.
    """
    if spec.executor != CELERY:
        return {}
    address = text("redis://:", facts.secret(BROKER_PASSWORD), "@", AddressRef(REDIS, "broker"), "/0")
    return {"AIRFLOW__CELERY__BROKER_URL": address}

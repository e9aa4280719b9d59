"""Environment: where a deployment lives, its configuration file, its login, and its folders.

`airflow.cfg` holds every setting that is neither secret nor one component's own. Changing it restarts every
Airflow process, since all read it. The `home` and `logs` volumes belong to Airflow; logs outlive a deletion
until `retain_until`, with the folder that holds them.
"""

from __future__ import annotations

from model.spec import Spec
from model.units import AnyUnit, Credentials, Environment, Need, Settings, Volume
from reconciler.components.airflow import (
    ENVIRONMENT,
    HOME,
    LOGIN,
    LOGS,
    SETTINGS,
    image_of,
    login_files,
    settings_files,
)
from reconciler.components.celery import BROKER_IMAGE, CELERY
from reconciler.components.component import Component, Facts

_PRESENT = frozenset({Need(ENVIRONMENT, "present")})


def render(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    """The place, the settings, the login's password file, and the volumes."""
    here = COMPONENT.name
    return (
        Environment(name=ENVIRONMENT, component=here, image=image_of(spec), others=_others(spec), retain=True),
        Settings(name=SETTINGS, component=here, needs=_PRESENT, files=settings_files(spec)),
        Credentials(name=LOGIN, component=here, needs=_PRESENT, files=login_files(facts)),
        Volume(name=HOME, component=here, needs=_PRESENT),
        Volume(name=LOGS, component=here, needs=_PRESENT, retain=True),
    )


def _others(spec: Spec) -> tuple[str, ...]:
    return (BROKER_IMAGE,) if spec.executor == CELERY else ()


COMPONENT = Component(name="environment", position=0, render=render, secrets=("admin-password",))

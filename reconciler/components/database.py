"""Database: one PostgreSQL database for Airflow's metadata, with two least-privilege roles.

One role owns it and migrates; Airflow runs as the other, which reads and writes rows and can change no table.
All three are kept after a deletion until `retain_until`.
"""

from __future__ import annotations

from model.spec import Spec
from model.units import AnyUnit, Database
from reconciler.components.airflow import DATABASE, role_name
from reconciler.components.component import Component, Facts


def render(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    """The database, named by the release, which is never used again."""
    return (
        Database(
            name=DATABASE,
            component=COMPONENT.name,
            database=spec.release,
            owner=role_name(spec, "owner"),
            owner_password=facts.secret("database-owner"),
            user=role_name(spec, "user"),
            user_password=facts.secret("database-user"),
            retain=True,
        ),
    )


COMPONENT = Component(name="database", position=1, render=render, secrets=("database-owner", "database-user"))

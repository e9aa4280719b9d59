"""User: the generated login, as a user of Airflow 2, which keeps its users in its own database.

A new password is a new task: its milestone `user/<version>` names the password that the user has. Airflow 3 reads
the login from a file and has no such task.
"""

from __future__ import annotations

from model.names import text
from model.spec import Spec
from model.units import AnyUnit, Need, Task
from reconciler.components.airflow import (
    ADMIN,
    MIGRATE,
    NEEDS_TO_START,
    USER,
    common_env,
    image_of,
    mounts,
)
from reconciler.components.component import Component, Facts
from reconciler.components.generations import generation_of

_MAKE = """
import os
import sys

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

name, password = os.environ["ARMILLARY_USER"], os.environ["ARMILLARY_PASSWORD"]
with get_application_builder() as builder:
    security = builder.sm
    role = security.find_role("Admin")
    user = security.find_user(name)
    if user is None:
        user = security.add_user(name, "Generated", "Login", f"{name}@localhost", role, password)
    else:
        security.reset_password(user.id, password)
        user.active, user.roles = True, [role]
        security.update_user(user)
    if not user:
        sys.exit(f"the user {name} could not be made")
print(f"the user {name} has its password")
"""


def render(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    """The task, by the role that Airflow runs as; nothing for an Airflow that reads a file."""
    if not generation_of(spec).has_users:
        return ()
    password = facts.secret("admin-password")
    return (
        Task(
            name=USER,
            component=COMPONENT.name,
            needs=NEEDS_TO_START | {Need(MIGRATE, "done")},
            image=image_of(spec),
            command=("python", "-c", _MAKE),
            env={
                **common_env(spec, facts),
                "ARMILLARY_USER": text(ADMIN),
                "ARMILLARY_PASSWORD": text(password),
            },
            key=f"user/{password.version}",
            mounts=mounts(spec, facts),
        ),
    )


COMPONENT = Component(name="user", position=4, render=render)

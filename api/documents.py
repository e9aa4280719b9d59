"""The documents that people write: workspaces and deployments, with their components and variables.

Strict: an unknown member or a wrong type is an error, never a guess. What values may be is judged by the store
alone, with the same sentences as in psql; the bounds here only describe it. Members that Armillary gives
(`readOnly`) may be sent back as they were read.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

READ_ONLY: dict[str, Any] = {"readOnly": True}


def told(**schema: Any) -> dict[str, Any]:
    """Bounds that the OpenAPI document tells of, and the store judges."""
    return dict(schema)


Name = Annotated[str, Field(json_schema_extra=told(pattern=r"^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$"))]
VariableKey = Annotated[str, Field(json_schema_extra=told(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,199}$"))]


class Document(BaseModel):
    """Anything in JSON that the API reads or writes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _like(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(extra="forbid", strict=True, frozen=True, json_schema_extra={"examples": [example]})


class Workspace(Document):
    """A team's place for deployments."""

    model_config = _like({"name": "demo", "description": "The first look at Armillary."})

    name: Name | None = Field(default=None, description="Lowercase letters, digits and dashes; as in the path.")
    description: str = Field(default="", description="For people.", json_schema_extra=told(maxLength=1000))
    generation: int | None = Field(
        default=None, description="Grows with every change.", json_schema_extra=READ_ONLY
    )
    created_at: AwareDatetime | None = Field(
        default=None, description="When it was made.", json_schema_extra=READ_ONLY
    )


class Component(Document):
    """One part of a deployment: how many, how big, and its settings."""

    model_config = _like({"replicas": 1, "grace_seconds": 20, "settings": {"parallelism": 32}})

    replicas: int = Field(
        default=1,
        description="How many run; 0 stops it. The most depends on the component.",
        json_schema_extra=told(minimum=0, maximum=1000),
    )
    cpu_millicores: int | None = Field(
        default=None,
        description="Thousandths of a core; advisory on a local cluster.",
        json_schema_extra=told(minimum=10, maximum=256000),
    )
    memory_mib: int | None = Field(
        default=None,
        description="MiB; advisory on a local cluster.",
        json_schema_extra=told(minimum=64, maximum=4194304),
    )
    grace_seconds: int = Field(
        default=20,
        description="How long it may take to stop before it is killed; for workers 600 where it is not said.",
        json_schema_extra=told(minimum=0, maximum=36000),
    )
    settings: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Keys and bounds are in the view armillary.settings."
    )


class Variable(Document):
    """An environment variable of a deployment. A secret's value is written, and never read again."""

    model_config = _like({"secret": True, "value": "write-only", "components": ["scheduler"]})

    value: str | None = Field(
        default=None,
        description="Its value. Of a secret it is never answered; left out, the sealed value stays.",
        json_schema_extra=told(maxLength=131072),
    )
    secret: bool = Field(default=False, description="True: the value is sealed.")
    version: int | None = Field(
        default=None,
        description="Of a secret: the version in force; 0 until it is sealed.",
        json_schema_extra=READ_ONLY,
    )
    components: list[str] = Field(
        default_factory=list,
        description="Who reads it; empty: every Airflow process. They restart when it changes.",
    )


class DefaultVariable(Document):
    """An environment variable that many deployments have unless they have their own. Never a secret."""

    model_config = _like({"value": "http://proxy.example.org:3128"})

    value: str = Field(description="Its value.", json_schema_extra=told(maxLength=131072))


class AlertEmail(Document):
    """Who is to be told when something is wrong with a deployment."""

    model_config = _like({"email": "data-team@example.org"})

    email: str = Field(
        description="An address. Capital letters make no other one.", json_schema_extra=told(maxLength=200)
    )


class Deployment(Document):
    """One Airflow, as it should be. A member left out of a PUT has its default; of a PATCH, it stays."""

    model_config = _like(
        {
            "airflow_version": "3.3.2",
            "dags_folder": "/srv/airflow/dags",
            "components": {"triggerer": {"replicas": 0}},
            "variables": {"TEAM": {"value": "data"}, "API_KEY": {"secret": True, "value": "write-only"}},
        }
    )

    workspace: Name | None = Field(default=None, description="As in the path.")
    name: Name | None = Field(default=None, description="As in the path.")
    release: str | None = Field(
        default=None,
        description="Name of its database, folder and roles. Given once, never changed, never used again.",
        json_schema_extra=READ_ONLY,
    )
    cluster: str = Field(default="local", description="Where it runs. Never changes.")
    airflow_version: str = Field(description="The Airflow that runs; changing it migrates its database.")
    executor: str = Field(
        default="LocalExecutor", description="How Airflow runs tasks: LocalExecutor or CeleryExecutor."
    )
    dags_folder: str = Field(
        description="Absolute path of the DAG files. Never written to.",
        json_schema_extra=told(pattern=r"^/[^\n\r]*$", maxLength=4000),
    )
    hibernated: bool = Field(default=False, description="True: nothing runs, everything is kept.")
    drift_policy: str = Field(
        default="repair",
        description="What becomes of changes made behind Armillary's back.",
        json_schema_extra=told(enum=["repair", "report"]),
    )
    paused_until: AwareDatetime | None = Field(
        default=None, description="Until then nothing is changed. A pause always expires, and has a reason."
    )
    pause_reason: str = Field(
        default="", description="Why, for the next person.", json_schema_extra=told(maxLength=1000)
    )
    restarted_at: AwareDatetime | None = Field(
        default=None, description="Every process is restarted when this changes."
    )
    components: dict[str, Component] = Field(
        default_factory=dict, description="By name. One left out has its defaults: it is there all the same."
    )
    variables: dict[VariableKey, Variable] = Field(default_factory=dict, description="By name, complete.")
    generation: int | None = Field(
        default=None,
        description="Grows with every change. The ETag. What is sent is not looked at: send If-Match.",
        json_schema_extra=READ_ONLY,
    )
    deletion_requested_at: AwareDatetime | None = Field(
        default=None, description="When the deletion was asked for; null in a PATCH takes it back."
    )
    delete_after: AwareDatetime | None = Field(
        default=None, description="From then on everything but data is removed."
    )
    retain_until: AwareDatetime | None = Field(
        default=None, description="From then on databases and volumes are removed too."
    )
    created_at: AwareDatetime | None = Field(
        default=None, description="When it was made.", json_schema_extra=READ_ONLY
    )


class Rollback(Document):
    """Which earlier revision is to be the newest again."""

    model_config = _like({"revision": 7})

    revision: int = Field(description="Its number, as in `revisions`.", json_schema_extra=told(minimum=1))

"""The documents that people write: workspaces and deployments, with their components and variables.

Strict: an unknown member or a wrong type is an error, never a guess. What depends on catalogues (versions,
settings, replicas of a component) is judged by the store alone, with the same sentences as in psql. Members that
Armillary gives (`readOnly`) may be sent back as they were read.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

READ_ONLY: dict[str, Any] = {"readOnly": True}

Name = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$")]
VariableKey = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,199}$")]


class Document(BaseModel):
    """Anything in JSON that the API reads or writes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _like(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(extra="forbid", strict=True, frozen=True, json_schema_extra={"examples": [example]})


class Workspace(Document):
    """A team's place for deployments."""

    model_config = _like({"name": "demo", "description": "The first look at Armillary."})

    name: Name | None = Field(default=None, description="Lowercase letters, digits and dashes; as in the path.")
    description: str = Field(default="", max_length=1000, description="For people.")
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
        default=1, ge=0, le=1000, description="How many run; 0 stops it. The most depends on the component."
    )
    cpu_millicores: int | None = Field(
        default=None, ge=10, le=256000, description="Thousandths of a core; advisory on a local cluster."
    )
    memory_mib: int | None = Field(
        default=None, ge=64, le=4194304, description="MiB; advisory on a local cluster."
    )
    grace_seconds: int = Field(
        default=20, ge=0, le=36000, description="How long it may take to stop before it is killed."
    )
    settings: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Keys and bounds are in the view armillary.settings."
    )


class Variable(Document):
    """An environment variable of a deployment. A secret's value is written, and never read again."""

    model_config = _like({"secret": True, "value": "write-only", "components": ["scheduler"]})

    value: str | None = Field(
        default=None,
        max_length=131072,
        description="Its value. Of a secret it is never answered; left out, the sealed value stays.",
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
    executor: str = Field(default="LocalExecutor", description="How Airflow runs tasks.")
    dags_folder: str = Field(
        pattern=r"^/[^\n\r]*$", max_length=4000, description="Absolute path of the DAG files. Never written to."
    )
    hibernated: bool = Field(default=False, description="True: nothing runs, everything is kept.")
    drift_policy: Literal["repair", "report"] = Field(
        default="repair", description="What becomes of changes made behind Armillary's back."
    )
    paused_until: AwareDatetime | None = Field(
        default=None, description="Until then nothing is changed. A pause always expires, and has a reason."
    )
    pause_reason: str = Field(default="", max_length=1000, description="Why, for the next person.")
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

"""The documents that the API only answers: status, events, plans, alerts, problems."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from api.documents import Deployment, Document


class Condition(Document):
    """One observation about a deployment."""

    type: Literal["Synced", "Ready"]
    status: Literal["True", "False", "Unknown"]
    reason: str = Field(description="The machine's word.")
    message: str = Field(description="A sentence for people.")
    since: AwareDatetime = Field(description="When `status` last changed.")


class Unit(Document):
    """How one unit is doing."""

    unit: str
    component: str
    state: Literal["waiting", "held", "blind", "applying", "progressing", "ready", "failed", "stopped", "done"]
    detail: str


class Status(Document):
    """What the daemon concluded about a deployment. It speaks about `observed_generation`."""

    workspace: str
    name: str
    generation: int
    stage: Literal["active", "stopping", "retaining", "purging"]
    observed_generation: int | None = Field(description="Null: never looked at.")
    conditions: list[Condition]
    units: list[Unit]
    attempts: int = Field(description="Failed passes since the last success.")
    next_attempt_at: AwareDatetime | None
    converged_generation: int | None = Field(
        default=None, description="The generation at which all that was asked for was last there; null: never."
    )
    converged_defaults: str = Field(default="", description="The digest of the defaults at that time.")
    rolling_since: AwareDatetime | None = Field(
        default=None, description="Since when a change that nobody asked for in particular is on its way."
    )
    addresses: dict[str, str] = Field(examples=[{"airflow": "http://127.0.0.1:20000"}])


class Event(Document):
    """One thing that happened to a deployment."""

    id: int = Field(description="Ask for what came after it with ?after=.")
    at: AwareDatetime
    reason: str
    message: str
    cause: str | None = Field(description="generation, drift, renderer, defaults, orphan or retry.")
    object: str = Field(description="Empty: the whole deployment.")


class Action(Document):
    """One write to one object."""

    action: Literal["Create", "Update", "Replace", "Stop", "Delete"]
    object: str
    unit: str
    cause: str
    why: str


class Waiting(Document):
    """What will be done when its turn comes, and what it waits for."""

    object: str
    unit: str
    why: str
    action: str | None = Field(description="Null: it is under way, and has yet to end.")
    needs: list[str] = Field(examples=[["migrate done"]])


class Held(Document):
    """What will not be done until a person or the world changes."""

    object: str
    unit: str
    why: str


class Plan(Document):
    """What a pass would do now. All empty: converged."""

    now: list[Action]
    later: list[Waiting]
    held: list[Held]


class Why(Document):
    """Why a deployment is as it is."""

    why: str = Field(examples=["demo/hello is Ready: everything that should run is healthy"])
    lines: list[str]


class Revision(Document):
    """One generation, complete."""

    revision: int
    spec: Deployment
    at: AwareDatetime
    actor: str


class Login(Document):
    """How to log in to a deployment's Airflow."""

    username: str
    password: str
    url: str | None


class LogLines(Document):
    """The last lines that a unit printed."""

    unit: str
    lines: list[str]


class UnitUsage(Document):
    """What one unit uses of its cluster."""

    unit: str
    processes: int
    cpu_seconds: float = Field(description="Of processor time, of all that runs; compare two answers.")
    memory_bytes: int = Field(description="Shared memory is divided between those who share it.")


class Usage(Document):
    """What a deployment uses of its cluster, at one moment."""

    seconds: float = Field(description="The moment, on a clock that only differences of mean something.")
    units: list[UnitUsage]


class Alert(Document):
    """Something that is wrong now."""

    name: str
    severity: Literal["warning", "critical"]
    deployment: str | None = Field(description="workspace/name; null: the daemon itself.")
    since: AwareDatetime | None
    message: str
    what_to_do: str
    emails: list[str] = Field(description="Who is to be told: the deployment's alert e-mails.")


class Health(Document):
    """Whether the process, or the daemon's work, is well."""

    status: Literal["ok", "not ready"]
    reasons: list[str] = Field(default_factory=list)


class Problem(Document):
    """What was wrong, where, and what to do next (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    pointer: str | None = Field(default=None, description="JSON pointer into the document that was sent.")
    hint: str | None = Field(default=None, description="What to do next.")
    rule: str | None = Field(
        default=None, description="The store's rule that says no: `CONSTRAINT` of the same error in psql."
    )
    request_id: str | None = None

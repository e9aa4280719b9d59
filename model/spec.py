"""What people ask for: the desired half of a deployment, and everything a pass needs to know about it.

`Spec` is what is stored for one deployment after the layers of defaults were applied by the store's snapshot.
`Snapshot` is one consistent read of everything that concerns one owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from model.names import Moment, Owner, UnitName
from model.objects import Known
from model.status import Milestone, Status

Executor = Literal["LocalExecutor", "CeleryExecutor", "KubernetesExecutor"]
DriftPolicy = Literal["repair", "report"]
Stage = Literal["active", "stopping", "retaining", "purging"]
Approval = Literal["deletes", "data", "rollout"]
"""What a person can approve for one owner: deletes beyond the budget, the end of data that nothing uses any more,
a change that the fleet gate holds."""
SettingValue = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentSpec:
    """One component of a deployment: how many, how big, and its settings (keys from the catalogue)."""

    replicas: int = 1
    cpu_millicores: int | None = None
    memory_mib: int | None = None
    grace_seconds: int = 20
    settings: Mapping[str, SettingValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainVariable:
    """An environment variable of a deployment. `components` empty: every Airflow process reads it."""

    value: str
    components: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretVariable:
    """A secret environment variable: only its version is known here. Version 0: not sealed yet."""

    version: int
    components: tuple[str, ...] = ()


Variable = PlainVariable | SecretVariable


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The complete desired state of one deployment."""

    workspace: str
    name: str
    release: str
    cluster: str
    airflow_version: str
    executor: Executor
    dags_folder: str
    components: Mapping[str, ComponentSpec]
    variables: Mapping[str, Variable] = field(default_factory=dict)
    hibernated: bool = False
    drift_policy: DriftPolicy = "repair"
    restarted_at: str = ""  # ISO time of the last restart asked for; part of every process's digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One statement's view of one owner: what is asked, what is known, what was achieved.

    `stage` follows from the deletion's times by the database's clock: `active`; `stopping` (deletion asked,
    grace not over: all is stopped, nothing removed); `retaining` (grace over: only retained units
    remain); `purging` (`retain_until` over: nothing remains). `spec` None: the row is gone (an orphan)
    or it is a platform owner. `secrets` maps the name of each of the owner's secrets to its newest version.
    `stage_ends_at` is when the stage changes by itself. `defaults`: a digest of the defaults that reach the spec.
    `moment` is the newest change of desired state anywhere, as of this read. `held`: why the store itself says
    that nothing may be changed, because nobody asked for what is there; empty: it may.
    """

    owner: Owner
    now: datetime
    spec: Spec | None
    generation: int = 0
    stage: Stage = "active"
    stage_ends_at: datetime | None = None
    paused_until: datetime | None = None
    pause_reason: str = ""
    held: str = ""
    secrets: Mapping[str, int] = field(default_factory=dict)
    ports: Mapping[tuple[UnitName, str], int] = field(default_factory=dict)
    milestones: frozenset[Milestone] = frozenset()
    inventory: tuple[Known, ...] = ()
    status: Status | None = None
    defaults: str = ""
    approvals: frozenset[Approval] = frozenset()
    moment: Moment = field(default_factory=Moment)

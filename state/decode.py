"""From the store's JSON to the model's values, and back: the only place that knows both shapes.

Strict where a mistake would be dangerous: a missing field is an error, never an empty value.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from model.names import Moment, Owner, Ref
from model.objects import InventoryState, Known
from model.spec import (
    Approval,
    ComponentSpec,
    DriftPolicy,
    Executor,
    PlainVariable,
    SecretVariable,
    Snapshot,
    Spec,
    Stage,
    Variable,
)
from model.status import Milestone, Record, Status
from model.units import Need, NeedState
from state.errors import StateError


class _Variable(msgspec.Struct):
    components: tuple[str, ...] = ()
    secret: bool = False
    value: str | None = None
    version: int | None = None


class _Spec(msgspec.Struct):
    workspace: str
    name: str
    release: str
    cluster: str
    airflow_version: str
    executor: Executor
    dags_folder: str
    components: dict[str, ComponentSpec]
    variables: dict[str, _Variable]
    hibernated: bool
    drift_policy: DriftPolicy
    restarted_at: str | None


class _Known(msgspec.Struct):
    kind: str
    name: str
    unit: str
    digest: str
    needs: list[tuple[str, NeedState]]
    state: InventoryState
    retain: bool
    uid: str


class _Snapshot(msgspec.Struct):
    now: datetime
    spec: _Spec | None
    generation: int
    stage: Stage
    stage_ends_at: datetime | None
    paused_until: datetime | None
    pause_reason: str | None
    held: str | None
    defaults: str | None
    secrets: dict[str, int]
    ports: list[tuple[str, str, int]]
    milestones: frozenset[Milestone]
    inventory: list[_Known]
    status: Status | None
    approvals: frozenset[Approval]
    moment: tuple[int, str]


_SNAPSHOT = msgspec.json.Decoder(_Snapshot)


def snapshot(owner: Owner, document: str) -> Snapshot:
    """The snapshot in the text of `core.load`'s answer. Raises StateError when it is not one."""
    try:
        wire = _SNAPSHOT.decode(document)
    except msgspec.ValidationError as error:
        raise StateError(
            f"the store's answer about {owner} is not understood ({error}); the database and this release of "
            f"Armillary differ: run `armillary migrate`"
        ) from None
    return Snapshot(
        owner=owner,
        now=wire.now,
        spec=_spec(wire.spec) if wire.spec is not None else None,
        generation=wire.generation,
        stage=wire.stage,
        stage_ends_at=wire.stage_ends_at,
        paused_until=wire.paused_until,
        pause_reason=wire.pause_reason or "",
        held=wire.held or "",
        defaults=wire.defaults or "",
        secrets=wire.secrets,
        ports={(unit, port): number for unit, port, number in wire.ports},
        milestones=wire.milestones,
        inventory=tuple(_known(one) for one in wire.inventory),
        status=wire.status,
        approvals=wire.approvals,
        moment=Moment(*wire.moment),
    )


def records(batch: tuple[Record, ...]) -> str:
    """The text that `core.record` reads."""
    return msgspec.json.encode([_record(one) for one in batch]).decode()


def inventory(objects: tuple[Known, ...]) -> str:
    """The text of inventory rows that `core.intend` reads."""
    return msgspec.json.encode([_row(one) for one in objects]).decode()


def milestones(begun: tuple[Milestone, ...]) -> str:
    """The text of milestones that `core.intend` reads."""
    return msgspec.json.encode(list(begun)).decode()


def _spec(wire: _Spec) -> Spec:
    return Spec(
        workspace=wire.workspace,
        name=wire.name,
        release=wire.release,
        cluster=wire.cluster,
        airflow_version=wire.airflow_version,
        executor=wire.executor,
        dags_folder=wire.dags_folder,
        components=wire.components,
        variables={name: _variable(one) for name, one in wire.variables.items()},
        hibernated=wire.hibernated,
        drift_policy=wire.drift_policy,
        restarted_at=wire.restarted_at or "",
    )


def _variable(wire: _Variable) -> Variable:
    if wire.secret:
        return SecretVariable(version=wire.version or 0, components=wire.components)
    return PlainVariable(value=wire.value or "", components=wire.components)


def _known(wire: _Known) -> Known:
    return Known(
        ref=Ref(wire.kind, wire.name),
        unit=wire.unit,
        digest=wire.digest,
        needs=frozenset(Need(unit, state) for unit, state in wire.needs),
        state=wire.state,
        retain=wire.retain,
        uid=wire.uid,
    )


def _row(known: Known) -> Mapping[str, Any]:
    return {
        "kind": known.ref.kind,
        "name": known.ref.name,
        "unit": known.unit,
        "digest": known.digest,
        # sorted, so that equal needs are equal rows and are not written again
        "needs": [[need.unit, need.state] for need in sorted(known.needs)],
        "state": known.state,
        "retain": known.retain,
        "uid": known.uid,
    }


def _record(record: Record) -> Mapping[str, Any]:
    return {
        "owner": str(record.owner),
        "epoch": record.epoch,
        "status": record.status,
        "objects": [_row(one) for one in record.objects],
        "forget": [_place(one) for one in record.forget],
        "milestones": list(record.milestones),
        "events": list(record.events),
        "remove_owner": record.remove_owner,
    }


def _place(ref: Ref) -> tuple[str, str]:
    return ref.kind, ref.name

"""The rows of the simulated store: immutable, so that a backup is a reference and a snapshot costs nothing.

The rules are those of the SQL: stages follow from times, an owner is due for the reasons of `core.due`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from model.names import Owner, Place, Ref, UnitName
from model.objects import Known, Object
from model.spec import Approval, PlainVariable, Snapshot, Spec, Stage
from model.status import Milestone, Reason, Status
from reconciler.backoff import is_due

BEGINNING = datetime(2026, 11, 22, tzinfo=UTC)


FIRST_DEFAULTS = "defaults-1"
INHERITED = "INHERITED"
"""The variable that later defaults give to every deployment."""

_EFFECTIVE_MAX = 4096
_effective: dict[tuple[int, str], tuple[Spec, Spec]] = {}
"""The same object for the same spec, as renderings are compared by identity. It keeps the key's spec alive."""


def effective(spec: Spec, defaults: str) -> Spec:
    """What is asked for when defaults have been added to a deployment's own spec."""
    if defaults == FIRST_DEFAULTS:
        return spec
    known = _effective.get((id(spec), defaults))
    if known is not None:
        return known[1]
    made = replace(spec, variables={INHERITED: PlainVariable(value=defaults), **spec.variables})
    if len(_effective) >= _EFFECTIVE_MAX:
        _effective.clear()
    _effective[id(spec), defaults] = (spec, made)
    return made


def moment(seconds: float) -> datetime:
    """A time of the store's clock as an aware datetime."""
    return BEGINNING + timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Everything that is stored about one owner. `spec` None: the deployment's row is gone."""

    owner: Owner
    spec: Spec | None = None
    generation: int = 0
    deletion: tuple[datetime, datetime] | None = None  # delete_after, retain_until
    paused_until: datetime | None = None
    pause_reason: str = ""
    approvals: Mapping[Approval, datetime] = field(default_factory=dict)  # until when
    secrets: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[tuple[str, int], str] = field(default_factory=dict)
    ports: Mapping[tuple[UnitName, str], int] = field(default_factory=dict)
    milestones: frozenset[Milestone] = frozenset()
    inventory: Mapping[Ref, Known] = field(default_factory=dict)
    status: Status | None = None
    epoch: int = 0
    events: int = 0

    @property
    def place(self) -> Place:
        """Where its work queues."""
        return Place() if self.spec is None else Place(self.spec.cluster, self.spec.workspace)

    def holds(self, wanted: Object) -> bool:
        """Whether the inventory says that an object is there as wanted."""
        known = self.inventory.get(wanted.ref)
        return known is not None and known.state in ("present", "stopped") and known.digest == wanted.digest

    def stage(self, now: datetime) -> Stage:
        """What its deletion has come to."""
        if self.deletion is None or self.spec is None:
            return "active"
        delete_after, retain_until = self.deletion
        return "stopping" if now < delete_after else "retaining" if now < retain_until else "purging"

    def is_due(self, now: datetime) -> bool:
        """Whether a pass is due, by the rules of `core.due`."""
        if self.spec is None:
            return False
        if self.status is None or self.status.observed_generation != self.generation:
            return True
        attempt = self.status.next_attempt_at
        if attempt is not None and is_due(attempt, now):
            return True
        if self.paused_until is not None and self.paused_until <= now and self._is_told_as_paused():
            return True
        return attempt is None and self._is_deletion_due(now)

    def _is_told_as_paused(self) -> bool:
        synced = self.status.condition("Synced") if self.status is not None else None
        return synced is not None and synced.reason is Reason.PAUSED

    def _is_deletion_due(self, now: datetime) -> bool:
        if self.deletion is None or now < self.deletion[0]:
            return False
        if self.paused_until is not None and self.paused_until > now:
            return False
        left = (one for one in self.inventory.values() if not one.retain)
        return self.deletion[1] <= now or any(one.state in ("intended", "present") for one in left)

    def snapshot(self, now: datetime, defaults: str) -> Snapshot:
        """One statement's view of it, as `core.load` gives it."""
        stage = self.stage(now)
        ends = {"stopping": 0, "retaining": 1}.get(stage)
        is_paused = self.paused_until is not None and self.paused_until > now
        return Snapshot(
            owner=self.owner,
            now=now,
            spec=None if self.spec is None else effective(self.spec, defaults),
            generation=self.generation,
            stage=stage,
            stage_ends_at=self.deletion[ends] if self.deletion is not None and ends is not None else None,
            paused_until=self.paused_until if is_paused else None,
            pause_reason=self.pause_reason if is_paused else "",
            secrets=self.secrets,
            ports=self.ports,
            milestones=self.milestones,
            inventory=tuple(self.inventory.values()),
            status=self.status,
            defaults=defaults,
            approvals=frozenset(name for name, until in self.approvals.items() if now < until),
        )

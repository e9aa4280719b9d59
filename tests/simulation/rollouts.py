"""The invariant GATE: what nobody asked for in particular reaches a few deployments at a time, the first alone.

It is judged by the world's effects: an owner is being changed from the first effect that follows from no wish
about it, until all that it should have is there and healthy.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.simulation.thing import Thing
from drivers.simulation.world import Write
from model.names import Owner
from model.plan import Action, Change
from model.spec import Snapshot
from model.status import Record
from reconciler.gate import GateLimits

from .checkers import Checkers, Observer
from .rows import Row
from .store import Store
from .truth import Truth

_LIMITS = GateLimits()
_STEADY_SECONDS = 90.0
"""What was so for so long was seen by whoever looked: the cache's lag, a slow call, a slow record."""


@dataclass(slots=True, kw_only=True)
class _Fleet:
    """Who of one cluster is being changed, and since when; and how many came through."""

    rolling: dict[Owner, float]
    finished: int = 0


class Rollouts(Observer):
    """Watches every effect and every status."""

    def __init__(self, checkers: Checkers, truth: Truth, store: Store) -> None:
        self._checkers = checkers
        self._truth = truth
        self._store = store
        self._fleets: dict[str, _Fleet] = {}

    def wrote(self, write: Write) -> None:
        """An effect: may this owner be changed now, for no wish of anybody's about it?"""
        action, snapshot = self._checkers.action_of(write)
        if snapshot.spec is None or not is_unasked(action, snapshot):
            return
        fleet = self._fleets.setdefault(snapshot.spec.cluster, _Fleet(rolling={}))
        if snapshot.owner in fleet.rolling:
            return
        self._checkers.counts["unasked changes"] += 1
        self._let_go(fleet)
        width = 1 if fleet.finished < _LIMITS.canaries else _LIMITS.at_once
        if len(fleet.rolling) >= width and "rollout" not in snapshot.approvals:
            others = ", ".join(map(str, fleet.rolling))
            self._checkers.violated("GATE", f"{action.ref} is changed unasked, and {others} not through yet")
        fleet.rolling[snapshot.owner] = self._checkers.now

    def committed(self, before: Row | None, after: Row | None, record: Record | None) -> None:
        """A status: who says that an owner is through must have seen it well."""
        if record is None or after is None or not _is_through(after):
            return
        for fleet in self._fleets.values():
            if after.owner in fleet.rolling:
                # of one that the database forgot to have let through, a backup said long ago that it is
                is_remembered = fleet.rolling[after.owner] >= self._checkers.upheaval_at
                self._finish(fleet, after.owner)
                for thing in self._ailing(after) if is_remembered else ():
                    told = f"{after.owner} is said to be through, and {thing.ref} is not healthy"
                    self._checkers.violated("GATE", told)

    def _let_go(self, fleet: _Fleet) -> None:
        """Forget whom the truth shows well, and of whom the database forgot that it was let through."""
        for owner, since in list(fleet.rolling.items()):
            row = self._store.tables.rows.get(owner)
            if since < self._checkers.upheaval_at or row is None or row.spec is None:
                del fleet.rolling[owner]
            elif not any(self._truth.differences(row)) and not self._ailing(row, steady_seconds=0.0):
                self._finish(fleet, owner)

    def _finish(self, fleet: _Fleet, owner: Owner) -> None:
        del fleet.rolling[owner]
        fleet.finished += 1

    def _ailing(self, row: Row, steady_seconds: float = _STEADY_SECONDS) -> list[Thing]:
        """What should run and has not been healthy for so long."""
        snapshot = row.snapshot(self._store.now, self._store.tables.defaults)
        now = self._checkers.now
        things = [self._truth.world_of(one.ref).standing(one.ref) for one in self._truth.desired(snapshot)]
        running = [one for one in things if one is not None and one.life == "process" and one.replicas]
        return [
            one
            for one in running
            if one.stopped_at is None and now < max(one.ready_at, one.crashes_until)
            if not self._truth.is_young(one.ref, now - steady_seconds)
        ]


def is_unasked(action: Action, snapshot: Snapshot) -> bool:
    """Whether a change follows from no wish about its owner, judged without asking the daemon.

    All that its spec asks for was there once, as the inventory says, and now something else is to be there.
    """
    status = snapshot.status
    if not isinstance(action, Change) or status is None or snapshot.stage != "active":
        return False
    known = next((one for one in snapshot.inventory if one.ref == action.ref), None)
    is_other = known is not None and known.state == "present" and known.digest != action.object.digest
    return is_other and status.converged_generation == snapshot.generation


def _is_through(row: Row) -> bool:
    if row.status is None or row.status.rolling_since is not None:
        return False
    synced = row.status.condition("Synced")
    return synced is not None and synced.status == "True"

"""The ledger: what one daemon remembers between passes. Losing it costs time, never safety.

Footprints of its own writes, the generations it has seen, what it spent of each cluster's delete budget, and whom
each fleet gate let through. Everything else that a pass knows is in its snapshot and its observation.
"""

from __future__ import annotations

from collections.abc import Callable

from model.names import Moment, Owner
from model.plan import Plan
from model.spec import Snapshot
from model.status import Conclusion, Status
from reconciler.budget import Budget
from reconciler.circumstances import Rails
from reconciler.footprints import Footprints, Sight
from reconciler.gate import TURN, FleetGate, GateLimits
from reconciler.judge import is_well
from reconciler.limits import Limits
from reconciler.rails import UNASKED, is_unexplained

TAKEOVER_EPOCHS = 1_000_000
"""What a takeover adds to the epoch (state/sql says the same): no cluster ever had so many leases in a row."""

_WENT_BACK = (
    "The state database went back: changes that this daemon has seen are not in it, as after a restore from a "
    "backup. Nothing is changed. Look at what is missing, then take over with: "
    "SELECT armillary.takeover('<reason>')."
)


class Ledger:
    """One daemon's memory, most of it under one lease. Times are seconds of the running loop's clock.

    Before it leads it allows nothing that a budget or a gate has to allow. `hold` tells why nothing at all may be
    changed in a cluster now; empty: it may.
    """

    def __init__(
        self, limits: Limits, *, gate: GateLimits | None = None, hold: Callable[[str], str] = lambda _: ""
    ) -> None:
        self._limits = limits
        self._hold = hold
        self._gate_limits = gate
        self._epoch: int | None = None
        self._newest = Moment()  # the newest change that this daemon ever saw
        self._went_back = False
        self.footprints = Footprints(limits)  # of this process: its caches do not begin anew with a lease
        self._restart(float("inf"))

    def lead(self, epoch: int, now: float) -> None:
        """Passes are made under this epoch. Under a new one, what was remembered may be out of date."""
        if epoch != self._epoch:
            if self._epoch is not None and epoch - self._epoch >= TAKEOVER_EPOCHS // 2:
                self._newest, self._went_back = Moment(), False
            self._epoch = epoch
            self._restart(now)

    @property
    def newest(self) -> Moment:
        """The newest change of desired state that any pass has seen."""
        return self._newest

    def loaded(self, before: Snapshot, *, since: Moment) -> None:
        """A snapshot was read. `since` is the newest change known when the reading began: it must be in it."""
        if before.moment.number > self._newest.number:
            self._newest = before.moment
        is_past = before.moment.number < since.number
        self._went_back = (
            self._went_back or is_past or (before.moment.number == since.number and before.moment != since)
        )

    def _restart(self, began_at: float) -> None:
        self.strays: dict[Owner, frozenset[str]] = {}  # clusters where something of an owner was met unexpectedly
        self._began_at = began_at
        self._budgets: dict[str, Budget] = {}
        self._gates: dict[str, FleetGate] = {}
        self._sizes: dict[str, dict[Owner, int]] = {}

    def budget(self, cluster: str) -> Budget:
        """The delete budget of a cluster."""
        return self._budgets.setdefault(cluster, Budget(began_at=self._began_at))

    def gate(self, cluster: str) -> FleetGate:
        """The fleet gate of a cluster."""
        return self._gates.setdefault(cluster, FleetGate(self._gate_limits, began_at=self._began_at))

    def hold(self, before: Snapshot) -> str:
        """Why nothing at all may be changed for this owner now; empty: it may."""
        return before.held or (_WENT_BACK if self._went_back else self._hold(cluster_of(before)))

    def rails(self, before: Snapshot, sight: Sight, now: float) -> Rails:
        """What this daemon knows that a plan of this owner must respect."""
        cluster = cluster_of(before)
        self._sizes.setdefault(cluster, {})[before.owner] = len(before.inventory)
        for name, gate in self._gates.items():
            if name != cluster:
                gate.left(before.owner)
        if before.status is not None and before.status.rolling_since is not None:
            since = (before.now - before.status.rolling_since).total_seconds()
            self.gate(cluster).adopt(before.owner, now - since)
        return Rails(
            unseen=sight.unseen,
            fights=self.footprints.fights(before.owner, sight.observed, now),
            gate=self.gate(cluster).why_not(before.owner, now),
            deletes_left=self.budget(cluster).left(now, sum(self._sizes[cluster].values())),
            hold=self.hold(before),
        )

    def planned(self, before: Snapshot, plan: Plan, now: float) -> None:
        """Take what a plan is about to do out of the budget, and enter it at the gate."""
        cluster = cluster_of(before)
        self.budget(cluster).spend(sum(map(is_unexplained, plan.now)), now)
        if any(one.cause in UNASKED for one in plan.now):
            self.gate(cluster).entered(before.owner, now)
        if any(one.why == TURN for one in plan.later):
            self.gate(cluster).waits(before.owner)

    def turns(self, now: float) -> tuple[Owner, ...]:
        """Owners whose turn at their cluster's gate has come."""
        return tuple(owner for gate in self._gates.values() for owner in gate.turns(now))

    def concluded(self, before: Snapshot, conclusion: Conclusion, now: float) -> None:
        """A pass ended and was recorded."""
        cluster, record = cluster_of(before), conclusion.record
        status = record.status or before.status
        if record.remove_owner or (status is not None and is_through(before, status)):
            self.gate(cluster).settled(before.owner, now)
        if record.remove_owner:
            self.footprints.forget(before.owner)
            self._sizes.get(cluster, {}).pop(before.owner, None)


def is_through(before: Snapshot, status: Status) -> bool:
    """True when an owner is not being changed unasked and is as it should be now, not only once."""
    if status.rolling_since is not None or not is_converged(before, status):
        return False
    return is_well(status.condition("Synced"), status.condition("Ready"))


def is_converged(before: Snapshot, status: Status) -> bool:
    """True when the status says that all that the snapshot asks for is there."""
    return status.converged_generation == before.generation and status.converged_defaults == before.defaults


def cluster_of(before: Snapshot) -> str:
    """The cluster of a snapshot's owner; an orphan's is the empty one, where every orphan counts together."""
    return before.spec.cluster if before.spec is not None else ""

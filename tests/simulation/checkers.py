"""The invariants, executable: S1 to S8 and S12 after every step, L1 to L6 when all is healed.

A checker looks at the truth (the world's things, the store's rows) and never asks the daemon how it sees itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from drivers.base import Stamp
from drivers.simulation.world import World, Write
from model.names import Owner, Ref
from model.plan import Action, Cause, Change, Delete, Replace, Update
from model.spec import Snapshot
from model.status import Reason, Record

from .rows import Row
from .store import LEASE, Store
from .truth import Truth
from .watched import Desk

_HISTORY = 40
_TOLD_MAX = 3  # of each invariant: the first tell most
_FRESH_SECONDS = 90.0
"""How old an observation may be on which Synced=True stands: the cache's lag, a slow call, a slow record."""
_HOLD_SECONDS = 15.0
"""A restore is noticed within the watermark's interval and a slow call."""
_PASS_SECONDS = 60.0
"""A pass with slow calls takes no longer."""
_FIGHT_SECONDS, _REPAIRS_MAX = 300.0, 24
"""Three repairs in a minute, then pauses that double; a new daemon begins anew. Refused ones change nothing."""
_RECOVERY_SECONDS = 60.0
"""For another daemon to get the lease, to compare stamps, and to look at everybody."""
_FOUGHT = 3
_UNEXPLAINED = frozenset({Cause.ORPHAN, Cause.RENDERER, Cause.DEFAULTS})
_BUDGET, _BUDGET_SECONDS = 3, 300.0


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that did not hold."""

    at: float
    invariant: str
    what: str

    def __str__(self) -> str:
        return f"{self.at:9.3f} s  {self.invariant}: {self.what}"


class Observer:
    """Somebody who is told of every step, as the checkers are, and cares for some of them."""

    def loaded(self, snapshot: Snapshot) -> None:
        """A pass began."""

    def applying(self, desk: Desk, action: Action) -> None:
        """A daemon is about to write."""

    def wrote(self, write: Write) -> None:
        """A daemon's write had its effect."""

    def acknowledged(self, desk: Desk, action: Action) -> None:
        """A daemon heard that its write succeeded."""

    def committed(self, before: Row | None, after: Row | None, record: Record | None) -> None:
        """The store's row of an owner was changed by anybody."""


class Checkers:
    """Everything that is looked at while a life goes on."""

    def __init__(self, store: Store, worlds: dict[str, World], truth: Truth) -> None:
        self._store = store
        self._worlds = worlds
        self._truth = truth
        self.violations: list[Violation] = []
        self.history: deque[tuple[float, str, object]] = deque(maxlen=_HISTORY)
        self.counts: Counter[str] = Counter()
        self.loads: Counter[Owner] = Counter()
        self.before_write: Callable[[str], bool] = _goes_on
        self.after_write: Callable[[str], None] = _nothing
        self.upheaval_at = float("-inf")  # the store's clock jumped, or it was restored
        self.behind: dict[str, Stamp] = {}
        self.calm_since = 0.0  # when daemons and database had recovered from what was last done to them
        self.observers: list[Observer] = []  # more of them, each in a file of its own
        self.restored_at = store.origin
        self._repairs: dict[Ref, deque[float]] = {}
        self._repaired: Counter[Ref] = Counter()
        self._applied: dict[Owner, int] = {}
        self._unexplained: deque[float] = deque()
        self._actions: dict[tuple[str, Ref], tuple[Action, Snapshot]] = {}
        store.hook = self.committed

    # Telling.

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def note(self, what: str, fact: object = "") -> None:
        """A line of the history; formatted only when somebody reads it."""
        self.history.append((self.now, what, fact))

    def violated(self, invariant: str, what: str) -> None:
        self.note(f"VIOLATION {invariant}: {what}")
        self.counts[f"violations of {invariant}"] += 1
        if self.counts[f"violations of {invariant}"] <= _TOLD_MAX:
            self.violations.append(Violation(self.now, invariant, what))

    def disturbed(self, seconds: float) -> None:
        """Daemons or the database are struck, and not as quick as usual until then and a recovery later."""
        self.calm_since = max(self.calm_since, self.now + seconds + _RECOVERY_SECONDS)

    def upheaval(self) -> None:
        """From now on what was monotonic may have gone back."""
        self.upheaval_at = self.now
        self.disturbed(0.0)
        self._applied.clear()

    def restored(self) -> None:
        """The database went back. If its clusters know of more, nothing is done until somebody takes over."""
        self.upheaval()
        self.restored_at = self._store.now
        stamps = {name: world.stamp for name, world in self._worlds.items()}
        self.behind = {
            name: one
            for name, one in stamps.items()
            if one is not None and not self._store.tables.knows(one.moment)
        }

    def taken_over(self) -> None:
        """Somebody looked, and wants the past."""
        self.behind = {}
        self._applied.clear()

    # Steps of a daemon.

    def loaded(self, daemon: str, snapshot: Snapshot) -> None:
        self.loads[snapshot.owner] += 1
        self.counts["passes"] += 1
        for one in self.observers:
            one.loaded(snapshot)
        self.note(f"{daemon} loads {snapshot.owner}", snapshot.generation)

    def action_of(self, write: Write) -> tuple[Action, Snapshot]:
        """What a daemon meant to do when it had an effect, and the snapshot that it acted upon."""
        return self._actions[write.by, write.ref]

    def applying(self, desk: Desk, owner: Owner, action: Action) -> bool:
        """Just before a write; True when the daemon dies of it."""
        self.counts["writes asked for"] += 1
        self.note(f"{desk.name} {type(action).__name__} {action.ref} [{action.cause}]", action.why)
        snapshot = desk.loaded[owner]
        for one in self.observers:
            one.applying(desk, action)
        self._actions[desk.name, action.ref] = (action, snapshot)
        self._check_lease(desk, action)
        self._check_order(owner, action, snapshot)
        if snapshot.paused_until is not None:
            self.violated("S2", f"{action.ref} is written while paused until {snapshot.paused_until.isoformat()}")
        if isinstance(action, Delete):
            self._check_delete(action, snapshot)
        elif isinstance(action, Change):
            self._check_change(action, snapshot)
            if action.cause is Cause.DRIFT and snapshot.spec and snapshot.spec.drift_policy == "report":
                self.violated("S2", f"{action.ref} is repaired, and its drift is only to be reported")
        return self.before_write(desk.name)

    def wrote(self, write: Write) -> None:
        """Just after an effect."""
        self.counts["writes"] += 1
        if self._actions[write.by, write.ref][0].cause is Cause.DRIFT:
            self._check_fight(write.ref)
        for one in self.observers:
            one.wrote(write)
        self.note(f"{write.by} did {write.verb} {write.ref} of {write.owner}", write.uid)
        self.after_write(write.by)

    def acknowledged(self, desk: Desk, action: Action) -> None:
        """A daemon heard that its write succeeded."""
        for one in self.observers:
            one.acknowledged(desk, action)

    def committed(self, before: Row | None, after: Row | None, record: Record | None) -> None:
        """Just after a commit of anybody."""
        row = after or before
        assert row is not None
        self.note(f"commit {row.owner}", _told(record))
        for one in self.observers:
            one.committed(before, after, record)
        if before is None or after is None:
            return
        self._check_secrets(before, after)
        if before.status is not None and after.status is not None:
            old, new = before.status.observed_generation, after.status.observed_generation
            if new < old:
                self.violated("S5", f"{row.owner} was observed at generation {old} and now at {new}")
        if record is not None and record.status is not None:
            self._check_honest(after)

    # S4: one writer. It may have lost the lease only while its write was under way.

    def _check_lease(self, desk: Desk, action: Action) -> None:
        holder = self._store.tables.leases.get(LEASE, ("", 0, 0.0))[0]
        if holder != desk.name and self.now - self.upheaval_at > 30.0:
            self.violated("S4", f"{desk.name} writes {action.ref} while {holder} holds the lease")

    # S5: an older wish is never carried out after a newer one.

    def _check_order(self, owner: Owner, action: Action, snapshot: Snapshot) -> None:
        if snapshot.now < self.restored_at:
            return  # a pass that began before the database went back
        self._check_hold(action)
        if snapshot.spec is None:
            return  # what is left of a lost row is of no generation
        newest = self._applied.get(owner, 0)
        if snapshot.generation < newest:
            self.violated("S5", f"{action.ref}: generation {snapshot.generation} is applied after {newest}")
        self._applied[owner] = max(newest, snapshot.generation)

    def _check_hold(self, action: Action) -> None:
        for name, stamp in self.behind.items():
            if self._worlds[name].stamp != stamp:
                continue
            # what another cluster remembers is waited for only a moment: it may not answer
            is_its_own = action.ref.kind.startswith(name)
            if self.now - self.upheaval_at > _HOLD_SECONDS and (is_its_own or self.now > self.calm_since):
                self.violated("S1", f"{action.ref} is written from a restored database, and nobody took over")

    # S1, S3: deletes.

    def _check_delete(self, action: Delete, snapshot: Snapshot) -> None:
        ref = action.ref
        if not action.uid:
            self.violated("S1", f"{ref} is deleted whatever its uid is")
        if any(one.ref == ref for one in self._truth.desired(snapshot)):
            self.violated("S1", f"{ref} is deleted and is desired at generation {snapshot.generation}")
        if all(row.ref != ref for row in snapshot.inventory):
            self.violated("S1", f"{ref} is deleted and is in no inventory")
        is_approved = bool(snapshot.approvals)
        if self._truth.is_retained(ref) and snapshot.stage != "purging" and not is_approved:
            self.violated("S1", f"{ref} holds data and is deleted at stage {snapshot.stage}, without an approval")
        if action.cause in _UNEXPLAINED and not is_approved:
            self._spend(action)

    def _spend(self, action: Delete) -> None:
        self._unexplained.append(self.now)
        while self._unexplained[0] < self.now - _BUDGET_SECONDS + 30.0:
            self._unexplained.popleft()
        most = max(_BUDGET, sum(len(one.inventory) for one in self._store.tables.rows.values()) // 10) * 3
        if len(self._unexplained) > most:
            self.violated(
                "S3", f"{len(self._unexplained)} deletes that nobody asked for in 5 minutes: {action.ref}"
            )

    # S1, S2: what was never asked for is never made.

    def _check_change(self, action: Change, snapshot: Snapshot) -> None:
        if isinstance(action, Update | Replace) and not action.uid:
            self.violated("S1", f"{action.ref} is changed whatever its uid is")
        wanted = next((one for one in self._truth.desired(snapshot) if one.ref == action.ref), None)
        if wanted is None or wanted.digest != action.object.digest:
            self.violated("S5", f"{action.ref} is made as generation {snapshot.generation} does not ask for")
        elif self._truth.is_as_wanted(wanted, snapshot.owner, since=self.now - _FRESH_SECONDS):
            self.violated("S7", f"{action.ref} is written and was as desired for {_FRESH_SECONDS:.0f} s")

    def is_fought_over(self, ref: Ref) -> bool:
        """Whether something was repaired so often that its next repair may wait."""
        return self._repaired[ref] >= _FOUGHT

    def _check_fight(self, ref: Ref) -> None:
        self._repaired[ref] += 1
        times = self._repairs.setdefault(ref, deque())
        times.append(self.now)
        while times[0] < self.now - _FIGHT_SECONDS:
            times.popleft()
        if len(times) > _REPAIRS_MAX:
            self.violated(
                "S6", f"{ref} was repaired {len(times)} times in {_FIGHT_SECONDS:.0f} s: a storm of writes"
            )

    # S8: secrets are minted once.

    def _check_secrets(self, before: Row, after: Row) -> None:
        if before.values is after.values:
            return
        for key, value in before.values.items():
            if after.values.get(key, value) != value:
                self.violated("S8", f"{key} of {after.owner} was minted twice")

    # S12: who says that all is there has seen it there.

    def _check_honest(self, row: Row) -> None:
        synced = row.status.condition("Synced") if row.status is not None else None
        if synced is None or synced.status != "True" or synced.reason is not Reason.CONVERGED:
            return
        if self.now - self.upheaval_at < _PASS_SECONDS:
            return  # the pass may have begun before the database went back
        assert row.status is not None
        if row.status.observed_generation != row.generation or row.spec is None:
            return  # somebody asked for more meanwhile: the status says of which generation it tells
        if row.status.converged_defaults != self._store.tables.defaults:
            return  # and of which defaults
        for why in self._truth.differences(row, unless_changed_since=self.now - _FRESH_SECONDS):
            self.violated("S12", f"{row.owner} is said to be Synced: {why}")


def _told(record: Record | None) -> object:
    return "by a person" if record is None else record


def _goes_on(daemon: str) -> bool:
    return False


def _nothing(daemon: str) -> None:
    """Nobody is killed."""

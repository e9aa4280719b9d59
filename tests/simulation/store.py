"""The store in memory: the rules of `core.load`, `core.record`, leases and secrets, and the ways a database fails.

One store outlives every daemon of a life. What it holds is immutable, so that "as of ten minutes ago" is at hand.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from random import Random

from drivers.base import Unavailable
from model.names import Due, Moment, Owner, Place, Ref, SecretRef
from model.objects import Known
from model.spec import SecretVariable, Snapshot
from model.status import Milestone, Record
from state.leases import MARGIN_SECONDS, TTL_SECONDS, Lease

from .rows import Row, moment
from .tables import Fenced, Tables, Trouble, Unreachable

LEASE = "cluster/simulated"
_HISTORY_SECONDS = 900.0

Hook = Callable[[Row | None, Row | None, Record | None], None]
"""Told of every commit about an owner: the row before and after, and the record that did it, if one did."""


class Store:
    """The state database of one life. `offset`: how far its clock is from the loop's."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.tables = Tables()
        self.trouble = Trouble()
        self.offset = 0.0
        self.writes = 0  # commits of a daemon that changed something, leases excepted
        self.injected: dict[str, int] = {}
        self.hook: Hook = _deaf
        self.refused: Callable[[Record], None] = _unheard
        self.inbox: list[tuple[Owner, str]] = []
        self._history: deque[tuple[float, Tables]] = deque()
        self._listeners: dict[int, asyncio.Event] = {}
        self._minted = self._lots = 0
        self._tokens = 0

    # Time.

    @property
    def origin(self):
        return moment(-1e6)

    @property
    def seconds(self) -> float:
        return asyncio.get_running_loop().time() + self.offset

    @property
    def now(self):
        return moment(self.seconds)

    # What a pass asks.

    async def load(self, owner: Owner) -> Snapshot:
        await self._ask()
        row = self.tables.rows.get(owner) or Row(owner=owner)
        snapshot = replace(row.snapshot(self.now, self.tables.defaults), moment=self.tables.moment)
        await self._answer()
        return snapshot

    async def intend(
        self, owner: Owner, epoch: int, rows: tuple[Known, ...], begun: tuple[Milestone, ...] = ()
    ) -> None:
        await self._ask()
        before = self.tables.rows.get(owner) or Row(owner=owner)
        self._fence(before, epoch, None)
        milestones = _achieved(before.milestones, begun)
        self._commit(before, replace(before, inventory=_put(before.inventory, rows), milestones=milestones))
        await self._answer(is_write=True)

    async def record(self, record: Record) -> None:
        if record.is_empty:
            return
        await self._ask()
        before = self.tables.rows.get(record.owner) or Row(owner=record.owner)
        try:
            self._fence(before, record.epoch, record.status.observed_generation if record.status else None)
        except Fenced:
            self.refused(record)
            raise
        self._commit(before, self._recorded(before, record), record)
        await self._answer(is_write=True)

    async def due(self) -> Mapping[Owner, Due]:
        await self._ask()
        now = self.now
        found = {
            owner: Due(row.place, row.generation) for owner, row in self.tables.rows.items() if row.is_due(now)
        }
        await self._answer()
        return found

    async def owners(self) -> Mapping[Owner, Place]:
        await self._ask()
        found = {
            owner: row.place
            for owner, row in self.tables.rows.items()
            if row.spec is not None or row.inventory or row.status
        }
        await self._answer()
        return found

    async def moment(self) -> Moment:
        """The newest change of desired state."""
        await self._ask()
        return self.tables.moment

    async def knows(self, moment: Moment) -> bool:
        """Whether that change is part of this database's history."""
        await self._ask()
        return self.tables.knows(moment)

    async def tend(self) -> None:
        """Nothing: these tables keep no history by months, and have no triggers to go behind."""

    async def seal_inbox(self) -> frozenset[Owner]:
        if not self.inbox and not self.trouble.is_down:
            return frozenset()  # most often; spares a timer
        await self._ask()
        waiting, self.inbox = self.inbox, []
        for owner, key in waiting:
            row = self.tables.rows.get(owner)
            if row is not None and row.spec is not None and key in row.spec.variables:
                self._seal(row, key)
        await self._answer()
        return frozenset(owner for owner, _ in waiting)

    async def mint(self, owner: Owner, values: Mapping[str, str]) -> Mapping[str, int]:
        """Versions of secrets; the values are the store's own, so that a life repeats itself."""
        await self._ask()
        row = self.tables.rows.get(owner) or Row(owner=owner)
        missing = sorted(values.keys() - row.secrets.keys())
        if missing:
            first = self._lot()
            made = {(name, first): self._value(owner, name) for name in missing}
            secrets = {**row.secrets, **dict.fromkeys(missing, first)}
            self._commit(row, replace(row, secrets=secrets, values={**row.values, **made}))
            self._count_change()
        await self._answer(is_write=bool(missing))
        return {name: self.tables.rows[owner].secrets[name] for name in values}

    async def reveal(self, secret: SecretRef) -> str:
        """In the drivers' terms. Raises Unavailable."""
        try:
            await self._ask()
        except Unreachable as error:
            raise Unavailable(str(error)) from error
        row = self.tables.rows.get(Owner.parse(secret.owner))
        value = row.values.get((secret.name, secret.version)) if row is not None else None
        if value is None:
            raise Unavailable(f"version {secret.version} of {secret.name} of {secret.owner} is not in the store")
        return value

    # Leases.

    async def acquire(self, name: str, holder: str) -> Lease | None:
        asked_at = asyncio.get_running_loop().time()
        await self._ask()
        has, epoch, expires = self.tables.leases.get(name, (holder, 0, 0.0))
        if has != holder and expires > self.seconds:
            return None
        epoch = 1 + max([epoch, *(row.epoch for row in self.tables.rows.values())])
        self.tables.leases[name] = (holder, epoch, self.seconds + TTL_SECONDS)
        await self._answer(is_write=True)
        return _held(name, holder, epoch, asked_at)

    async def renew(self, lease: Lease) -> Lease | None:
        asked_at = asyncio.get_running_loop().time()
        await self._ask()
        has, epoch, _ = self.tables.leases.get(lease.name, ("", 0, 0.0))
        if (has, epoch) != (lease.holder, lease.epoch):
            return None
        self.tables.leases[lease.name] = (has, epoch, self.seconds + TTL_SECONDS)
        await self._answer(is_write=True)
        return _held(lease.name, lease.holder, lease.epoch, asked_at)

    async def release(self, lease: Lease) -> None:
        await self._ask()
        has, epoch, _ = self.tables.leases.get(lease.name, ("", 0, 0.0))
        if (has, epoch) == (lease.holder, lease.epoch):
            self.tables.leases[lease.name] = (has, epoch, self.seconds)

    @property
    def epoch(self) -> int:
        """Of the lease as the store has it."""
        return self.tables.leases.get(LEASE, ("", 0, 0.0))[1]

    # Signals.

    async def signals(self) -> AsyncIterator[object]:
        """Once after each connection, then whenever something changed; a lost connection is made again."""
        while True:
            while self.trouble.is_down:  # noqa: ASYNC110 - as a client does
                await asyncio.sleep(1.0)
            event = asyncio.Event()
            key = len(self._listeners)
            self._listeners[key] = event
            yield "connected"
            while self._listeners.get(key) is event:
                await event.wait()
                event.clear()
                yield "changed"

    def notify(self) -> None:
        """Tell those who listen, unless it is lost."""
        if self._chance(self.trouble.lost_signals, "lost signal"):
            return
        for event in self._listeners.values():
            event.set()
        if self._chance(self.trouble.repeated_signals, "repeated signal"):
            asyncio.get_running_loop().call_later(0.1, self._wake)

    def _wake(self) -> None:
        for event in self._listeners.values():
            event.set()

    def hang_up(self) -> None:
        """Every listener's connection breaks."""
        listeners, self._listeners = self._listeners, {}
        for event in listeners.values():
            event.set()

    # What people do.

    def ask(self, owner: Owner, **changes: object) -> None:
        """One transaction of a person: a new generation of an owner, and a notification."""
        row = self.tables.rows[owner]
        self._commit(row, replace(row, generation=row.generation + 1, **changes), is_daemon=False)  # type: ignore[arg-type]
        self.notify()

    def put(self, row: Row) -> None:
        """A row as it is, without counting a generation."""
        self._commit(self.tables.rows.get(row.owner), row, is_daemon=False)
        self.notify()

    def lose_row(self, owner: Owner) -> None:
        """A deployment's row vanishes past every guard; what the daemon recorded stays."""
        row = self.tables.rows[owner]
        self._commit(row, replace(row, spec=None, generation=0, deletion=None, paused_until=None), is_daemon=False)

    def restore(self, seconds: float) -> bool:
        """The database as it was so many seconds ago; False when it was not yet."""
        at = asyncio.get_running_loop().time() - seconds
        earlier = [tables for when, tables in self._history if when <= at]
        if not earlier:
            return False
        self.tables = earlier[-1].copy()
        self.hang_up()
        return True

    # Inside.

    async def _ask(self) -> None:
        low, high = self.trouble.latency
        await asyncio.sleep(low + (high - low) * self._random.random())
        if self.trouble.is_down or self._chance(self.trouble.unreachable, "store unreachable"):
            raise Unreachable("the store does not answer")

    async def _answer(self, *, is_write: bool = False) -> None:
        if is_write and self._chance(self.trouble.lost_answers, "lost answer"):
            raise Unreachable("the store did not say whether it heard")

    def _chance(self, probability: float, what: str) -> bool:
        happens = probability > 0 and self._random.random() < probability
        if happens:
            self.injected[what] = self.injected.get(what, 0) + 1
        return happens

    def _fence(self, row: Row, epoch: int, generation: int | None) -> None:
        if self.epoch != epoch:
            raise Fenced(f"the lease is at epoch {self.epoch}, this write at {epoch}")
        if row.epoch > epoch:
            raise Fenced(f"epoch {row.epoch} was recorded before this write at {epoch}")
        if generation is not None and row.status is not None and row.status.observed_generation > generation:
            raise Fenced(
                f"generation {row.status.observed_generation} was recorded before this write at {generation}"
            )

    def _recorded(self, row: Row, record: Record) -> Row | None:
        kept = _put(row.inventory, record.objects)
        if record.forget:
            gone = set(record.forget)
            kept = {ref: one for ref, one in kept.items() if ref not in gone}
        if record.remove_owner and self._may_end(row, kept):
            return None
        differs = record.status is not None and record.status != row.status
        return replace(
            row,
            inventory=kept,
            milestones=_achieved(row.milestones, record.milestones),
            status=record.status if differs else row.status,
            epoch=record.epoch if differs else row.epoch,
            events=row.events + len(record.events),
        )

    def _may_end(self, row: Row, kept: Mapping[Ref, Known]) -> bool:
        is_over = row.spec is None or (row.deletion is not None and row.deletion[1] <= self.now)
        return is_over and not any(one.state != "gone" for one in kept.values())

    def _seal(self, row: Row, key: str) -> None:
        assert row.spec is not None
        name = f"variable/{key}"
        version = self._lot()
        variable = row.spec.variables[key]
        if not isinstance(variable, SecretVariable):
            return
        variables = {**row.spec.variables, key: replace(variable, version=version)}
        self.ask(
            row.owner,
            spec=replace(row.spec, variables=variables),
            secrets={**row.secrets, name: version},
            values={**row.values, (name, version): self._value(row.owner, name)},
        )

    def _lot(self) -> int:
        """A version that no value ever had, whatever a restore has lost: state draws it, this counts."""
        self._lots += 1
        return 1 + 1000 * self._lots

    def _value(self, owner: Owner, name: str) -> str:
        self._minted += 1
        return f"value {self._minted} of {name} of {owner}"

    def _commit(
        self, before: Row | None, after: Row | None, record: Record | None = None, *, is_daemon: bool = True
    ) -> None:
        if before == after:
            return
        owner = (after or before).owner  # type: ignore[union-attr]
        if after is None:
            self.tables.rows.pop(owner, None)
        else:
            self.tables.rows[owner] = after
        self.writes += is_daemon
        if not is_daemon:
            self._count_change()
        now = asyncio.get_running_loop().time()
        self._history.append((now, self.tables.copy()))
        while self._history[0][0] < now - _HISTORY_SECONDS:
            self._history.popleft()
        self.hook(before, after, record)

    def _count_change(self) -> None:
        """What a person or a generated secret changed, as a backup of before does not know it."""
        self.tables.changes += 1
        self._tokens += 1
        self.tables.timeline = (*self.tables.timeline, f"t{self._tokens}")


def _held(name: str, holder: str, epoch: int, asked_at: float) -> Lease:
    return Lease(name=name, holder=holder, epoch=epoch, ends_at=asked_at + TTL_SECONDS - MARGIN_SECONDS)


def _put(inventory: Mapping[Ref, Known], rows: tuple[Known, ...]) -> Mapping[Ref, Known]:
    if not rows:
        return inventory
    return dict(sorted({**inventory, **{one.ref: one for one in rows}}.items()))


def _achieved(before: frozenset[Milestone], new: tuple[Milestone, ...]) -> frozenset[Milestone]:
    """A task's newest achievement takes the place of its earlier ones."""
    if not new:
        return before
    names = {one.name for one in new}
    return frozenset(one for one in before if one.name not in names) | frozenset(new)


def _deaf(before: Row | None, after: Row | None, record: Record | None) -> None:
    """Nobody watches."""


def _unheard(record: Record) -> None:
    """Nobody watches."""

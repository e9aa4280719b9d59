"""The invariants L2 and L6: what people ask for and what strangers break is looked at soon, whatever else is.

A change is looked at within a bound since it was made or since the last disturbance ended; under load it goes
before repairs, and those before mere second looks. When all is well, what is broken is mended within a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from model.names import Owner, Ref
from model.spec import Snapshot
from model.status import Record

from .checkers import Checkers, Observer
from .rows import Row
from .store import Store
from .truth import Truth

RUDE_SECONDS = 300.0
"""In rude weather: a pass whose calls hang until they are given up, and a circuit that opens meanwhile."""
CALM_SECONDS = 2.0
"""In a world that answers at once, when nothing was wrong for a while."""
_MENDED_WITHIN_SECONDS = 1.0


@dataclass(slots=True)
class _Asked:
    at: float
    generation: int


class Attention(Observer):
    """How long changes wait until a pass loads them. `bound_seconds`: for how long they may, at most."""

    def __init__(self, checkers: Checkers) -> None:
        self._checkers = checkers
        self.bound_seconds = RUDE_SECONDS
        self.longest_seconds = 0.0
        self._asked: dict[Owner, _Asked] = {}

    def committed(self, before: Row | None, after: Row | None, record: Record | None) -> None:
        """Somebody asked for something: the first unseen change of an owner is the one that waits."""
        if after is None or after.spec is None:
            self._asked.pop((after or before).owner, None)  # type: ignore[union-attr]
        elif record is None and (before is None or after.generation > before.generation):
            self._forget_before_upheaval()
            self._asked.setdefault(after.owner, _Asked(self._checkers.now, after.generation))

    def loaded(self, snapshot: Snapshot) -> None:
        """A pass sees it."""
        if not self._asked:
            return
        self._forget_before_upheaval()
        asked = self._asked.get(snapshot.owner)
        if asked is not None and snapshot.generation >= asked.generation:
            del self._asked[snapshot.owner]
            self._judge(snapshot.owner, asked)

    def overdue(self) -> None:
        """Tell of those that wait too long already."""
        self._forget_before_upheaval()
        for owner, asked in self._asked.items():
            self._judge(owner, asked)

    def _forget_before_upheaval(self) -> None:
        """A restored database may not know any more what was asked for."""
        since = self._checkers.upheaval_at
        self._asked = {owner: one for owner, one in self._asked.items() if one.at > since}

    def _judge(self, owner: Owner, asked: _Asked) -> None:
        waited = self._checkers.now - max(asked.at, self._checkers.calm_since)
        self.longest_seconds = max(self.longest_seconds, waited)
        if waited > self.bound_seconds:
            told = f"generation {asked.generation} of {owner} was not looked at for {waited:.1f} s"
            self._checkers.violated("L6", told)


class Trial:
    """At the end of a life: something of everybody's is broken, somebody asks for something, and time is taken."""

    def __init__(self, checkers: Checkers, truth: Truth, store: Store, attention: Attention) -> None:
        self._checkers = checkers
        self._truth = truth
        self._store = store
        self._attention = attention

    async def take(self) -> None:
        """All is well and quiet before it. L2 and L6, when it is not mended or seen in time."""
        rows = [row for row in self._store.tables.rows.values() if row.spec is not None and row.deletion is None]
        broken = [(row.owner, ref) for row in rows for ref in self._breakable(row)]
        for _, ref in broken:
            self._truth.world_of(ref).change(ref, actual="edited", edited_by="a vandal")
        self._attention.bound_seconds = CALM_SECONDS
        for row in rows[:1]:
            self._store.ask(row.owner)
        await asyncio.sleep(_MENDED_WITHIN_SECONDS)
        for owner, ref in broken:
            thing = self._truth.world_of(ref).thing(ref)
            if thing is None or thing.actual != thing.applied:
                told = f"{ref} of {owner} was edited {_MENDED_WITHIN_SECONDS:.0f} s ago and is not mended"
                self._checkers.violated("L2", told)
        await asyncio.sleep(CALM_SECONDS)
        self._attention.overdue()

    def _breakable(self, row: Row) -> Iterator[Ref]:
        """One thing of an owner, of which the daemon has no reason to be slow."""
        snapshot = row.snapshot(self._store.now, self._store.tables.defaults)
        for wanted in self._truth.desired(snapshot):
            thing = self._truth.world_of(wanted.ref).thing(wanted.ref)
            is_process = wanted.ref.kind.endswith("Sim.Process") and thing is not None
            if is_process and not self._checkers.is_fought_over(wanted.ref):
                yield wanted.ref
                return

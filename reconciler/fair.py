"""The order of one lane's keys: by time, then by priority, fair between workspaces, and nobody starves. Pure.

Within a priority each workspace has a virtual time that moves on by 1/weight with every key it is given; the one
that is furthest behind goes next, and one that was idle starts where the others are (start-time fair queuing). So
a workspace with thousands of keys delays another's by one key at most. Within a workspace: what was due first.

A key that has been due for longer than the patience goes with the highest priority. There it takes every second
turn of its workspace, so that the thousands of looks that a restart asks for do not go before a user's change.

Every operation costs O(log n). Heaps keep entries of wishes that were replaced; they fall away in their turn, or
when there are more of them than keys.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

from model.names import Owner, Place


class Priority(IntEnum):
    """Who goes first among the keys that are due."""

    CHANGE = 0  # somebody asked for something
    DRIFT = 1  # the world changed
    DEPENDENCY = 2  # what it waited for may be there
    RETRY = 3  # a pass asked to look again
    RESYNC = 4  # nobody asked; it is only time


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A wish to look at a key from `due` on. `number` is unique: first come, first served among equals."""

    due: float
    number: int
    owner: Owner
    priority: Priority
    place: Place

    def joined(self, later: Wish) -> Wish:
        """Both wishes in one: the earliest time and the highest priority of the two, at the place named last."""
        if self.due <= later.due and self.priority <= later.priority and self.place == later.place:
            return self
        return replace(later, due=min(self.due, later.due), priority=min(self.priority, later.priority))


@dataclass(slots=True, eq=False)
class _Held:
    """A key's one wish that counts, until it is given out or replaced. It is entered in several heaps at once."""

    wish: Wish
    is_due: bool = False
    is_live: bool = True


_Entry = tuple[float, int, _Held]


def _entry(held: _Held) -> _Entry:
    return held.wish.due, held.wish.number, held


def _living(entries: list[_Entry]) -> list[_Entry]:
    kept = [one for one in entries if one[2].is_live]
    heapq.heapify(kept)
    return kept


def _drop_dead(entries: list[_Entry]) -> None:
    while entries and not entries[0][2].is_live:
        heapq.heappop(entries)


class _Line:
    """One workspace's wishes of one priority. Those that only their age brought here take every second turn."""

    def __init__(self) -> None:
        self._fresh: list[_Entry] = []
        self._aged: list[_Entry] = []
        self._is_aged_next = False

    def push(self, held: _Held, *, is_aged: bool) -> None:
        heapq.heappush(self._aged if is_aged else self._fresh, _entry(held))

    def pop(self) -> _Held | None:
        for entries in (self._aged, self._fresh) if self._is_aged_next else (self._fresh, self._aged):
            _drop_dead(entries)
            if entries:
                self._is_aged_next = entries is self._fresh
                return heapq.heappop(entries)[2]
        return None

    def compact(self) -> None:
        self._fresh, self._aged = _living(self._fresh), _living(self._aged)

    @property
    def is_empty(self) -> bool:
        return not self._fresh and not self._aged


class _Share:
    """The wishes of one priority: workspaces take turns, each as often as its weight says."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = weights
        self._lines: dict[str, _Line] = {}
        self._turns: list[tuple[float, int, str]] = []  # virtual time, first come, workspace: one for each line
        self._idle: dict[str, float] = {}  # workspaces without a line: the virtual time at which they may go on
        self._idle_max = 64
        self._now = 0.0
        self._numbers = itertools.count()

    def push(self, held: _Held, *, is_aged: bool = False) -> None:
        workspace = held.wish.place.workspace
        line = self._lines.get(workspace)
        if line is None:
            line = self._lines[workspace] = _Line()
            self._queue(workspace, max(self._now, self._idle.pop(workspace, 0.0)))
        line.push(held, is_aged=is_aged)

    def pop(self) -> _Held | None:
        while self._turns:
            turn, _, workspace = heapq.heappop(self._turns)
            line = self._lines[workspace]
            held = line.pop()
            if held is None:
                self._rest(workspace, turn)
                continue
            self._now = turn
            after = turn + 1.0 / self._weights.get(workspace, 1.0)
            if line.is_empty:
                self._rest(workspace, after)
            else:
                self._queue(workspace, after)
            return held
        self._now = 0.0  # nobody waits: everybody starts anew
        self._idle.clear()
        return None

    def compact(self) -> None:
        turns, self._turns = sorted(self._turns), []
        for turn, number, workspace in turns:
            self._lines[workspace].compact()
            if self._lines[workspace].is_empty:
                self._rest(workspace, turn)
            else:
                self._turns.append((turn, number, workspace))

    def _queue(self, workspace: str, turn: float) -> None:
        heapq.heappush(self._turns, (turn, next(self._numbers), workspace))

    def _rest(self, workspace: str, turn: float) -> None:
        """A workspace has no wishes. Where it may go on matters only while that is in the future."""
        del self._lines[workspace]
        self._idle[workspace] = turn
        if len(self._idle) > self._idle_max:
            self._idle = {one: at for one, at in self._idle.items() if at > self._now}
            self._idle_max = 2 * len(self._idle) + 64


def valid_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """A copy of the weights. Raises ValueError for one that is not a positive number."""
    for workspace, weight in weights.items():
        if not 0.0 < weight < math.inf:
            raise ValueError(
                f"workspace {workspace!r} has weight {weight}: give it a positive number, or leave it out for 1"
            )
    return dict(weights)


class FairOrder:
    """The keys of one lane, each with the wish that counts: those due, and those that wait for their time.

    `weights`: workspace → its share beside the others' (1 when not named), as `valid_weights` lets them pass.
    """

    def __init__(self, *, weights: Mapping[str, float], patience_seconds: float) -> None:
        self._patience = patience_seconds
        self._held: dict[Owner, _Held] = {}
        self._due_count = 0
        self._timers: list[_Entry] = []  # of those that wait for their time
        self._oldest: list[_Entry] = []  # of those due
        self._young: list[_Entry] = []  # of those due that age may still bring forward
        self._shares = {priority: _Share(weights) for priority in Priority}
        self._operations = 0

    def put(self, wish: Wish, now: float) -> None:
        """Let this wish be the only one of its key."""
        self._release(wish.owner)
        held = self._held[wish.owner] = _Held(wish)
        if wish.due <= now:
            self._enter(held)
        else:
            heapq.heappush(self._timers, _entry(held))
        self._operated()

    def drop(self, owner: Owner) -> None:
        """Let a key go; nothing happens when it is not here."""
        self._release(owner)
        self._operated()

    def pop(self, now: float) -> Wish | None:
        """The wish whose turn it is; None when nothing is due."""
        self._promote(now)
        self._age(now)
        for share in self._shares.values():
            held = share.pop()
            if held is not None:
                self._release(held.wish.owner)
                self._operated()
                return held.wish
        return None

    def next_at(self) -> float | None:
        """When the next key becomes due that was not at the last look; None when none will."""
        _drop_dead(self._timers)
        return self._timers[0][0] if self._timers else None

    def due_count(self, now: float) -> int:
        """How many keys are due."""
        self._promote(now)
        return self._due_count

    def oldest_at(self, now: float) -> float | None:
        """Since when the key has been due that waits longest; None when nothing is due."""
        self._promote(now)
        _drop_dead(self._oldest)
        return self._oldest[0][0] if self._oldest else None

    def _enter(self, held: _Held) -> None:
        held.is_due = True
        self._due_count += 1
        priority = held.wish.priority
        self._shares[priority].push(held)
        heapq.heappush(self._oldest, _entry(held))
        if priority is not Priority.CHANGE:
            heapq.heappush(self._young, _entry(held))

    def _release(self, owner: Owner) -> None:
        held = self._held.pop(owner, None)
        if held is not None:
            held.is_live = False
            self._due_count -= held.is_due

    def _promote(self, now: float) -> None:
        """Let in what has become due."""
        while self._timers and self._timers[0][0] <= now:
            _, _, held = heapq.heappop(self._timers)
            if held.is_live:
                self._enter(held)

    def _age(self, now: float) -> None:
        """Bring forward what has waited for too long.

        It stays in its own share too. That share is asked only when no change waits, and so no aged key does.
        """
        while self._young and now - self._young[0][0] > self._patience:
            _, _, held = heapq.heappop(self._young)
            if held.is_live:
                self._shares[Priority.CHANGE].push(held, is_aged=True)

    def _operated(self) -> None:
        """Forget replaced wishes each time there were twice as many operations as there are keys."""
        self._operations += 1
        if self._operations <= 2 * len(self._held) + 64:
            return
        self._operations = 0
        self._timers = _living(self._timers)
        self._oldest = _living(self._oldest)
        self._young = _living(self._young)
        for share in self._shares.values():
            share.compact()

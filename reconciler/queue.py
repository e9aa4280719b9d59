"""The work queue: keys worth another look, never events.

A key waits at most once, at the earliest time and the highest priority that anybody asked for. It is never worked
on twice at once: a key added while its pass runs is dirty, and comes back when the pass is done. Each cluster has
a lane of its own, so that one that hangs holds up nobody else's keys. Time is the event loop's.

Memory is bounded. When `keys_max` keys wait, the newest that waits for a resync makes room; when there is none,
the new key is refused, and the log says so. Nothing is lost by that: the sweep repeats a refused change within
seconds, the resync everything else. A retry or drift that made room for a change would wait for much longer.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from model.names import Owner, Place
from reconciler import clock
from reconciler.fair import FairOrder, Priority, Wish, valid_weights

log = structlog.get_logger()

__all__ = ["Priority", "WorkQueue"]

KEYS_MAX = 100_000
"""Ten times the largest fleet thought of: reaching it is a fault, and still a bound."""
PATIENCE_SECONDS = 10.0
WARNINGS_APART_SECONDS = 60.0
_WAIT_SECONDS_MIN = 0.0001


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lane:
    """One cluster's keys, and the event that wakes those who wait for one."""

    order: FairOrder
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, wish: Wish, now: float) -> None:
        self.order.put(wish, now)
        self.news.set()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """A pass that runs."""

    since: float
    place: Place


class _Losses:
    """Counts what was let go. News once a minute: a flood of keys must not become a flood of lines."""

    def __init__(self) -> None:
        self.count = 0
        self._told_at = -math.inf

    def is_news(self, now: float) -> bool:
        self.count += 1
        if now - self._told_at < WARNINGS_APART_SECONDS:
            return False
        self._told_at = now
        return True


class WorkQueue:
    """Deduplicated, delayed, prioritised keys, fair between workspaces; one pass a key at a time.

    `weights`: workspace → its share of passes beside the others' (1 when not named). `patience_seconds`: a key due
    for longer goes with the changes. `keys_max`: how many keys may wait. `opened` is called with each cluster when
    its first key comes. Raises ValueError for a weight that is not a positive number.
    """

    def __init__(
        self,
        *,
        weights: Mapping[str, float] | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
        keys_max: int = KEYS_MAX,
        opened: Callable[[str], None] | None = None,
    ) -> None:
        self._weights = valid_weights(weights or {})
        self._patience = patience_seconds
        self._keys_max = keys_max
        self._opened = opened
        self._lanes: dict[str, _Lane] = {}
        self._with_keys: set[str] = set()  # clusters that `opened` was told of
        self._waiting: dict[Owner, Wish] = {}  # those in work and dirty, too; these are in no lane
        self._resyncs: dict[Owner, None] = {}  # those of them that nobody asked for, oldest first
        self._working: dict[Owner, _Work] = {}
        self._places: dict[Owner, Place] = {}
        self._numbers = itertools.count()
        self._at_rest = asyncio.Event()
        self._at_rest.set()
        self._is_closed = False
        self._shed = _Losses()
        self._refused = _Losses()

    def close(self) -> None:
        """Give out no more keys; those in work go on."""
        self._is_closed = True

    async def at_rest(self) -> None:
        """Return when no pass runs."""
        await self._at_rest.wait()

    def add(
        self, owner: Owner, priority: Priority, place: Place | None = None, *, delay_seconds: float = 0.0
    ) -> None:
        """Ask for a look at a key. The earliest time and the highest priority of all wishes win.

        The place named last wins as well; None: where it was. Beyond `keys_max` a new key may be refused.
        """
        now = clock.now()
        wish = Wish(
            due=now + max(0.0, delay_seconds),
            number=next(self._numbers),
            owner=owner,
            priority=priority,
            place=self.place_of(owner) if place is None else place,
        )
        old = self._waiting.get(owner)
        if old is not None:
            wish = old.joined(wish)
        elif len(self._waiting) >= self._keys_max and not self._made_room(wish, now):
            return
        if wish is not old:
            self._wait(wish, now)

    def is_dirty(self, owner: Owner) -> bool:
        """True when somebody changed what is desired of a key while its pass runs, and that is due."""
        wish = self._waiting.get(owner)
        return (
            owner in self._working
            and wish is not None
            and wish.priority is Priority.CHANGE
            and wish.due <= clock.now()
        )

    def place_of(self, owner: Owner) -> Place:
        """Where an owner's work queues, as far as anybody said."""
        if owner in self._waiting:
            return self._waiting[owner].place
        if owner not in self._places and owner in self._working:
            return self._working[owner].place
        return self._places.get(owner, Place())

    def forget(self, owner: Owner) -> None:
        """Nothing is left of an owner: where it was is of no interest once it neither waits nor is in work."""
        self._places.pop(owner, None)

    @property
    def depth(self) -> int:
        """How many keys are due or in work; keys that wait for their time are not counted."""
        now = clock.now()
        return len(self._working) + sum(lane.order.due_count(now) for lane in self._lanes.values())

    def oldest_seconds(self) -> float:
        """For how long the key that waits longest has been due or in work; 0 when there is none."""
        now = clock.now()
        due = [lane.order.oldest_at(now) for lane in self._lanes.values()]
        since = [one for one in due if one is not None]
        return now - min([*since, *(work.since for work in self._working.values())], default=now)

    @asynccontextmanager
    async def take(self, cluster: str) -> AsyncIterator[Owner]:
        """The next key of a cluster, for as long as the block runs. Waits until one is due.

        However the block ends, its key may be taken again when somebody asked for it meanwhile.
        """
        wish = await self._next(self._lane(cluster))
        owner = wish.owner
        self._working[owner] = _Work(since=clock.now(), place=wish.place)
        self._at_rest.clear()
        try:
            yield owner
        finally:
            del self._working[owner]
            if not self._working:
                self._at_rest.set()
            again = self._waiting.get(owner)
            if again is not None:
                self._lane(again.place.cluster).put(again, clock.now())

    async def _next(self, lane: _Lane) -> Wish:
        while True:
            now = clock.now()
            wish = None if self._is_closed else lane.order.pop(now)
            if wish is not None:
                del self._waiting[wish.owner]
                self._resyncs.pop(wish.owner, None)
                return wish
            lane.news.clear()
            await _news(lane, None if self._is_closed else lane.order.next_at())

    def _wait(self, wish: Wish, now: float) -> None:
        """Let this wish be its key's only one, in the lane of its place; a key in work enters none yet."""
        owner, cluster = wish.owner, wish.place.cluster
        old = self._waiting.get(owner)
        self._waiting[owner] = wish
        if wish.priority is Priority.RESYNC:
            self._resyncs[owner] = None
        elif self._resyncs:
            self._resyncs.pop(owner, None)
        self._remember(owner, wish.place)
        if owner not in self._working:
            if old is not None and old.place.cluster != cluster:
                self._lane(old.place.cluster).order.drop(owner)
            self._lane(cluster).put(wish, now)
        if cluster not in self._with_keys:
            self._with_keys.add(cluster)
            if self._opened is not None:
                self._opened(cluster)

    def _lane(self, cluster: str) -> _Lane:
        lane = self._lanes.get(cluster)
        if lane is None:
            order = FairOrder(weights=self._weights, patience_seconds=self._patience)
            lane = self._lanes[cluster] = _Lane(order=order)
        return lane

    def _remember(self, owner: Owner, place: Place) -> None:
        """Keep a place. Of too many, the half told first goes: the next sweep or resync tells it again."""
        if len(self._places) > 2 * self._keys_max:
            self._places = dict(itertools.islice(self._places.items(), self._keys_max, None))
        self._places[owner] = place

    def _made_room(self, wish: Wish, now: float) -> bool:
        """Too many keys wait: let one go that nobody asked for, or refuse the new one."""
        if wish.priority is not Priority.RESYNC and not self._resyncs:
            if self._refused.is_news(now):
                log.warning("key refused", owner=str(wish.owner), **self._losses())
            return False
        if self._shed.is_news(now):
            log.warning("resync wishes shed", **self._losses())
        if wish.priority is Priority.RESYNC:
            return False
        owner, _ = self._resyncs.popitem()
        self._lane(self._waiting.pop(owner).place.cluster).order.drop(owner)
        return True

    def _losses(self) -> dict[str, int]:
        return {"waiting": len(self._waiting), "refused": self._refused.count, "shed": self._shed.count}


async def _news(lane: _Lane, until: float | None) -> None:
    """Wait until something was added, or the next key becomes due.

    A timer may ring a hair before its time, when the clock's ticks are coarser than floats: to wait for less than
    that again and again would be to wait for ever.
    """
    at = None if until is None else max(until, clock.now() + _WAIT_SECONDS_MIN)
    try:
        async with asyncio.timeout_at(at):
            await lane.news.wait()
    except TimeoutError:
        return

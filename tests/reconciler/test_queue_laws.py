"""The queue's laws: whatever happens in whatever order, it does what a simple model of it does."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import looptime
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from model.names import Owner, Place
from reconciler.queue import Priority, WorkQueue

PATIENCE = 10
OWNERS = [Owner("deployment", name) for name in "abcdef"]
CLUSTERS = ["", "berlin", "paris"]
PLACES = [Place(cluster, workspace) for cluster in CLUSTERS for workspace in ("", "blue", "red")]

owners = st.sampled_from(OWNERS)
clusters = st.sampled_from(CLUSTERS)
places = st.none() | st.sampled_from(PLACES)
priorities = st.sampled_from(Priority)
delays = st.sampled_from([0, 0, 1, 3, 30])


@dataclass(frozen=True)
class Asked:
    """What is asked for one key."""

    due: float
    number: int
    priority: Priority
    place: Place

    def rank(self, now: float) -> Priority:
        return Priority.CHANGE if now - self.due > PATIENCE else self.priority

    def line(self, now: float) -> tuple[Priority, str, bool]:
        """Those it must not overtake: a change and what only its age made equal to it take turns."""
        return self.rank(now), self.place.workspace, self.rank(now) is self.priority


@dataclass
class Model:
    """The queue as one dictionary."""

    waiting: dict[Owner, Asked] = field(default_factory=dict)
    working: dict[Owner, tuple[float, Place]] = field(default_factory=dict)  # since when, where
    places: dict[Owner, Place] = field(default_factory=dict)
    clusters: list[str] = field(default_factory=list)
    numbers: itertools.count = field(default_factory=itertools.count)

    def add(self, owner: Owner, priority: Priority, place: Place | None, due: float) -> None:
        place = self.place_of(owner) if place is None else place
        asked, old = Asked(due, next(self.numbers), priority, place), self.waiting.get(owner)
        if old is not None:
            asked = replace(asked, due=min(due, old.due), priority=min(priority, old.priority))
            if replace(asked, number=old.number) == old:
                return
        self.waiting[owner], self.places[owner] = asked, place
        if place.cluster not in self.clusters:
            self.clusters.append(place.cluster)

    def place_of(self, owner: Owner) -> Place:
        if owner in self.waiting:
            return self.waiting[owner].place
        return self.places.get(owner) or self.working.get(owner, (0, Place()))[1]

    def due(self, now: float, cluster: str | None = None) -> dict[Owner, Asked]:
        return {
            owner: asked
            for owner, asked in self.waiting.items()
            if asked.due <= now and owner not in self.working and cluster in (None, asked.place.cluster)
        }

    def take(self, owner: Owner, cluster: str, now: float) -> None:
        assert owner not in self.working, "in two hands"
        due = self.due(now, cluster)
        assert owner in due, "not due, or of another lane"
        mine = due[owner]
        assert mine.rank(now) == min(one.rank(now) for one in due.values()), "a higher priority waits"
        line = [one for one in due.values() if one.line(now) == mine.line(now)]
        assert mine == min(line, key=lambda one: (one.due, one.number)), "another was due first"
        del self.waiting[owner]
        self.working[owner] = now, mine.place


class Worker:
    """Takes one key and holds it until told."""

    def __init__(self, queue: WorkQueue, cluster: str) -> None:
        self.queue, self.cluster = queue, cluster
        self.owner: Owner | None = None
        self.end = asyncio.Event()

    async def work(self) -> None:
        async with self.queue.take(self.cluster) as self.owner:
            await self.end.wait()


class Laws(RuleBasedStateMachine):
    """Feeds, workers and time in any order, the real queue and the model side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = looptime.new_event_loop(start=0)
        self.announced: list[str] = []
        self.queue = WorkQueue(patience_seconds=PATIENCE, opened=self.announced.append)
        self.model = Model()
        self.takers: dict[str, tuple[Worker, asyncio.Task]] = {}  # those that wait for a key: one a cluster
        self.hands: dict[Owner, tuple[Worker, asyncio.Task]] = {}

    def run(self, seconds: float = 0) -> None:
        """Let time pass, then see who was given what."""

        async def passing() -> None:
            await asyncio.sleep(seconds)
            for _ in range(5):
                await asyncio.sleep(0)

        self.loop.run_until_complete(passing())
        for cluster, (worker, task) in list(self.takers.items()):
            if worker.owner is None:
                assert not self.model.due(self.now, cluster), "a key is due, a worker waits, and they do not meet"
            else:
                self.model.take(worker.owner, cluster, self.now)
                self.hands[worker.owner] = worker, task
                del self.takers[cluster]

    @property
    def now(self) -> float:
        return self.loop.time()

    def put(
        self,
        owner: Owner,
        priority: Priority,
        place: Place | None,
        *delays: float,
        then: Callable[[], object] = bool,
    ) -> None:
        async def adding() -> None:
            for delay in delays:
                self.queue.add(owner, priority, place, delay_seconds=delay)
                self.model.add(owner, priority, place, self.now + delay)
            then()

        self.loop.run_until_complete(adding())

    @rule(owner=owners, priority=priorities, place=places, delay=delays)
    def add(self, owner, priority, place, delay):
        self.put(owner, priority, place, delay)
        self.run()

    @rule(owner=owners, priority=priorities, place=places)
    def insist(self, owner, priority, place):
        """So often that replaced wishes are forgotten."""
        self.put(owner, priority, place, *range(200, 20, -1))
        self.run()

    @rule(seconds=st.integers(1, 15))
    def wait(self, seconds):
        for _ in range(seconds):
            self.run(1)

    @rule(cluster=clusters)
    def take(self, cluster):
        if cluster not in self.takers:
            worker = Worker(self.queue, cluster)
            self.takers[cluster] = worker, self.loop.create_task(worker.work())
            self.run()

    @precondition(lambda self: self.takers)
    @rule(data=st.data(), owner=owners, priority=priorities, is_added=st.booleans())
    def give_up(self, data, owner, priority, is_added):
        """A worker that waits is cancelled; perhaps in the very moment that a key comes for it."""
        cluster = data.draw(st.sampled_from(sorted(self.takers)))
        _, task = self.takers.pop(cluster)
        self.put(owner, priority, Place(cluster), *([0] if is_added else []), then=task.cancel)
        self.run()
        assert task.cancelled()

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), is_cancelled=st.booleans())
    def end(self, data, is_cancelled):
        """A pass ends."""
        owner = data.draw(st.sampled_from(sorted(self.hands)))
        worker, task = self.hands.pop(owner)
        task.cancel() if is_cancelled else worker.end.set()
        del self.model.working[owner]
        self.run()
        assert task.done()

    @rule(owner=owners)
    def forget(self, owner):
        self.queue.forget(owner)
        self.model.places.pop(owner, None)

    @invariant()
    def tells_what_the_model_tells(self):
        self.loop.run_until_complete(self.compare())

    async def compare(self) -> None:
        model, queue, now = self.model, self.queue, self.now
        assert self.announced == model.clusters
        for owner in OWNERS:
            assert queue.place_of(owner) == model.place_of(owner)
            asked = model.waiting.get(owner)
            is_news = asked is not None and asked.priority is Priority.CHANGE and asked.due <= now
            assert queue.is_dirty(owner) == (is_news and owner in model.working)
        since = [asked.due for asked in model.due(now).values()] + [at for at, _ in model.working.values()]
        assert queue.depth == len(since)
        assert queue.oldest_seconds() == now - min(since, default=now)

    def teardown(self) -> None:
        """Whatever was asked for comes out in the end, once."""
        for worker, _ in self.hands.values():
            worker.end.set()
        self.model.working.clear()
        for _, task in self.takers.values():
            task.cancel()
        self.takers.clear()
        self.run(max((asked.due - self.now for asked in self.model.waiting.values()), default=0))
        for cluster in CLUSTERS:
            while self.model.due(self.now, cluster):
                self.take(cluster)
            self.take(cluster)
        assert not self.model.waiting
        for _, task in self.takers.values():
            task.cancel()
        self.run_to_the_end()

    def run_to_the_end(self) -> None:
        for worker, _ in self.hands.values():
            worker.end.set()
        self.takers.clear()
        self.run()
        self.loop.close()


TestLaws = Laws.TestCase
TestLaws.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

"""One seed, one life: people, weather and daemons on one loop, watched at every step, then healed and judged."""

from __future__ import annotations

import asyncio
import gc
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random

from drivers.simulation.vandal import Vandal
from drivers.simulation.world import World
from model.digest import digest
from model.names import Owner, Ref
from model.status import Reason

from .attention import Attention, Trial
from .checkers import Checkers, Violation
from .fleet import SETTINGS, Fleet
from .loop import Livelock, SimLoop
from .memories import Memories
from .releases import Releases
from .rollouts import Rollouts
from .rows import Row
from .store import Store
from .storms import Storms
from .switches import Switches
from .tasks import Tasks
from .truth import Truth
from .user import People, Step, script
from .weather import Forecast, Storm, forecast

CONVERGED_WITHIN_SECONDS = 2400.0
"""After healing: backoff's cap and a fight's are 300 s, a budget's window too, and the gate warms up."""
_LOOK_SECONDS = 10.0
_QUIET_PERIODS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a life is, as data: another plan is another life."""

    seed: int
    clusters: tuple[str, ...]
    steps: tuple[Step, ...]
    weather: Forecast


@dataclass(slots=True, kw_only=True)
class Report:
    """How a life went."""

    seed: int
    violations: list[Violation] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    injected: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0  # virtual
    converged_after: float = 0.0  # virtual seconds after healing
    fingerprint: str = ""  # equal runs have equal ones


def drawn(seed: int) -> Plan:
    """The life of a seed."""
    random = Random(seed)
    clusters = ("c1", "c2")[: random.choice((1, 1, 2))]
    weather = forecast(random, len(clusters))
    return Plan(seed=seed, clusters=clusters, steps=script(random, weather.healed_at * 0.95), weather=weather)


def run(seed: int) -> Report:
    """Live the life of a seed."""
    return live(drawn(seed))


def live(plan: Plan) -> Report:
    """Live a life. The same plan gives the same report, always."""
    life = Life(plan)
    was_enabled = gc.isenabled()
    gc.disable()  # what is collected in the middle of a life would run its finally blocks there
    try:
        with _heard(life.checkers):
            try:
                return life.run()
            finally:
                life.loop.close()
    finally:
        if was_enabled:
            gc.enable()


class Life:
    """A loop, a store, worlds, people, daemons and the weather."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        random = Random(plan.seed + 1)
        self.loop = SimLoop(plan.seed)
        self.store = Store(Random(plan.seed + 2))
        self.worlds = {name: World(seed=random.randrange(10**9)) for name in plan.clusters}
        self.truth = Truth(self.store, self.worlds)
        self.checkers = Checkers(self.store, self.worlds, self.truth)
        self.fleet = Fleet(self.loop, self.store, self.worlds, self.checkers, plan.seed)
        self.releases = Releases(self.fleet, self.truth, self.worlds)
        self.people = People(store=self.store, clusters=plan.clusters, install=self.releases.install)
        self.attention = Attention(self.checkers)
        self.checkers.observers += [
            self.releases,
            Rollouts(self.checkers, self.truth, self.store),
            Switches(self.checkers, self.truth),
            Tasks(self.checkers, self.truth),
            Memories(self.checkers, self.truth),
            self.attention,
        ]
        self.vandals = {name: Vandal(world) for name, world in self.worlds.items()}
        self.storms = Storms(
            store=self.store,
            worlds=self.worlds,
            fleet=self.fleet,
            checkers=self.checkers,
            vandals=self.vandals,
        )
        self._waiting: list[Step] = []
        self._converged_after = 0.0

    def run(self) -> Report:
        try:
            self.loop.run_until_complete(self._live())
        except Livelock as error:
            self.checkers.violations.append(Violation(self.loop.time(), "L5", str(error)))
        for error in self.loop.errors:
            self.checkers.violations.append(Violation(self.loop.time(), "L4", f"nobody handled {error!r}"))
        return self._report()

    async def _live(self) -> None:
        for faults, (name, world) in zip(self.plan.weather.faults, self.worlds.items(), strict=True):
            world.faults = faults
            world.writes = _log(self.checkers)
            self.loop.create_task(self.vandals[name].roam())
        for name in ("a", "b")[: self.plan.weather.daemons]:
            self.fleet.start(name)
        for happening in self._schedule():
            await self._until(happening.at)
            self._happens(happening)
        await self._until(self.plan.weather.healed_at)
        await self._heal()
        if await self._converge():
            await self._rest()
            await Trial(self.checkers, self.truth, self.store, self.attention).take()

    def _schedule(self) -> list[Step | Storm]:
        return sorted((*self.plan.steps, *self.plan.weather.storms), key=lambda one: one.at)

    async def _until(self, at: float) -> None:
        while (now := self.loop.time()) < at:
            await asyncio.sleep(min(1.0, at - now) if self._waiting else at - now)
            self._catch_up()

    def _happens(self, happening: Step | Storm) -> None:
        if isinstance(happening, Storm):
            self.storms.break_out(happening)
        else:
            self._waiting.append(happening)
            self._catch_up()

    def _catch_up(self) -> None:
        """People try again until the store answers."""
        while self._waiting and not self.store.trouble.is_down:
            done = self.people.do(self._waiting.pop(0))
            if done:
                self.checkers.note(f"a person: {done}")

    # Healing, and what must be true then.

    async def _heal(self) -> None:
        self.checkers.note("all faults heal")
        self.storms.heal()
        for name in ("a", "b")[: self.plan.weather.daemons]:
            self.fleet.start(name)
            # one that was told to stop while it was frozen ends first
            self.loop.call_later(30.0, self.fleet.start, name)
        await asyncio.sleep(0.01)
        self._catch_up()
        self.checkers.note("a broken release is taken back", self.releases.take_back())
        self.people.settle()
        self._bring_back_databases()

    def _bring_back_databases(self) -> None:
        """As the message asks: restored from a backup, whatever it was."""
        for ref, (world, thing) in self.storms.lost.items():
            if world.thing(ref) is None and any(self._wants(row, ref) for row in self._rows()):
                world.place(replace(thing, gone_at=None, stopped_at=None))

    def _wants(self, row: Row, ref: Ref) -> bool:
        known = row.inventory.get(ref)
        return known is not None and known.state == "present"

    def _rows(self) -> list[Row]:
        return list(self.store.tables.rows.values())

    async def _converge(self) -> bool:
        """L1, L4: whatever happened, all is as desired within a bound, when people do what they are told."""
        began = self.loop.time()
        looks, loads = 0, Counter(self.checkers.loads)
        is_known = False  # whether everybody had been looked at one look ago, and whatever is wrong was told
        while any(self._unsettled()) or self._changes_soon() or not is_known:
            is_known = all(self.checkers.loads[owner] > loads[owner] for owner in self._known())
            if self.loop.time() - began > CONVERGED_WITHIN_SECONDS:
                self._tell_unsettled()
                return False
            await asyncio.sleep(_LOOK_SECONDS)
            looks += 1
            if looks % 6 == 0:
                self._do_as_told()
        self._converged_after = self.loop.time() - began
        return True

    def _known(self) -> list[Owner]:
        """Whom each resync has to look at."""
        return [row.owner for row in self._rows() if row.spec is not None or row.inventory]

    def _do_as_told(self) -> None:
        done = self.people.answer(self._remove_stray)
        if self.people.is_asked_to_take_over:
            done.append(self.people.take_over())
            self.people.is_asked_to_take_over = False
            self.checkers.taken_over()
        for one in filter(None, done):
            self.checkers.note(f"a person does as told: {one}")

    def _remove_stray(self, ref: Ref) -> None:
        self.truth.world_of(ref).remove(ref)

    def _tell_unsettled(self) -> None:
        for one in list(self._unsettled()) or ["something is about to change for ever"]:
            self.checkers.violated("L1", f"not as desired {CONVERGED_WITHIN_SECONDS:.0f} s after healing: {one}")

    def _unsettled(self) -> Iterator[str]:
        """Why not all is as desired, or is not said to be; nothing when it is. The cheapest looks come first."""
        for row in self._rows():
            for why in self._wrong(row):
                yield f"{row.owner}: {why}"
        for ref in self.truth.unclaimed():
            yield f"{ref} is of an owner that nobody knows"

    def _wrong(self, row: Row) -> Iterator[str]:
        if row.spec is None:
            left = (ref for ref in self.truth.extras(row) if not self.truth.is_retained(ref))
            yield from (f"{ref} is left of a lost deployment" for ref in left)
        elif why := _dishonest(row, self.store):
            yield why
        else:
            yield from self.truth.differences(row)
            # what is in no inventory is told at the next search for strays, and people see to it
            extras = self.truth.extras(row)
            left = (ref for ref in extras if not self.truth.is_retained(ref) or ref not in row.inventory)
            yield from (f"{ref} is left" for ref in left)

    def _changes_soon(self) -> bool:
        """Whether a deletion comes to its next stage before a quiet while would be over."""
        now = self.store.now
        ends = [row.snapshot(now, "").stage_ends_at for row in self._rows()]
        within = (_QUIET_PERIODS + 3) * SETTINGS.resync_interval_seconds
        return any(at is not None and (at - now).total_seconds() < within for at in ends)

    async def _rest(self) -> None:
        """L1, S7, L3: from now on nothing is written, and every key is looked at in each period."""
        await asyncio.sleep(SETTINGS.resync_interval_seconds * 1.2)  # the inventory is mended by the next resync
        writes, asked, stored = self._writes()
        for _ in range(_QUIET_PERIODS):
            loads = Counter(self.checkers.loads)
            await asyncio.sleep(SETTINGS.resync_interval_seconds * 1.2)
            for owner in self._known():
                if self.checkers.loads[owner] == loads[owner]:
                    self.checkers.violated("L3", f"{owner} was not looked at in a whole resync period")
        now = self._writes()
        if now != (writes, asked, stored):
            told = f"{now[0] - writes} effects, {now[1] - asked} writes asked for, {now[2] - stored} commits"
            self.checkers.violated("S7", f"at rest, with nothing to do: {told}")
        for row in self._rows():
            # secrets alone are no leak: they are kept for a row that is put back
            if row.spec is None and row.status is not None and not row.inventory and not self.truth.extras(row):
                self.checkers.violated("LEAK", f"{row.owner} is kept in the store, and there is no such owner")
        for why in self._unsettled():
            self.checkers.violated("L1", f"it did not stay: {why}")

    def _writes(self) -> tuple[int, int, int]:
        counts = self.checkers.counts
        return counts["writes"], counts["writes asked for"], self.store.writes

    def _report(self) -> Report:
        injected = Counter(self.storms.injected) + Counter(self.store.injected)
        for world in self.worlds.values():
            injected += world.injected
        lines = [f"{at:.6f} {what}" for at, what, _ in self.checkers.history]
        told = [*lines, *map(str, sorted(injected.items())), *map(str, sorted(self.checkers.counts.items()))]
        return Report(
            seed=self.plan.seed,
            fingerprint=digest(told),
            violations=list(self.checkers.violations),
            history=[f"{at:9.3f} s  {what} {fact}" for at, what, fact in self.checkers.history],
            injected=injected,
            counts=self.checkers.counts,
            seconds=self.loop.time(),
            converged_after=self._converged_after,
        )


def _dishonest(row: Row, store: Store) -> str:
    """What an owner's status does not say as it is, when all is well; empty when it does."""
    status = row.status
    if status is None or status.observed_generation != row.generation:
        seen = status.observed_generation if status is not None else "never"
        return f"generation {row.generation} is asked for, and {seen} observed"
    synced, ready = status.condition("Synced"), status.condition("Ready")
    stage = row.stage(store.now)
    if synced is None or synced.status != "True":
        return f"Synced is {synced and (synced.status, synced.reason, synced.message)}"
    if stage == "active" and (ready is None or (ready.status != "True" and ready.reason is not Reason.STOPPED)):
        return f"Ready is {ready and (ready.status, ready.reason, ready.message)}"
    return ""


def _log(checkers: Checkers) -> list:
    from .watched import Log

    return Log(checkers)


class _Ear:
    """Hears what the daemon logs: an error that nobody foresaw is a violation; the rest costs nothing."""

    def __init__(self, checkers: Checkers) -> None:
        self._checkers = checkers

    def info(self, event: str, **facts: object) -> None:
        """Nothing."""

    warning = error = info

    def exception(self, event: str, **facts: object) -> None:
        error = sys.exc_info()[1]
        lines = traceback.format_exception(error)[-6:]
        self._checkers.violated("L4", f"{event} {facts}: " + "".join(lines))


@contextmanager
def _heard(checkers: Checkers) -> Iterator[None]:
    ear = _Ear(checkers)
    modules = [
        one for name, one in list(sys.modules.items()) if name.startswith("reconciler.") and hasattr(one, "log")
    ]
    logs = [one.log for one in modules]
    for one in modules:
        one.log = ear
    try:
        yield
    finally:
        for one, log in zip(modules, logs, strict=True):
            one.log = log


__all__ = ["Owner", "Plan", "Report", "drawn", "live", "run"]

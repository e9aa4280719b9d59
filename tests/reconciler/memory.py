"""The store as a record in memory, for whole lives on virtual time. Its rules are those of `core.record`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from drivers.base import Unavailable
from drivers.simulation.driver import SimulationDriver
from drivers.simulation.world import World
from model.names import Owner, SecretRef
from model.objects import Known, Site
from model.spec import Snapshot, Spec
from model.status import Event, Milestone, Record
from reconciler.ledger import Ledger
from reconciler.limits import Limits
from reconciler.reconcile import Ended, Tools, reconcile
from reconciler.render import site_of

from .sketch import OWNER, spec

BEGINNING = datetime(2026, 11, 22, tzinfo=UTC)
PORTS = {("api-server", "http"): 20000, ("scheduler", "health"): 20001, ("scheduler", "logs"): 20002}


class Fenced(Exception):
    """A newer generation was recorded."""


@dataclass
class Memory:
    """One owner's rows, and secrets that exist once."""

    clock: Clock
    row: Snapshot = field(
        default_factory=lambda: Snapshot(owner=OWNER, now=BEGINNING, spec=spec(), generation=1, ports=PORTS)
    )
    events: list[Event] = field(default_factory=list)
    writes: int = 0
    is_removed: bool = False

    async def load(self, owner: Owner) -> Snapshot:
        return replace(self.row, now=self.clock.now)

    async def intend(
        self, owner: Owner, epoch: int, rows: tuple[Known, ...], begun: tuple[Milestone, ...] = ()
    ) -> None:
        self._put(rows)
        self._reach(begun)

    def _reach(self, milestones: tuple[Milestone, ...]) -> None:
        reached = {one.name: one for one in (*self.row.milestones, *milestones)}
        self.row = replace(self.row, milestones=frozenset(reached.values()))

    async def record(self, record: Record) -> None:
        old = self.row.status
        if (
            record.status is not None
            and old is not None
            and old.observed_generation > record.status.observed_generation
        ):
            raise Fenced
        self.writes += 1
        self._put(record.objects)
        left = tuple(one for one in self.row.inventory if one.ref not in record.forget)
        self.row = replace(
            self.row,
            inventory=left,
            status=record.status or old,
        )
        self._reach(record.milestones)
        self.events += record.events
        self.is_removed = self.is_removed or record.remove_owner

    async def mint(self, owner: Owner, values: Mapping[str, str]) -> Mapping[str, int]:
        self.row = replace(self.row, secrets={**dict.fromkeys(values, 1), **self.row.secrets})
        return self.row.secrets

    async def reveal(self, ref: SecretRef) -> str:
        if self.row.secrets.get(ref.name, 0) < ref.version:
            raise Unavailable(f"version {ref.version} of {ref.name} of {ref.owner} is not in the store")
        return f"value of {ref.name} {ref.version}"

    def _put(self, rows: tuple[Known, ...]) -> None:
        kept = {one.ref: one for one in (*self.row.inventory, *rows)}
        self.row = replace(self.row, inventory=tuple(kept.values()))

    def ask(self, wanted: Spec | None = None, **changes) -> None:
        """Somebody changes what is desired."""
        generation = self.row.generation + 1
        self.row = replace(self.row, spec=wanted or self.row.spec, generation=generation, **changes)


@dataclass
class Clock:
    """Time that passes when somebody waits."""

    seconds: float = 0.0

    @property
    def now(self) -> datetime:
        return BEGINNING + timedelta(seconds=self.seconds)

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class Life:
    """A daemon's life with one deployment: passes, one after the other, on a world that outlives it."""

    def __init__(self, world: World, memory: Memory) -> None:
        self.world, self.memory = world, memory
        self.restart()

    def restart(self) -> None:
        """Another daemon: it remembers nothing."""
        driver = SimulationDriver(world=self.world, reveal=self.memory.reveal)
        self.ledger = Ledger(Limits())
        self.ledger.lead(1, float("-inf"))
        self.tools = Tools(store=self.memory, secrets=self.memory, drivers=(driver,), site_of=_site)

    async def one_pass(self) -> Ended:
        return await reconcile(OWNER, self.tools, self.ledger, epoch=1, should_stop=lambda taken: False)

    async def settle(self, *, passes: int = 400) -> int:
        """Passes until nothing is left to do or to wait for; how many it took."""
        for number in range(passes):
            try:
                ended = await self.one_pass()
            except Unavailable:
                await self.memory.clock.sleep(5.0)
                continue
            if ended.plan.is_empty and ended.again_in_seconds is None and self.is_quiet():
                return number + 1
            await self.memory.clock.sleep(min(ended.again_in_seconds or 5.0, 60.0))
        raise AssertionError(f"not settled after {passes} passes: {self.memory.row.status}")

    def is_quiet(self) -> bool:
        """Everything that should run is well, by the status itself."""
        status = self.memory.row.status
        if self.memory.is_removed:
            return True
        ready = status.condition("Ready") if status else None
        return ready is not None and (
            ready.status == "True" or ready.reason == "Stopped" or self.memory.row.stage != "active"
        )


def life(world: World | None = None, **faults) -> Life:
    clock = Clock()
    made = world or World(**faults)
    made.clock, made.sleep = (lambda: clock.seconds), clock.sleep
    return Life(made, Memory(clock=clock))


def _site(before: Snapshot) -> Site | None:
    return site_of(before, installation="simulated", home="/home", database=("127.0.0.1", 5432))

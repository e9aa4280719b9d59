"""Storms as they break: what each kind does to daemons, store and worlds, and how it ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextvars import Context, copy_context
from dataclasses import dataclass, field

from drivers.simulation.thing import Thing
from drivers.simulation.vandal import Vandal
from drivers.simulation.world import World
from model.names import Ref

from .checkers import Checkers
from .fleet import Fleet
from .store import Store
from .tables import Trouble
from .weather import Storm

_JUMPS = (-3600.0, -60.0, -10.0, 5.0, 30.0, 90.0, 3600.0)


@dataclass(slots=True, kw_only=True)
class Storms:
    """The hands that make the weather."""

    store: Store
    worlds: dict[str, World]
    fleet: Fleet
    checkers: Checkers
    vandals: dict[str, Vandal]
    injected: Counter[str] = field(default_factory=Counter)
    lost: dict[Ref, tuple[World, Thing]] = field(default_factory=dict)
    is_over: bool = False
    _countdown: tuple[int, bool, float] | None = None  # writes left, before or after, seconds until another starts

    _context: Context = field(default_factory=copy_context)

    def __post_init__(self) -> None:
        self.checkers.before_write = self._before_write
        self.checkers.after_write = self._after_write

    def break_out(self, storm: Storm) -> None:
        """Let it begin, and arrange for its end."""
        self._context = copy_context()  # of nobody that a storm may kill
        self.injected[storm.kind] += 1
        self.checkers.note(f"storm: {storm.kind}", storm.seconds)
        self.checkers.disturbed(storm.seconds)
        match storm.kind:
            case "kill" | "stop" | "freeze":
                self._strike_daemon(storm)
            case "kill before a write" | "kill after a write":
                self._countdown = (int(storm.number * 12), storm.kind == "kill before a write", storm.seconds)
            case "clock":
                self.store.offset += _JUMPS[int(storm.number * len(_JUMPS))]
                self.checkers.upheaval()
            case "store restored":
                if self.store.restore(storm.seconds):
                    self.checkers.restored()
            case "vandal":
                self._world(storm.number)[1].act()
            case "database lost":
                self._lose_database(storm)
            case "row lost":
                self._lose_row(storm)
            case _:
                self._trouble_store(storm)

    def _strike_daemon(self, storm: Storm) -> None:
        names = sorted(self.fleet.processes)
        if not names:
            return
        name = names[int(storm.number * len(names))]
        match storm.kind:
            case "kill":
                self.fleet.kill(name)
                self._later(storm.seconds, lambda: self.fleet.start(name))
            case "stop":
                self.fleet.stop(name)
                self._later(storm.seconds + 15.0, lambda: self.fleet.start(name))
            case _:
                self.fleet.freeze(name)
                self._later(storm.seconds, lambda: self.fleet.thaw(name))

    def _trouble_store(self, storm: Storm) -> None:
        trouble = self.store.trouble
        usual = Trouble()
        changes = {
            "store down": ("is_down", True),
            "store unreachable": ("unreachable", 0.3),
            "store answers lost": ("lost_answers", 0.3),
            "store slow": ("latency", (0.1, 3.0)),
            "store deaf": ("lost_signals", 1.0),
            "store echoes": ("repeated_signals", 0.5),
        }
        name, value = changes[storm.kind]
        setattr(trouble, name, value)
        if storm.kind == "store down":
            self.store.hang_up()
        self._later(storm.seconds, lambda: setattr(trouble, name, getattr(usual, name)))

    def _lose_database(self, storm: Storm) -> None:
        world, _ = self._world(storm.number)
        databases = [one for one in world.things() if one.kind.endswith("Database") and one.gone_at is None]
        if databases:
            thing = databases[int(storm.number * 97) % len(databases)]
            self.lost[thing.ref] = (world, thing)
            world.remove(thing.ref)

    def _lose_row(self, storm: Storm) -> None:
        """As a shrunken table: a deployment's row is gone past every guard."""
        owners = sorted(owner for owner, row in self.store.tables.rows.items() if row.spec is not None)
        if owners:
            self.store.lose_row(owners[int(storm.number * 89) % len(owners)])

    def _world(self, number: float) -> tuple[World, Vandal]:
        names = sorted(self.worlds)
        name = names[int(number * 31) % len(names)]
        return self.worlds[name], self.vandals[name]

    def _later(self, seconds: float, what: object) -> None:
        asyncio.get_running_loop().call_later(seconds, what, context=self._context)  # type: ignore[arg-type]

    # Daemons that die of a write.

    def _before_write(self, daemon: str) -> bool:
        return self._count(daemon, is_before=True)

    def _after_write(self, daemon: str) -> None:
        self._count(daemon, is_before=False)

    def _count(self, daemon: str, *, is_before: bool) -> bool:
        if self._countdown is None or self._countdown[1] is not is_before or self.is_over:
            return False
        left, before, seconds = self._countdown
        if left > 0:
            self._countdown = (left - 1, before, seconds)
            return False
        self._countdown = None
        self.fleet.kill(daemon)
        self._later(seconds, lambda: self.fleet.start(daemon))
        return True

    def heal(self) -> None:
        """Every storm is over, and what it left behind is what people must live with."""
        self.is_over = True
        self.checkers.disturbed(30.0)  # daemons that were told to stop do, and others take their place
        self.store.trouble = Trouble()
        for name in list(self.fleet.processes):
            self.fleet.thaw(name)
        for world in self.worlds.values():
            world.heal()
            for listener in world.listeners.values():
                listener.interrupt()  # connections that were to end under the weather do so now
        for vandal in self.vandals.values():
            vandal.repent()

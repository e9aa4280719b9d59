"""The world: what exists, whatever happens to those who look at it. It outlives every driver.

Time is a callable, randomness a seed: the same seed and the same calls give the same run. Each effect is logged,
so that tests can count writes; a write that changes nothing is none.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Literal

from drivers.base import Conflict, Unavailable
from drivers.simulation.faults import POLITE, Faults, Span
from drivers.simulation.thing import Mark, Thing, deleted, is_there
from drivers.simulation.translate import Body
from model.names import Kind, Ref
from model.objects import Object

Verb = Literal["create", "update", "replace", "stop", "delete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One effect that some driver had."""

    at: float
    verb: Verb
    ref: Ref
    owner: str


@dataclass(slots=True, kw_only=True)
class World:
    """Everything there is. `clock` gives seconds, `sleep` waits by it.

    `is_down`: nobody is reached until it is set back. `blind`: kinds nobody sees until they are removed → why.
    `writes` is the log of effects, `starts` counts how often each process and task was started by one of them.
    """

    seed: int = 0
    faults: Faults = POLITE
    clock: Callable[[], float] = field(default=lambda: asyncio.get_running_loop().time())
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    is_down: bool = False
    blind: dict[Kind, str] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    starts: Counter[Ref] = field(default_factory=Counter)
    random: random.Random = field(init=False)
    _things: dict[Ref, Thing] = field(default_factory=dict)
    _uids: count[int] = field(default_factory=lambda: count(1))
    _attempts: Counter[Ref] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311 - a simulation is to be repeatable

    # Looking.

    def things(self) -> tuple[Thing, ...]:
        """All that exists now, in the order of names."""
        now = self.clock()
        self._things = {ref: one for ref, one in self._things.items() if is_there(one, now)}
        return tuple(self._things[ref] for ref in sorted(self._things))

    def thing(self, ref: Ref) -> Thing | None:
        """What stands in a place now."""
        return next((one for one in self.things() if one.ref == ref), None)

    def chance(self, probability: float) -> bool:
        """Whether something of this probability happens now."""
        return probability > 0 and self.random.random() < probability

    def draw(self, span: Span) -> float:
        """A number of seconds within a span."""
        return self.random.uniform(*span) if span[1] > 0 else 0.0

    async def delay(self) -> None:
        """Be as slow as this world is."""
        await self.sleep(self.draw(self.faults.latency))

    # Changing, as drivers do.

    async def put(self, wanted: Object, mark: Mark, content: str, *, again: bool) -> Thing:
        """Make a thing, or change one in place. Raises Unavailable while the last one there is still going."""
        before = self.thing(wanted.ref)
        if before is not None and before.gone_at is not None:
            raise Unavailable(f"{wanted.ref} is still being deleted; it can be made once it is gone")
        after = self._after(before, wanted, mark, content, again=again)
        if after == before:
            return after
        # visible and unfinished, for as long as a slow write takes: whoever cuts it off here leaves this
        self._things[wanted.ref] = replace(after, digest=None, ready_at=float("inf"))
        await self.delay()
        self._things[wanted.ref] = self._begun(after)
        self._log("create" if before is None else "replace" if again else "update", wanted.ref, mark.owner)
        return self._things[wanted.ref]

    def stop(self, thing: Thing, owner: str) -> None:
        """Let what runs of a thing drain."""
        if thing.stopped_at is None and thing.gone_at is None and thing.life != "still":
            self.change(thing.ref, stopped_at=self.clock() + self.draw(self.faults.draining))
            self._log("stop", thing.ref, owner)

    def delete(self, thing: Thing, owner: str) -> None:
        """Send a thing on its way out."""
        if thing.gone_at is None:
            self._things[thing.ref] = deleted(thing, self.clock(), after=self.draw(self.faults.lingering))
            self._log("delete", thing.ref, owner)

    # Changing behind everybody's back.

    def place(self, thing: Thing) -> None:
        """Put a thing where it says, whatever was there."""
        self._things[thing.ref] = thing

    def remove(self, ref: Ref) -> None:
        """Make a thing vanish at once."""
        self._things.pop(ref, None)

    def change(self, ref: Ref, **facts: object) -> None:
        """Change facts of a thing without a trace in the log."""
        self._things[ref] = replace(self._things[ref], **facts)  # type: ignore[arg-type] # a vandal's facts

    def new_uid(self) -> str:
        """An identity that nothing had before."""
        return f"uid-{next(self._uids)}"

    def _after(self, before: Thing | None, wanted: Object, mark: Mark, content: str, *, again: bool) -> Thing:
        body: Body = wanted.body
        if before is None or again:
            before = Thing(ref=wanted.ref, uid=self.new_uid(), mark=mark, ready_at=float("inf"))
        elif before.frozen_digest != wanted.frozen_digest:
            raise Conflict(f"{wanted.ref} differs in what cannot be changed in place; it must be replaced")
        return replace(
            before,
            digest=wanted.digest,
            frozen_digest=wanted.frozen_digest,
            applied=content,
            actual=content,
            life="process" if body.is_process else "task" if body.is_task else "still",
            replicas=body.replicas,
            is_killed=before.is_killed and body.is_task,
            stopped_at=None if body.is_process else before.stopped_at,
        )

    def _begun(self, after: Thing) -> Thing:
        """The thing, with whatever runs of it started anew."""
        if after.life == "still" or after.replicas == 0:
            return replace(after, ready_at=self.clock())
        self.starts[after.ref] += 1
        if after.life == "process":
            return replace(after, ready_at=self.clock() + self.draw(self.faults.starting))
        self._attempts[after.ref] += 1
        fails = self._attempts[after.ref] <= self.faults.task_failures
        return replace(after, will_fail=fails, ready_at=self.clock() + self.draw(self.faults.task))

    def _log(self, verb: Verb, ref: Ref, owner: str) -> None:
        self.writes.append(Write(at=self.clock(), verb=verb, ref=ref, owner=owner))

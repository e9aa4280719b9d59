"""The world: what exists, whatever happens to those who look at it. It outlives every driver, and is one cluster.

Time is a callable, randomness a seed: the same seed and the same calls give the same run. Each effect is logged,
so that tests can count writes; a write that changes nothing is none.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Literal, Protocol

from drivers.base import Conflict, Stamp, Unavailable
from drivers.simulation.faults import POLITE, Faults, Span
from drivers.simulation.meddlers import Meddlers
from drivers.simulation.register import REMEMBERED_SECONDS, Register, View
from drivers.simulation.thing import NEVER, Claim, Mark, Thing, deleted, is_elsewhere, moments
from drivers.simulation.translate import Body
from model.names import Kind, Ref
from model.objects import Object

Verb = Literal["create", "update", "replace", "stop", "delete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One effect that some driver had. `by` names the driver; `version` is the world's that holds the effect."""

    at: float
    verb: Verb
    ref: Ref
    owner: str
    by: str = ""
    digest: str = ""
    uid: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pen:
    """Who writes, and the mark that is left: `by` is the driver's name."""

    by: str
    installation: str
    owner: str

    def mark(self, ref: Ref) -> Mark:
        """The mark on one thing."""
        return Mark(installation=self.installation, owner=self.owner, object=ref)


class Listener(Protocol):
    """Somebody who wants to know that something changed."""

    def tell(self, claim: Claim, kind: Kind, at: float) -> None:
        """Something of that kind of somebody's is different from that time on."""

    def interrupt(self) -> None:
        """The connection is cut."""


@dataclass(slots=True, kw_only=True)
class World:
    """Everything there is. `clock` gives seconds, `sleep` waits by it.

    `is_down`: nobody is reached until it is set back. `is_black_hole`: nobody is answered. `blind`: kinds nobody
    sees until they are removed → why. `is_at_peace`: nobody strikes any more. `writes` is the log of effects,
    `starts` counts how often each process and task was started by one of them, `injected` what went wrong, by
    class. `stamp` is the note that says who leads the cluster, `reset_at` when its versions began anew;
    `listeners` are told of changes, by name.
    """

    seed: int = 0
    faults: Faults = POLITE
    clock: Callable[[], float] = field(default=lambda: asyncio.get_running_loop().time())
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    is_down: bool = False
    is_black_hole: bool = False
    is_at_peace: bool = False
    blind: dict[Kind, str] = field(default_factory=dict)
    stamp: Stamp | None = None
    reset_at: float = float("-inf")
    writes: list[Write] = field(default_factory=list)
    starts: Counter[Ref] = field(default_factory=Counter)
    injected: Counter[str] = field(default_factory=Counter)
    listeners: dict[str, Listener] = field(default_factory=dict, repr=False)
    random: random.Random = field(init=False)
    meddlers: Meddlers = field(default_factory=Meddlers)
    _register: Register = field(default_factory=Register)
    _spells: dict[str, float] = field(default_factory=dict)
    _uids: count[int] = field(default_factory=lambda: count(1))
    _attempts: Counter[Ref] = field(default_factory=Counter)
    _stamps: deque[tuple[float, Stamp | None]] = field(default_factory=lambda: deque(maxlen=64))

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311 - a simulation is to be repeatable

    # Chance.

    def chance(self, probability: float, what: str = "") -> bool:
        """Whether something of this probability happens now. `what` is counted as injected if it does."""
        if probability <= 0 or self.random.random() >= probability:
            return False
        if what:
            self.injected[what] += 1
        return True

    def draw(self, span: Span) -> float:
        """A number of seconds within a span."""
        return self.random.uniform(*span) if span[1] > 0 else 0.0

    async def delay(self) -> None:
        """Be as slow as this world is."""
        await self.sleep(self.draw(self.faults.latency))

    def befall(self, what: str, probability: float) -> bool:
        """Whether such a spell lasts, after it may have begun."""
        if self.is_under(what):
            return True
        if not self.chance(probability, what):
            return False
        self._spells[what] = self.clock() + self.draw(self.faults.spell)
        return True

    def is_under(self, what: str) -> bool:
        """Whether such a spell lasts."""
        return what in self._spells and self.clock() < self._spells[what]

    # Looking.

    @property
    def version(self) -> int:
        """It grows with every change, until the cluster is restored."""
        self.meddlers.settle(self)
        return self._register.version

    def things(self) -> tuple[Thing, ...]:
        """All that exists now, in the order of names."""
        self.meddlers.settle(self)
        self._register.sweep(self.clock())
        return tuple(self._register.things[ref] for ref in sorted(self._register.things))

    def thing(self, ref: Ref) -> Thing | None:
        """What stands in a place now."""
        self.meddlers.settle(self)
        return self.standing(ref)

    def standing(self, ref: Ref) -> Thing | None:
        """What stands in a place as far as anybody found out."""
        return self._register.get(ref, self.clock())

    def owners(self, installation: str) -> list[str]:
        """The owners of whom this installation has anything, in the order of their coming."""
        return [owner for whose, owner in self._register.claims(self.clock()) if whose == installation]

    def view(self, times: Mapping[Kind, float] | None = None) -> View:
        """How everything is, or was: each kind at a time of its own."""
        self.meddlers.settle(self)
        return View(self._register, self.clock(), times)

    # Changing, as drivers do.

    async def put(self, wanted: Object, pen: Pen, content: str, *, again: bool) -> Thing:
        """Make a thing, or change one in place. Raises Unavailable while the last one there is still going."""
        before = self.thing(wanted.ref)
        if before is not None and before.gone_at is not None:
            raise Unavailable(f"{wanted.ref} is still being deleted; it can be made once it is gone")
        after = self._after(before, wanted, pen, content, again=again)
        if after == before:
            return after
        # visible and unfinished, for as long as a slow write takes: whoever cuts it off here leaves this
        unfinished = self.place(replace(after, digest=None, ready_at=NEVER), quietly=True)
        await self.delay()
        self._require_undisturbed(unfinished)
        written = self.place(self.meddlers.rewritten(self._begun(after), self))
        self._log("create" if before is None else "replace" if again else "update", written, pen)
        return written

    def stop(self, thing: Thing, pen: Pen) -> None:
        """Let what runs of a thing drain."""
        if thing.stopped_at is None and thing.gone_at is None and thing.life != "still":
            drained = self.clock() + self.draw(self.faults.draining)
            self._log("stop", self.place(replace(thing, stopped_at=drained)), pen)

    def delete(self, thing: Thing, pen: Pen) -> None:
        """Send a thing on its way out."""
        if thing.gone_at is not None:
            return
        lingering, finalizer = self.draw(self.faults.lingering), ""
        if self.chance(self.faults.finalizers, "finalizer"):
            lingering, finalizer = lingering + self.draw(self.faults.finalizing), "example.org/protect"
        gone = deleted(thing, self.clock(), after=lingering, finalizer=finalizer)
        self._log("delete", self.place(gone), pen)

    def write_stamp(self, stamp: Stamp) -> None:
        """Remember who leads the cluster."""
        self._stamps.append((self.clock(), self.stamp))
        self.stamp = stamp

    # Changing behind everybody's back.

    def place(self, thing: Thing, *, quietly: bool = False) -> Thing:
        """Put a thing where it says, whatever was there. `quietly`: no listener is told."""
        before = self._register.things.get(thing.ref)
        self._register.put(thing.ref, thing, self.clock())
        if not quietly:
            self._tell(before, thing)
        return thing

    def remove(self, ref: Ref) -> None:
        """Make a thing vanish at once."""
        before = self._register.things.get(ref)
        if before is not None:
            self._register.put(ref, None, self.clock())
            self._tell(before, None)

    def change(self, ref: Ref, **facts: object) -> None:
        """Change facts of a thing without a trace in the log."""
        self.meddlers.settle(self)
        self.place(replace(self._register.things[ref], **facts))  # type: ignore[arg-type] # a vandal's facts

    def announce(self, thing: Thing, at: float) -> None:
        """Let listeners know that a thing will be different at a time."""
        if thing.claim is not None:
            for listener in self.listeners.values():
                listener.tell(thing.claim, thing.kind, at)

    def new_uid(self) -> str:
        """An identity that nothing had before."""
        return f"uid-{next(self._uids)}"

    def restore(self, seconds: float) -> None:
        """The cluster as it was, at most two minutes ago, versions and uids too. Databases are elsewhere."""
        self.injected["restore"] += 1
        at = self.clock() - min(seconds, REMEMBERED_SECONDS)
        was, version = dict[Ref, Thing | None](), self._register.version
        for one in self._register.since(at):
            was[one.ref], version = one.before, one.version
        while self._stamps and self._stamps[-1][0] > at:
            self.stamp = self._stamps.pop()[1]
        self._reset(was, version)

    def wipe(self) -> None:
        """The cluster is made again, empty: versions begin anew, nobody leads it. Databases are elsewhere."""
        self.injected["wipe"] += 1
        self.stamp = None
        self._stamps.clear()
        self._reset(dict.fromkeys(one.ref for one in self.things()), 1)

    def _reset(self, was: Mapping[Ref, Thing | None], version: int) -> None:
        for ref, thing in was.items():
            if is_elsewhere(ref.kind):
                continue
            before = self._register.things.get(ref)
            self._register.put(ref, thing, self.clock())
            self._tell(before, thing)
        self._register.version, self.reset_at = version, self.clock()
        for listener in self.listeners.values():
            listener.interrupt()

    def heal(self) -> None:
        """All faults end, and whatever lasted. What they left behind stays."""
        self.meddlers.end(self)
        self.faults, self.is_down, self.is_black_hole, self.is_at_peace = POLITE, False, False, True
        self.blind.clear()
        self._spells.clear()
        now = self.clock()
        for one in self.things():
            if one.finalizer:
                self.place(replace(one, gone_at=now, finalizer=""))
            elif one.crashes_until > now:
                self.place(replace(one, crashes_until=now, ready_at=now))

    def _after(self, before: Thing | None, wanted: Object, pen: Pen, content: str, *, again: bool) -> Thing:
        body: Body = wanted.body
        if before is None or again:
            before = Thing(ref=wanted.ref, uid=self.new_uid(), mark=pen.mark(wanted.ref), ready_at=NEVER)
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

    def _require_undisturbed(self, unfinished: Thing) -> None:
        """While a write was under way, nobody else wrote, stopped, deleted or took the thing."""
        standing = self.thing(unfinished.ref)
        if standing is None or _written(standing) != _written(unfinished):
            raise Conflict(f"{unfinished.ref} was changed by somebody else while it was written; look again")

    def _begun(self, after: Thing) -> Thing:
        """The thing, with whatever runs of it started anew."""
        now = self.clock()
        if after.life == "still" or after.replicas == 0:
            return replace(after, ready_at=now)
        self.starts[after.ref] += 1
        if after.life == "process":
            loops = self.chance(self.faults.crash_loops, "crash loop")
            until = now + self.draw(self.faults.crashing) if loops else 0.0
            return replace(after, crashes_until=until, ready_at=max(now, until) + self.draw(self.faults.starting))
        self._attempts[after.ref] += 1
        fails = self._attempts[after.ref] <= self.faults.task_failures
        if fails:
            self.injected["task failure"] += 1
        return replace(after, will_fail=fails, ready_at=now + self.draw(self.faults.task))

    def _tell(self, before: Thing | None, after: Thing | None) -> None:
        """Let listeners know of a change, and of those that time alone will make."""
        now = self.clock()
        old, new = before.claim if before else None, after.claim if after else None
        for listener in self.listeners.values():
            if before is not None and old is not None and old != new:
                listener.tell(old, before.kind, now)
            if after is not None and new is not None:
                listener.tell(new, after.kind, now)
                for at in moments(after):
                    if at > now:
                        listener.tell(new, after.kind, at)

    def _log(self, verb: Verb, thing: Thing, pen: Pen) -> None:
        self.writes.append(
            Write(
                at=self.clock(),
                verb=verb,
                ref=thing.ref,
                owner=pen.owner,
                by=pen.by,
                digest=thing.digest or "",
                uid=thing.uid,
                version=self._register.version,
            )
        )


def _written(thing: Thing) -> tuple[object, ...]:
    """What drivers write of a thing, and others edit at most in between."""
    return (thing.uid, thing.mark, thing.digest, thing.applied, thing.stopped_at, thing.gone_at)

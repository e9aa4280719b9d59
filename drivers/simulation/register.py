"""The register: which things there are, whose each is, and how all of it was up to two minutes ago.

It knows no faults and no chance. Each change makes the version grow and keeps what stood there before, so that the
world as it was at an earlier moment is today's with the changes since taken back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from drivers.simulation.thing import Claim, Thing, is_there, moments, see
from model.names import Kind, Ref
from model.objects import Seen

REMEMBERED_SECONDS = 120.0
"""How far back the past is known."""


@dataclass(frozen=True, slots=True)
class Change:
    """What stood in a place before something else did, and the version that the world had then."""

    at: float
    version: int
    ref: Ref
    before: Thing | None


class Register:
    """All things by name and by whose they are. `now` never goes back from call to call."""

    def __init__(self) -> None:
        self.version = 1
        self.things: dict[Ref, Thing] = {}
        self._of: dict[Claim, dict[Ref, None]] = {}
        self._changes: deque[Change] = deque()
        self._looks: dict[Ref, tuple[Thing, float, float, Seen]] = {}

    def get(self, ref: Ref, now: float) -> Thing | None:
        """What stands in a place."""
        thing = self.things.get(ref)
        return thing if thing is not None and is_there(thing, now) else None

    def of(self, claim: Claim, now: float) -> Iterator[Thing]:
        """Everything of somebody's, in the order of its making."""
        for ref in self.claimed(claim):
            if is_there(self.things[ref], now):
                yield self.things[ref]

    def claimed(self, claim: Claim) -> Iterable[Ref]:
        """The places of everything of somebody's, what is gone and not swept included."""
        return self._of.get(claim, ())

    def claims(self, now: float) -> Iterator[Claim]:
        """Everybody of whom something exists."""
        for claim, refs in self._of.items():
            if any(is_there(self.things[ref], now) for ref in refs):
                yield claim

    def put(self, ref: Ref, thing: Thing | None, now: float) -> None:
        """Let a thing, or nothing, stand in a place from now on."""
        before = self.things.get(ref)
        self._changes.append(Change(now, self.version, ref, before))
        while self._changes[0].at < now - REMEMBERED_SECONDS:
            self._changes.popleft()
        self.version += 1
        old, new = before.claim if before else None, thing.claim if thing else None
        if old is not None and old != new:
            del self._of[old][ref]
        if new is not None:
            self._of.setdefault(new, {})[ref] = None
        if thing is None:
            self.things.pop(ref, None)
        else:
            self.things[ref] = thing

    def sweep(self, now: float) -> None:
        """Forget what is gone by now."""
        for ref in [ref for ref, one in self.things.items() if not is_there(one, now)]:
            self.put(ref, None, now)

    def since(self, at: float) -> Iterator[Change]:
        """What changed later than that, newest first."""
        for one in reversed(self._changes):
            if one.at <= at:
                return
            yield one

    def look(self, thing: Thing, at: float) -> Seen:
        """How a thing looks at a time; drawn anew only when that is different."""
        kept = self._looks.get(thing.ref)
        if kept is not None and kept[0] is thing and kept[1] <= at < kept[2]:
            return kept[3]
        seen = see(thing, at)
        times = moments(thing)
        since = max((one for one in times if one <= at), default=float("-inf"))
        until = min((one for one in times if one > at), default=float("inf"))
        self._looks[thing.ref] = (thing, since, until, seen)
        return seen


class View:
    """The register as it is at a time, or as it was: each kind at a moment of its own. Good until the next change.

    `as_of`: the version that each kind had reached, of a view of the past. `is_behind`: it differs from today's.
    """

    __slots__ = ("_now", "_register", "_times", "_was", "as_of", "is_behind")

    def __init__(self, register: Register, now: float, times: Mapping[Kind, float] | None = None) -> None:
        self._register = register
        self._now = now
        self._times = times or {}
        self._was: dict[Ref, Thing | None] = {}
        self.as_of: dict[Kind, int] = {}
        if times:
            self._take_back(times)
        self.is_behind = bool(self._was)

    def _take_back(self, times: Mapping[Kind, float]) -> None:
        self.as_of = dict.fromkeys(times, self._register.version)
        oldest = min(times.values())
        for change in self._register.since(oldest):
            if change.at > times.get(change.ref.kind, self._now):
                self._was[change.ref] = change.before
            for kind, at in times.items():
                if at < change.at:
                    self.as_of[kind] = change.version

    def get(self, ref: Ref) -> Thing | None:
        """What stood in a place."""
        was = self._was
        thing = was[ref] if was and ref in was else self._register.things.get(ref)
        if thing is None or thing.gone_at is None:
            return thing
        return thing if is_there(thing, self._times.get(ref.kind, self._now)) else None

    def of(self, claim: Claim) -> Iterator[Seen]:
        """How everything of somebody's looked."""
        refs = self._register.claimed(claim)
        if self._was:
            refs = dict.fromkeys(refs)
            refs |= {ref: None for ref, one in self._was.items() if one is not None and one.claim == claim}
        for ref in refs:
            thing = self.get(ref)
            if thing is not None and (not self._was or thing.claim == claim):
                yield self._register.look(thing, self._times.get(ref.kind, self._now))

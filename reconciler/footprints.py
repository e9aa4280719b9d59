"""Footprints: what this process itself wrote and saw a moment ago, so that a cache cannot fool it.

A driver may answer from a cache. It says so (`Observed.as_of`), and then three things can be wrong: our own write
is not in it yet, it went back in time, or somebody undoes our repairs as fast as we make them. Nothing here is
needed for correctness after a restart: a new process has written nothing, and its first views are fresh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from model.names import Kind, Owner, Ref
from model.objects import Observed
from model.plan import Action, Cause
from reconciler.limits import Limits

_FIGHT_CAP_SECONDS = 300.0
_FORGET_REPAIRS_SECONDS = 3600.0  # longer than the waits between repairs add up to


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """An observation, and what of it must not be taken at its word.

    `unseen`: objects that we wrote and whose write it does not hold. `is_doubtful`: ask the world itself.
    """

    observed: Observed
    unseen: Mapping[Ref, str] = field(default_factory=dict)
    is_doubtful: bool = False


@dataclass(slots=True)
class _Prints:
    """Of one owner: writes not seen yet (version, time), the versions reached, and times of repairs."""

    written: dict[Ref, tuple[int, float]] = field(default_factory=dict)
    reached: dict[Kind, int] = field(default_factory=dict)
    repairs: dict[Ref, tuple[float, ...]] = field(default_factory=dict)


class Footprints:
    """The footprints of every owner. Times are seconds of the running loop's clock."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._owners: dict[Owner, _Prints] = {}

    def wrote(self, owner: Owner, action: Action, version: int, now: float) -> None:
        """Remember an accepted write. `version` 0: every read is of the world itself."""
        prints = self._owners.setdefault(owner, _Prints())
        if version:
            prints.written[action.ref] = (version, now)
        if action.cause is Cause.DRIFT:
            recent = [at for at in prints.repairs.get(action.ref, ()) if now - at < _FORGET_REPAIRS_SECONDS]
            prints.repairs[action.ref] = (*recent[-15:], now)

    def seen(self, owner: Owner, observed: Observed, *, fresh: bool, now: float) -> Sight:
        """Hold an observation against the footprints. A fresh one is the truth, whatever was seen before."""
        prints = self._owners.get(owner)
        if prints is None and not observed.as_of:
            return Sight(observed=observed)
        prints = self._owners.setdefault(owner, _Prints())
        if fresh:
            _keep_blind(prints, observed)
            return Sight(observed=observed)
        backwards = {kind for kind, version in observed.as_of.items() if version < prints.reached.get(kind, 0)}
        prints.reached.update({kind: at for kind, at in observed.as_of.items() if kind not in backwards})
        prints.written = {
            ref: (version, at)
            for ref, (version, at) in prints.written.items()
            if observed.as_of.get(ref.kind, version) < version or ref.kind in observed.blind
        }
        late = any(now - at > self._limits.unseen_seconds_max for _, at in prints.written.values())
        return Sight(
            observed=_without(observed, backwards),
            unseen=dict.fromkeys(prints.written, "was written a moment ago, and that cannot be seen yet"),
            is_doubtful=late or bool(backwards),
        )

    def fights(self, owner: Owner, observed: Observed, now: float) -> Mapping[Ref, str]:
        """Objects whose next repair must wait, because the last ones were undone → a sentence naming by whom."""
        prints = self._owners.get(owner)
        found: dict[Ref, str] = {}
        for ref, times in (prints.repairs if prints else {}).items():
            wait = self._wait(times, now)
            if wait > 0 and now - times[-1] < wait:
                seen = observed.seen.get(ref)
                by = next((one.by for one in seen.drift if one.by), "somebody") if seen else "somebody"
                found[ref] = f"{ref} is changed back by {by} each time; the next repair waits {wait:.0f} s"
        return found

    def _wait(self, times: tuple[float, ...], now: float) -> float:
        """Seconds between the last repair and the next; 0 while there were few."""
        recent = sum(1 for at in times if now - at < _FORGET_REPAIRS_SECONDS)
        burst = len(times) >= self._limits.repairs_max and (
            times[-1] - times[-self._limits.repairs_max] < self._limits.repairs_seconds
        )
        more = recent - self._limits.repairs_max
        if more < 0 or (more == 0 and not burst):
            return 0.0
        return min(_FIGHT_CAP_SECONDS, self._limits.repairs_seconds * 2.0**more)

    def forget(self, owner: Owner) -> None:
        """Nothing is left of an owner."""
        self._owners.pop(owner, None)


def _keep_blind(prints: _Prints, observed: Observed) -> None:
    """After a look at the world itself: what it did not show is as little seen as before."""
    prints.written = {ref: when for ref, when in prints.written.items() if ref.kind in observed.blind}
    unread = {kind: version for kind, version in prints.reached.items() if kind in observed.blind}
    prints.reached = {**unread, **observed.as_of}


def _without(observed: Observed, backwards: set[Kind]) -> Observed:
    """The observation, blind to the kinds whose view is older than one that was seen before."""
    if not backwards:
        return observed
    why = "the view went back in time; the world itself is asked"
    return replace(observed, blind={**observed.blind, **dict.fromkeys(sorted(backwards), why)})

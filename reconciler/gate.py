"""The fleet gate: a change that nobody asked for reaches a few deployments at a time, canaries first.

A new release of ours, or new defaults, may differ for every deployment. The first go alone; when they are Ready
again, some at once; and when one does not become Ready in time, no other goes until a person agrees.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from model.names import Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class GateLimits:
    """How a rollout goes: `canaries` one after the other, then `at_once` together.

    One that is not Ready again within `patience_seconds` stops the rollout; half an hour holds an image's build
    and a migration. A rollout in which nothing moved for `wave_seconds` is over: the next has canaries again.
    In the first `warmup_seconds` of a daemon nobody is let through: it learns whom the last one let through from
    the deployments' own status, and looks at each of them in that time.
    """

    canaries: int = 2
    at_once: int = 5
    patience_seconds: float = 1800.0
    wave_seconds: float = 3600.0
    warmup_seconds: float = 120.0


TURN = "waits for its turn: what nobody asked for in particular reaches a few deployments at a time"


class FleetGate:
    """Who of one cluster's fleet is being changed unasked. Times are seconds of the running loop's clock."""

    def __init__(self, limits: GateLimits | None = None, *, began_at: float) -> None:
        self._limits = limits or GateLimits()
        self._began_at = began_at
        self._rolling: dict[Owner, float] = {}  # since when
        self._waiting: dict[Owner, None] = {}  # a set in the order of coming
        self._finished = 0
        self._moved_at = float("-inf")

    def adopt(self, owner: Owner, since: float) -> None:
        """Know of an owner that another daemon let through, and when."""
        self._rolling.setdefault(owner, since)

    def why_not(self, owner: Owner, now: float) -> str:
        """Why an owner must wait, as a sentence; empty when it may go."""
        if owner in self._rolling:
            return ""
        late = [one for one, since in self._rolling.items() if now - since > self._limits.patience_seconds]
        if late:
            return (
                f"the rollout stopped: {min(late)} was changed and is not Ready again. Mend it, or let this one "
                "go with: SELECT armillary.approve('<workspace>/<deployment>', 'rollout')"
            )
        is_warm = now - self._began_at >= self._limits.warmup_seconds
        return "" if is_warm and len(self._rolling) < self._width(now) else TURN

    def _width(self, now: float) -> int:
        if now - self._moved_at > self._limits.wave_seconds:
            self._finished = 0
        return 1 if self._finished < self._limits.canaries else self._limits.at_once

    def waits(self, owner: Owner) -> None:
        """An owner was told to wait for its turn."""
        self._waiting.setdefault(owner)

    def turns(self, now: float) -> tuple[Owner, ...]:
        """Whose turn it is now, of those that wait. Each is told once: one that comes too late waits anew."""
        room = self._width(now) - len(self._rolling)
        first = tuple(itertools.islice(self._waiting, max(0, room)))
        if not first or self.why_not(first[0], now):
            return ()
        for owner in first:
            del self._waiting[owner]
        return first

    def entered(self, owner: Owner, now: float) -> None:
        """An unasked change of this owner begins."""
        self._waiting.pop(owner, None)
        self._rolling.setdefault(owner, now)
        self._moved_at = now

    def left(self, owner: Owner) -> None:
        """An owner is not of this cluster any more: nobody here waits for it."""
        self._waiting.pop(owner, None)
        self._rolling.pop(owner, None)

    def settled(self, owner: Owner, now: float) -> None:
        """An owner is as it should be, and Ready."""
        self._waiting.pop(owner, None)
        if self._rolling.pop(owner, None) is not None:
            self._finished += 1
            self._moved_at = now

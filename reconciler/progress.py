"""Whether a daemon gets work done: the facts that readiness and alerts are judged from. Pure data.

Liveness means progress: a process that exists and does nothing is not well. The daemon says the facts, `/readyz`
and `/v1/alerts` judge them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

STALLED_SECONDS = 60.0
"""A key that waited for so long, while no pass at all ended, is stalled work. A pass takes seconds at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One daemon, now. Times are aware.

    `queue_depth` counts keys that are due or in work; `oldest_waiting_seconds` says for how long the first of them
    has been due. `listening`: notifications of the state store arrive. `leading`: this daemon may act. `blind`:
    what could not be seen at the last look for orphans → why.
    """

    started_at: datetime
    last_pass_at: datetime | None = None
    queue_depth: int = 0
    oldest_waiting_seconds: float = 0.0
    listening: bool = False
    leading: bool = False
    blind: Mapping[str, str] = field(default_factory=dict)

    def is_stalled(self, now: datetime) -> bool:
        """True when a key has waited for STALLED_SECONDS and no pass ended in them, nor this daemon started.

        Both: work that has just come to a daemon at rest is not late, and a long queue that moves is not stalled.
        """
        is_late = self.queue_depth > 0 and self.oldest_waiting_seconds > STALLED_SECONDS
        return is_late and (now - self.last_progress_at).total_seconds() > STALLED_SECONDS

    @property
    def last_progress_at(self) -> datetime:
        """When a pass ended last; before the first one, when the daemon started."""
        return max(self.started_at, self.last_pass_at or self.started_at)

    def reasons_not_ready(self, now: datetime) -> tuple[str, ...]:
        """Sentences that say why this daemon is not doing its work; none when it is."""
        reasons: list[str] = []
        if not self.listening:
            reasons.append("Changes in the state database are not heard: no connection waits for them.")
        if not self.leading:
            reasons.append("This daemon may not act: it does not hold its cluster's lease.")
        if self.is_stalled(now):
            waiting = _deployments(self.queue_depth)
            reasons.append(f"No pass has ended for more than {STALLED_SECONDS:.0f} s, and {waiting} for one.")
        return tuple(reasons)


def _deployments(count: int) -> str:
    return "1 deployment waits" if count == 1 else f"{count} deployments wait"

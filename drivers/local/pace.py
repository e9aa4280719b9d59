"""How often the local driver looks, asks, and when it loses patience. Each with its unit and its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Durations of the local driver, in seconds."""

    poll_seconds: float = 0.4
    """Between looks at all folders: a killed shim or an edited file is news within half a second."""

    poll_share: float = 0.04
    """Of one core, at most, that polling may take: with hundreds of deployments it slows down instead."""

    eager_seconds: float = 0.3
    """Between probes of what is not healthy: somebody waits for it."""

    calm_seconds: float = 5.0
    """Between probes of what is healthy: an exit is seen at once without them; only a hang takes this long."""

    settled_seconds: float = 1.0
    """A process without a probe that lived this long is called healthy: what cannot start ends sooner."""

    hang_seconds: float = 60.0
    """A process that was healthy, runs, and has not answered for so long is restarted: DAG-parsing peaks pass."""

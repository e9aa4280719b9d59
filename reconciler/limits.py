"""The bounds of one pass. Pure numbers, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one pass may do at most.

    `writes_per_pass_max`: a pass that writes more gives its worker back to others in between.
    `observe_seconds_max`, `apply_seconds_max`: how long one driver call may take before it counts as
    unavailable; generous beside the milliseconds they need, so that only a hang is cut.
    `unseen_seconds_max`: for so long a cache may not show our own write before the world itself is asked.
    `repairs_max` repairs of one object within `repairs_seconds`: somebody changes it back, and we slow down.
    """

    writes_per_pass_max: int = 30
    observe_seconds_max: float = 15.0
    apply_seconds_max: float = 30.0
    unseen_seconds_max: float = 5.0
    repairs_max: int = 3
    repairs_seconds: float = 60.0

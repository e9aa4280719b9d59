"""The bounds of one pass. Pure numbers, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one pass may do at most.

    `writes_per_pass_max`: a pass that writes more gives its worker back to others in between.
    `observe_seconds_max`, `apply_seconds_max`: how long one driver call may take before it counts as
    unavailable; generous beside the milliseconds they need, so that only a hang is cut.
    """

    writes_per_pass_max: int = 30
    observe_seconds_max: float = 15.0
    apply_seconds_max: float = 30.0

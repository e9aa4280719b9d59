"""Faults: how rude a simulated world is. Pure numbers; the world draws from its seed."""

from __future__ import annotations

from dataclasses import dataclass

Span = tuple[float, float]
"""The least and the most of a number of seconds; each time something between is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong, and how long things take. Probabilities are per call, times are seconds.

    `unavailable_before`: a call fails and nothing happened. `unavailable_after`: it fails and all of it happened.
    `blind`: a look does not see one kind. `stale`: a look shows what an earlier look of that owner showed.
    `latency` is spent before, in the middle of and after each call. `lingering`: how long what was deleted stays,
    `draining`: what was stopped. `task_failures`: how often each task fails before it ends well.
    `lost_hints` and `repeated_hints` concern `watch`, which looks each `hint_interval`.
    """

    unavailable_before: float = 0.0
    unavailable_after: float = 0.0
    blind: float = 0.0
    stale: float = 0.0
    latency: Span = (0.0, 0.0)
    lingering: Span = (0.0, 0.0)
    draining: Span = (0.0, 0.0)
    starting: Span = (0.0, 0.0)
    task: Span = (0.0, 0.0)
    task_failures: int = 0
    lost_hints: float = 0.0
    repeated_hints: float = 0.0
    hint_interval: float = 0.5


POLITE = Faults()
"""A world in which everything works at once."""

RUDE = Faults(
    unavailable_before=0.1,
    unavailable_after=0.1,
    blind=0.05,
    latency=(0.0, 2.0),
    lingering=(0.0, 30.0),
    draining=(0.0, 20.0),
    starting=(0.0, 60.0),
    task=(1.0, 40.0),
    task_failures=2,
    lost_hints=0.5,
    repeated_hints=0.3,
)
"""Ruder than reality: all of it often, though never for ever."""

"""How much of one cluster's time we take: an adaptive limit of calls at once and of writes a second. Pure.

Additive increase, multiplicative decrease: each quick answer grants a little more, up to a ceiling; "too many
requests" halves, and an answer much slower than usual takes a part. Usual is learned slowly, a baseline for each
sort of call, so that a cluster that stays slow becomes normal. Calls that began before a cut cut nothing more:
they tell of the pace before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceLimits:
    """The bounds of the pace and how fast it moves in them.

    `calls_at_once` (calls): twice the workers a cluster usually has, so that looks for orphans fit beside passes.
    `applies_per_second_max` (1/s): what Kubernetes' own controllers allow themselves. `applies_per_second_min`
    (1/s): a cluster that throttles us for ever is still repaired. `applies_per_second_step` (1/s): from the bottom
    to the top takes about fifteen seconds of writing.
    `throttled_factor`, `slow_factor`: what is left of the pace after a 429 and after a slow answer; the first was
    said, the second is only our guess.
    `quick_seconds` (s): answers below it are all equally quick, or a millisecond would be slow beside a fast one.
    `slow_times`: so many times the baseline is slow; less is noise.
    `learned_up`, `learned_down`: the part by which one answer raises or lowers the baseline at most. Up slowly, or
    congestion would pass for normal before anybody reacted: fourfold takes about seventy answers.
    `pause_seconds_max` (s): the longest pause we let a cluster ask for at a time; afterwards one 429 renews it.
    """

    calls_at_once: int = 8
    applies_per_second_max: float = 20.0
    applies_per_second_min: float = 1.0
    applies_per_second_step: float = 0.2
    throttled_factor: float = 0.5
    slow_factor: float = 0.8
    quick_seconds: float = 0.1
    slow_times: float = 4.0
    learned_up: float = 0.02
    learned_down: float = 0.1
    pause_seconds_max: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The pace now. Times are seconds of one monotonic clock.

    `calls`: how many may be in flight, as a fraction that grows; `calls_limit` is the whole number. `rate`:
    applies a second. `baselines`: sort of call → usual seconds. No call may begin before `paused_until`. The pace
    was last cut at `cut_at`.
    """

    calls: float
    rate: float
    baselines: Mapping[str, float] = field(default_factory=dict)
    paused_until: float = float("-inf")
    cut_at: float = float("-inf")

    @property
    def calls_limit(self) -> int:
        """How many calls may be in flight; at least one."""
        return int(self.calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One call that was answered: its sort, whether it spent a write, and when it began and ended."""

    call: str
    began_at: float
    ended_at: float
    is_write: bool = False


def full(limits: PaceLimits) -> Pace:
    """The pace of a cluster of which nothing bad is known."""
    return Pace(calls=float(limits.calls_at_once), rate=limits.applies_per_second_max)


def careful(pace: Pace) -> Pace:
    """The pace after an outage: one call at a time, and growing from there, so that no herd runs it down again."""
    return replace(pace, calls=1.0)


def answered(pace: Pace, timing: Timing, limits: PaceLimits) -> Pace:
    """After an answer: more when it came as quickly as usual, less when it was slow. Learns what is usual."""
    seconds = max(timing.ended_at - timing.began_at, limits.quick_seconds)
    usual = pace.baselines.get(timing.call, seconds)
    learned = _between(usual * (1 - limits.learned_down), seconds, usual * (1 + limits.learned_up))
    if learned != pace.baselines.get(timing.call):
        pace = replace(pace, baselines={**pace.baselines, timing.call: learned})
    if seconds > limits.slow_times * usual:
        return _cut(pace, timing.began_at, timing.ended_at, limits.slow_factor, limits)
    return _grown(pace, limits, is_write=timing.is_write)


def unanswered(pace: Pace, began_at: float, now: float, limits: PaceLimits) -> Pace:
    """After a call that was given up: slow, but nothing is learned of it about what is usual."""
    return _cut(pace, began_at, now, limits.slow_factor, limits)


def throttled(
    pace: Pace, began_at: float, now: float, retry_after_seconds: float | None, limits: PaceLimits
) -> Pace:
    """After the world asked for fewer calls, and maybe for a pause; it gets both."""
    pace = _cut(pace, began_at, now, limits.throttled_factor, limits)
    if retry_after_seconds is None:
        return pace
    pause = _between(0.0, retry_after_seconds, limits.pause_seconds_max)
    return replace(pace, paused_until=max(pace.paused_until, now + pause))


def _cut(pace: Pace, began_at: float, now: float, factor: float, limits: PaceLimits) -> Pace:
    if began_at < pace.cut_at:
        return pace
    rate = max(limits.applies_per_second_min, pace.rate * factor)
    return replace(pace, calls=max(1.0, pace.calls * factor), rate=rate, cut_at=now)


def _grown(pace: Pace, limits: PaceLimits, *, is_write: bool) -> Pace:
    """One more call at once for each round of calls answered quickly, one step of rate for each write."""
    calls = min(float(limits.calls_at_once), pace.calls + 1 / pace.calls)
    step = limits.applies_per_second_step if is_write else 0.0
    rate = min(limits.applies_per_second_max, pace.rate + step)
    return pace if (calls, rate) == (pace.calls, pace.rate) else replace(pace, calls=calls, rate=rate)


def _between(low: float, value: float, high: float) -> float:
    return min(max(low, value), high)

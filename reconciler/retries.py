"""When a key whose pass failed may be tried again: capped backoff with full jitter.

Reset by a success, and by a new generation: what somebody has just corrected is looked at at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from model.names import Owner
from reconciler.backoff import backoff_seconds


@dataclass(frozen=True, slots=True)
class _Failure:
    count: int
    generation: int | None
    until: float


class Retries:
    """Failed passes of each key since its last success. Times are seconds of the running loop's clock."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._asked: dict[Owner, int] = {}  # generations that are asked for, of keys that are due
        self._failures: dict[Owner, _Failure] = {}

    def failed(self, owner: Owner, now: float) -> float:
        """A pass failed; for how many seconds to wait."""
        old, generation = self._failures.get(owner), self._asked.get(owner)
        count = old.count + 1 if old is not None and old.generation == generation else 1
        delay = backoff_seconds(count, self._random.random())
        self._failures[owner] = _Failure(count, generation, now + delay)
        return delay

    def succeeded(self, owner: Owner) -> None:
        """A pass ended well."""
        self._failures.pop(owner, None)
        self._asked.pop(owner, None)

    def delay(self, owner: Owner, generation: int, now: float) -> float:
        """For how many more seconds a key that is due at this generation has to wait."""
        self._asked[owner] = generation
        failure = self._failures.get(owner)
        if failure is None or failure.generation != generation:
            return 0.0
        return max(0.0, failure.until - now)

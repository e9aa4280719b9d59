"""The budget of deletes that nobody asked for: so many a cluster in five minutes, then a person must agree.

Nothing is spent in the first window after a start: a restart must not refill the budget, and what a new process
knows least is what has vanished. Unexplained deletes are never urgent.
"""

from __future__ import annotations

WINDOW_SECONDS = 300.0
FLOOR = 3
PERCENT = 10


class Budget:
    """Unexplained deletes of one cluster in a sliding window. Times are seconds of the running loop's clock."""

    def __init__(self, *, began_at: float) -> None:
        self._began_at = began_at
        self._spent: list[float] = []

    def left(self, now: float, objects: int) -> int:
        """How many more are allowed now, in a cluster that holds so many objects of ours."""
        self._spent = [at for at in self._spent if now - at < WINDOW_SECONDS]
        if now - self._began_at < WINDOW_SECONDS:
            return 0
        return max(0, max(FLOOR, objects * PERCENT // 100) - len(self._spent))

    def spend(self, deletes: int, now: float) -> None:
        """Take so many out of it."""
        self._spent += [now] * deletes

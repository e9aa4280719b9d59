"""How long to wait after failures. Pure: the random number is an argument."""

from __future__ import annotations

from datetime import datetime, timedelta

FIRST_SECONDS = 1.0
FLOOR_SECONDS = 0.5
CAP_SECONDS = 300.0  # no error state is terminal: five minutes is the longest anybody waits for a retry


def backoff_seconds(attempts: int, fraction: float) -> float:
    """Capped exponential delay with full jitter.

    `attempts` counts failures since the last success (1 for the first); `fraction` is in [0, 1). The delay is
    never less than half a second, so that jitter cannot turn a backoff into a hot loop.
    """
    if attempts < 1:
        raise ValueError("backoff follows a failure: attempts must be at least 1")
    ceiling: float = min(CAP_SECONDS, FIRST_SECONDS * 2.0 ** min(attempts - 1, 32))
    return max(FLOOR_SECONDS, ceiling * fraction)


def is_due(at: datetime | None, now: datetime) -> bool:
    """Whether an attempt set for that time may be made now. No time: at once.

    One that lies further ahead than anybody ever waits was set by a clock that has gone back since.
    """
    return at is None or at <= now or at > now + timedelta(seconds=CAP_SECONDS)

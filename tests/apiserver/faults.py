"""What a server in trouble does to a request, or to a watch, drawn from a seed. Until it is told to: nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import TypeVar


class Fault(StrEnum):
    """What happens to one request."""

    THROTTLED = "429 with Retry-After"
    CONFLICT = "409 for no reason"
    UNAVAILABLE_BEFORE = "503, nothing done"
    UNAVAILABLE_AFTER = "500, and done all the same"
    RESET_BEFORE = "reset, nothing done"
    RESET_AFTER = "reset, and done all the same"
    BROKEN_OFF = "half of the answer"
    SLOW = "late"
    SILENT = "no answer at all"


class WatchFault(StrEnum):
    """What happens to a watch at one of its events."""

    ENDED = "ended in good order"
    RESET = "reset"
    HALF_A_LINE = "half a line, then the end"
    EXPIRED = "410 in the middle"
    TWICE = "the event twice"
    OLD = "the event before once more"


_Fault = TypeVar("_Fault", Fault, WatchFault)
WRITES_ONLY = frozenset({Fault.CONFLICT})


@dataclass(slots=True)
class Faults:
    """How often what happens. `share`: of requests, `watch_share`: of events, between 0 and 1."""

    seed: int = 0
    share: float = 0.0
    watch_share: float = 0.0
    only: tuple[Fault, ...] = tuple(Fault)
    done: dict[str, int] = field(default_factory=dict)
    _random: Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)

    def of_request(self, *, is_write: bool) -> Fault | None:
        """What happens to this request; None: it is answered well."""
        if self._random.random() >= self.share:
            return None
        kinds = [one for one in self.only if is_write or one not in WRITES_ONLY]
        return self._note(self._random.choice(kinds)) if kinds else None

    def of_event(self) -> WatchFault | None:
        """What happens to the watch at this event."""
        if self._random.random() >= self.watch_share:
            return None
        return self._note(self._random.choice(list(WatchFault)))

    def heal(self) -> None:
        """From now on nothing goes wrong."""
        self.share = self.watch_share = 0.0

    def _note(self, fault: _Fault) -> _Fault:
        self.done[fault] = self.done.get(fault, 0) + 1
        return fault

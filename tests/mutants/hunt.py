"""The hunt for one mutant: lives with its bug in the engine until a checker sees it, or the bound is met."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice

from tests.simulation.checkers import Violation
from tests.simulation.life import drawn, live
from tests.simulation.reference import excess

from .catalogue import MUTANTS
from .known import known

_REFERENCE_EACH = 8  # as `make simulate` does
_GARBAGE_EACH = 20
_BY_NAME = {one.name: one for one in MUTANTS}


@dataclass(frozen=True, slots=True)
class Catch:
    """How a hunt ended: the seed that shows the bug and what was seen; None when none of the `lives` showed it."""

    name: str
    seconds: float
    lives: int
    seed: int | None = None
    invariant: str = ""
    what: str = ""


def hunt(name: str, seeds: int, seconds_max: float = float("inf")) -> Catch:
    """Live lives with a mutant in this process: the one that showed it last, then seeds 0, 1, …

    It is caught by a life that goes well without it. Not caught when time is up.
    """
    began, lives = time.monotonic(), 0
    for seed in islice(_order(name), seeds):
        if time.monotonic() - began > seconds_max:
            break
        lives += 1
        with _BY_NAME[name].applied():
            found = _violations(seed)
        if found and not _violations(seed):
            return Catch(name, time.monotonic() - began, lives, seed, found[0].invariant, found[0].what)
    return Catch(name, time.monotonic() - began, lives)


def _order(name: str) -> Iterator[int]:
    first = known().get(name)
    if first is not None:
        yield first
    yield from (seed for seed in count() if seed != first)


def _violations(seed: int) -> list[Violation]:
    plan = drawn(seed)
    report = live(plan)
    found = list(report.violations)
    if not found and seed % _REFERENCE_EACH == 0:
        found = excess(plan, report)
    if seed % _GARBAGE_EACH == 0:
        gc.collect()
    return found

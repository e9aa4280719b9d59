"""The hunt for one mutant: lives with its bug in the engine until a checker sees it, or the bound is met."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass

from tests.simulation.checkers import Violation
from tests.simulation.life import drawn, live
from tests.simulation.reference import excess

from .catalogue import MUTANTS

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
    """Live the lives of seeds 0, 1, … with a mutant in this process. Not caught when time is up."""
    began, lives = time.monotonic(), 0
    with _BY_NAME[name].applied():
        while lives < seeds and time.monotonic() - began < seconds_max:
            found = _violations(lives)
            lives += 1
            if found:
                seconds, one = time.monotonic() - began, found[0]
                return Catch(name, seconds, lives, lives - 1, one.invariant, one.what)
    return Catch(name, time.monotonic() - began, lives)


def _violations(seed: int) -> list[Violation]:
    plan = drawn(seed)
    report = live(plan)
    found = list(report.violations)
    if not found and seed % _REFERENCE_EACH == 0:
        found = excess(plan, report)
    if seed % _GARBAGE_EACH == 0:
        gc.collect()
    return found

"""The reference: the same people in a faultless world. Who writes much more often than they explain has a storm.

Most bugs of controllers show only there: the end is right, and the way to it was ten times as long.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from .checkers import Violation
from .life import Plan, Report, live
from .user import OPERATORS

_OBJECTS = 14
"""About so many has a deployment: each may be written once for whatever concerns all of it."""

_PER_STEP, _STEPS_MAX = 3, 40
"""What is asked in a burst may be seen once or each time; of hundreds of steps most are a burst's."""

_EXPLAINED = {
    **dict.fromkeys(("edit", "remove", "kill", "recreate", "vandal", "relabel", "plant", "database lost"), 2),
    **dict.fromkeys(("task failure", "conflict", "unavailable after", "lost answer", "crash loop", "refused"), 2),
    **dict.fromkeys(("kill before a write", "kill after a write", "freeze", "stop"), 2),
    **dict.fromkeys(("flap", "hook"), 12),  # repaired again and again, ever more slowly
    "webhook": 1,
    "stale view": 1,
    "row lost": _OBJECTS,  # a person says that all of it may go
}
"""How many writes one fault of a class may cause, at most."""

_OF_ALL = ("wipe", "restore", "store restored", "clock")
"""What may undo all of every deployment."""


def excess(plan: Plan, report: Report) -> list[Violation]:
    """The violation that a life has many more writes than its reference and its faults explain; none if not."""
    reference = live(replace(plan, weather=plan.weather.calm()))
    deployments = len({one.deployment for one in plan.steps} - {OPERATORS})
    asked = _PER_STEP * min(len(plan.steps), _STEPS_MAX)
    most = reference.counts["writes"] + asked + explained(report.injected, deployments)
    if report.counts["writes"] <= most:
        return []
    told = (
        f"{report.counts['writes']} writes; without faults {reference.counts['writes']}, explained at most {most}"
    )
    return [Violation(report.seconds, "S7", told)]


def explained(injected: Counter[str], deployments: int) -> int:
    """How many writes the faults may have caused."""
    single = sum(count * _EXPLAINED.get(what, 0) for what, count in injected.items())
    return single + sum(injected[what] for what in _OF_ALL) * _OBJECTS * deployments

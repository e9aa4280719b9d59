"""Shrinking a failing life: leave out weather and people's steps as long as it still fails in the same way."""

from __future__ import annotations

from dataclasses import replace

from .life import Plan, Report, live

_LIVES_MAX = 150


def shrink(plan: Plan, report: Report) -> tuple[Plan, Report]:
    """The smallest life found that violates what the first violation violates."""
    wanted = report.violations[0].invariant
    left = _LIVES_MAX

    def fails(candidate: Plan) -> Report | None:
        nonlocal left
        if left <= 0:
            return None
        left -= 1
        tried = live(candidate)
        return tried if any(one.invariant == wanted for one in tried.violations) else None

    for kind in plan.weather.kinds():
        candidate = replace(plan, weather=plan.weather.without(kind))
        plan, report = _better(plan, report, candidate, fails(candidate))
    for storm in plan.weather.storms:
        storms = tuple(one for one in plan.weather.storms if one != storm)
        candidate = replace(plan, weather=replace(plan.weather, storms=storms))
        plan, report = _better(plan, report, candidate, fails(candidate))
    for deployment in sorted({one.deployment for one in plan.steps}):
        candidate = replace(plan, steps=tuple(one for one in plan.steps if one.deployment != deployment))
        plan, report = _better(plan, report, candidate, fails(candidate))
    for step in plan.steps:
        candidate = replace(plan, steps=tuple(one for one in plan.steps if one != step))
        plan, report = _better(plan, report, candidate, fails(candidate))
    return plan, report


def _better(plan: Plan, report: Report, candidate: Plan, tried: Report | None) -> tuple[Plan, Report]:
    return (plan, report) if tried is None else (candidate, tried)


def told(plan: Plan) -> list[str]:
    """What is left of a plan, for people."""
    lines = [
        f"{one.at:9.3f} s  {one.verb} of deployment {one.deployment} ({one.number:.3f})" for one in plan.steps
    ]
    lines += [f"{one.at:9.3f} s  storm: {one.kind}, {one.seconds:.1f} s" for one in plan.weather.storms]
    lines.sort(key=lambda line: float(line.split(" s ", 1)[0]))
    lines.append(f"{plan.weather.healed_at:9.3f} s  healed; daemons: {plan.weather.daemons}")
    for cluster, faults in zip(plan.clusters, plan.weather.faults, strict=True):
        named = {name: getattr(faults, name) for name in faults.__slots__}
        given = {name: value for name, value in named.items() if value not in (0, 0.0, (0.0, 0.0))}
        lines.append(
            f"faults of {cluster}: " + ", ".join(f"{name} {_short(value)}" for name, value in given.items())
        )
    return lines


def _short(value: object) -> str:
    if isinstance(value, tuple):
        return f"{value[0]:.1f}-{value[1]:.1f} s"
    return f"{value:.3g}"

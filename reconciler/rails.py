"""The rails: what may be done of what the rules ask for. Pure; each rail turns actions into waits or holds.

A rail never adds an action and never touches one that already waits or is held. Their order is that of the
sentences people should read first: a pause explains more than a budget.
"""

from __future__ import annotations

from collections.abc import Sequence

from model.plan import Action, Cause, Delete, Held, Kept, Plan, Waiting
from reconciler.circumstances import Circumstances

Verdict = Action | Waiting | Held | Kept

UNASKED = frozenset({Cause.RENDERER, Cause.DEFAULTS})
"""Causes that reach many deployments at once, though nobody asked for any of them in particular."""
_TURN_SECONDS = 30.0  # 300 deployments that wait for their turn are then 10 looks a second
_UNEXPLAINED = UNASKED | {Cause.ORPHAN}


def admitted(verdicts: Sequence[Verdict], circumstances: Circumstances) -> Plan:
    """The plan of one pass: what is left of the verdicts after every rail."""
    limited = _budgeted([_railed(one, circumstances) for one in verdicts], circumstances)
    now = tuple(one for one in limited if not isinstance(one, Waiting | Held | Kept))
    return Plan(
        now=now[: circumstances.limits.writes_per_pass_max],
        later=tuple(one for one in limited if isinstance(one, Waiting)),
        held=tuple(one for one in limited if isinstance(one, Held)),
        kept=tuple(one for one in limited if isinstance(one, Kept)),
    )


def _railed(verdict: Verdict, circumstances: Circumstances) -> Verdict:
    if isinstance(verdict, Waiting | Held | Kept):
        return verdict
    if circumstances.paused:
        return _held(verdict, circumstances.paused)
    if verdict.ref in circumstances.unseen:
        return _waiting(verdict, circumstances.unseen[verdict.ref])
    if verdict.cause is Cause.DRIFT and verdict.ref in circumstances.fights:
        return _waiting(verdict, circumstances.fights[verdict.ref], again_seconds=_TURN_SECONDS)
    if verdict.cause in UNASKED and circumstances.gate:
        return _waiting(verdict, circumstances.gate, again_seconds=_TURN_SECONDS)
    return verdict


def _budgeted(verdicts: Sequence[Verdict], circumstances: Circumstances) -> list[Verdict]:
    """Unexplained deletes beyond the budget are held, unless a person approved them."""
    left, out = circumstances.deletes_left, list[Verdict]()
    for one in verdicts:
        if (
            isinstance(one, Waiting | Held | Kept)
            or not is_unexplained(one)
            or "deletes" in circumstances.approved
        ):
            out.append(one)
        elif left > 0:
            left -= 1
            out.append(one)
        else:
            out.append(_held(one, _OVER_BUDGET))
    return out


_OVER_BUDGET = (
    "Too many deletes in five minutes that nobody asked for. Look at armillary.waiting, "
    "then approve them with: SELECT armillary.approve('<owner>', 'deletes')."
)


def is_unexplained(action: Action) -> bool:
    """True for a delete that follows from no recorded wish of a person."""
    return isinstance(action, Delete) and action.cause in _UNEXPLAINED


def _held(action: Action, why: str) -> Held:
    return Held(ref=action.ref, unit=action.unit, why=f"{why} Not done: {action.why}")


def _waiting(action: Action, why: str, *, again_seconds: float = 5.0) -> Waiting:
    return Waiting(ref=action.ref, unit=action.unit, action=action, why=why, again_seconds=again_seconds)

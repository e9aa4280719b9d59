"""Bugs of seeing: an error taken for an empty world, an old view for the present one, a write for its effect."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from drivers.base import DriverError
from model.objects import Observed
from model.plan import Delete, Plan
from reconciler.footprints import Sight

from .patching import Mutant, around


async def _look(right: Any, driver: Any, owner: Any, wanted: Any, *, fresh: bool) -> Observed:
    mine = frozenset(ref for ref in wanted if ref.kind in driver.kinds)
    try:
        return replace(await driver.observe(owner, mine, fresh=fresh), blind={})
    except DriverError:
        return Observed()


def _forgotten(right: Any, finding: Any) -> Any:
    return right(replace(finding, observed=replace(finding.observed, blind={})))


def _believed(right: Any, self: Any, owner: Any, observed: Any, **named: Any) -> Sight:
    return Sight(observed=observed, unseen=right(self, owner, observed, **named).unseen)


def _nothing_unseen(right: Any, *args: Any, **named: Any) -> Sight:
    return replace(right(*args, **named), unseen={}, is_doubtful=False)


def _from_writes(right: Any, before: Any, plan: Any, *args: Any) -> Any:
    return right(before, replace(plan, now=()), *args)


def _all_well(right: Any, before: Any, plan: Any, observed: Any, *_: Any) -> Any:
    return right(before, Plan(kept=plan.kept), replace(observed, blind={}), (), "")


def _held_is_well(right: Any, before: Any, plan: Any, *args: Any) -> Any:
    return right(before, replace(plan, held=()), *args)


def _deleted_is_gone(right: Any, finding: Any) -> Any:
    yield from right(finding)
    accepted = {one.ref for one in finding.outcomes if not one.error}
    yield from (one.ref for one in finding.plan.now if isinstance(one, Delete) and one.ref in accepted)


MUTANTS = (
    Mutant(
        "list-error-read-as-empty",
        "A list that failed counts as a list of nothing.",
        "argo-cd 18480",
        (around("reconciler.reconcile:_look", _look),),
    ),
    Mutant(
        "blind-forgotten",
        "What could not be seen is struck off the inventory.",
        "Sieve: unobserved state",
        (around("reconciler.conclude:_forgotten", _forgotten),),
    ),
    Mutant(
        "own-writes-not-remembered",
        "A cache that does not hold our last write is believed.",
        "Sieve: stale state",
        (around("reconciler.footprints:Footprints.seen", _nothing_unseen),),
    ),
    Mutant(
        "time-travel-believed",
        "A view that went back in time is believed.",
        "Sieve: time travel",
        (around("reconciler.footprints:Footprints.seen", _believed),),
    ),
    Mutant(
        "synced-from-an-accepted-write",
        "Synced is said when a write was accepted.",
        "premature status of many operators",
        (around("reconciler.conclude:synced", _from_writes),),
    ),
    Mutant(
        "synced-whatever",
        "Synced is said though something is held, blind or failed.",
        "swallowed errors",
        (around("reconciler.conclude:synced", _all_well),),
    ),
    Mutant(
        "synced-though-held",
        "Synced is said though something is held.",
        "swallowed errors",
        (around("reconciler.conclude:synced", _held_is_well),),
    ),
    Mutant(
        "delete-accepted-is-gone",
        "An accepted delete counts as done, whatever finalizers say.",
        "stuck finalizers of many operators",
        (around("reconciler.conclude:_forgotten", _deleted_is_gone),),
    ),
)

"""Bugs of taking away: too early, too much, what is not ours, what holds data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from model.plan import Cause, Delete, Held, Replace, Update

from .patching import Mutant, around, instead


def _without_uid(right: Any, *args: Any) -> Any:
    verdict = right(*args)
    return replace(verdict, uid="") if isinstance(verdict, Delete) else verdict


def _change_without_uid(right: Any, *args: Any) -> Any:
    verdict = right(*args)
    return replace(verdict, uid="") if isinstance(verdict, Update | Replace) else verdict


def _unknown_too(right: Any, here: Any) -> Any:
    for one in right(here):
        seen = here.world.observed.seen.get(one.ref)
        if isinstance(one, Held) and one.ref not in here.known and seen is not None:
            yield Delete(ref=one.ref, unit="", cause=Cause.GENERATION, why="is not known", uid=seen.uid)
        else:
            yield one


def _data_too(right: Any, here: Any) -> Any:
    known = {ref: replace(row, retain=False) for ref, row in here.known.items()}
    return right(replace(here, known=known))


def _orphans_data_too(right: Any, here: Any) -> Any:
    return _data_too(right, here) if here.circumstances.is_orphan else right(here)


def _unlimited(right: Any, verdicts: Any, circumstances: Any) -> Any:
    return list(verdicts)


async def _at_once(right: Any, *args: Any) -> Any:
    before = await right(*args)
    return before if before.stage == "active" else replace(before, stage="purging")


def _own_cluster_only(right: Any, before: Any, drivers: Any, *args: Any) -> Any:
    if before.spec is None:
        return right(before, drivers, *args)
    return tuple(one for one in drivers if one.cluster == before.spec.cluster)


_PRUNES = "reconciler.plan:prunes"

MUTANTS = (
    Mutant(
        "delete-without-uid",
        "A delete has no precondition.",
        "Kubernetes: name reuse",
        (around("reconciler.prune:_pruned", _without_uid),),
    ),
    Mutant(
        "change-without-uid",
        "An update or replacement has no precondition.",
        "Kubernetes: name reuse",
        (around("reconciler.plan:_change", _change_without_uid),),
    ),
    Mutant(
        "unknown-pruned",
        "What carries our mark and is in no inventory is deleted.",
        "argo-cd: copied tracking labels",
        (around(_PRUNES, _unknown_too),),
    ),
    Mutant(
        "data-pruned",
        "Data is deleted like everything else.",
        "lost volumes of many operators",
        (around(_PRUNES, _data_too),),
    ),
    Mutant(
        "orphans-data-pruned",
        "Data of an orphan is deleted.",
        "lost volumes of many operators",
        (around(_PRUNES, _orphans_data_too),),
    ),
    Mutant(
        "no-delete-budget",
        "Any number of deletes that nobody asked for is carried out.",
        "argo-cd 18480",
        (around("reconciler.rails:_budgeted", _unlimited),),
    ),
    Mutant(
        "deletion-at-once",
        "A deletion begins with its last stage.",
        "accidental deletes",
        (around("reconciler.reconcile:_loaded", _at_once),),
    ),
    Mutant(
        "pruned-before-its-replacement",
        "The old is deleted before the new is ready.",
        "flux and argo-cd: prune order",
        (instead("reconciler.prune:_is_replaced", value=True),),
    ),
    Mutant(
        "pruned-before-its-dependants",
        "What others still need is deleted.",
        "argo-cd: prune order",
        (instead("reconciler.prune:_dependants", value=()),),
    ),
    Mutant(
        "former-cluster-forgotten",
        "Only the cluster that is asked for now is looked at.",
        "leaks after a move",
        (around("reconciler.reconcile:drivers_of", _own_cluster_only),),
    ),
    Mutant(
        "orphans-never-sought",
        "Nobody looks for what has no owner.",
        "leaks of many operators",
        (instead("reconciler.feeds:Feeds.want_orphans", value=None),),
    ),
)

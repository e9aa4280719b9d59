"""Bugs of time: leases, generations, retries, triggers, fights, pauses and restored databases."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from model.plan import Held, Update
from reconciler.leadership import Term

from .patching import Mutant, Patch, around, instead


def _never_over(right: Any) -> property:
    return property(lambda self: None if self._lease is None else Term(self._terms, self._lease.epoch))


def _terminal(right: Any, action: Any, here: Any) -> Held:
    return Held(ref=action.ref, unit=action.unit, why=action.why)


def _for_ever(right: Any, finding: Any, **named: Any) -> Any:
    attempts, at = right(finding, **named)
    old = finding.before.status.attempts if finding.before.status is not None else 0
    return max(attempts, old), at


def _lost_while_working(right: Any, self: Any, owner: Any, *args: Any, **named: Any) -> None:
    if owner not in self._working:
        right(self, owner, *args, **named)


def _each_pass(right: Any, wanted: Any, unit: Any, seen: Any, here: Any) -> Any:
    again = Update(object=wanted, cause=here.circumstances.asked, why="to be sure", uid=seen.uid)
    return right(wanted, unit, seen, here) or again


def _digest_only(right: Any, wanted: Any, unit: Any, seen: Any, here: Any) -> Any:
    return right(wanted, unit, replace(seen, drift=()), here)


def _unpaused(right: Any, before: Any, *args: Any) -> Any:
    found = right(before, *args)
    return replace(found, paused="") if before.paused_until is not None else found


def _paused_for_ever(right: Any, before: Any, *args: Any) -> Any:
    synced = before.status.condition("Synced") if before.status is not None else None
    found = right(before, *args)
    return replace(found, paused="Paused.") if synced is not None and "aused" in synced.message else found


def _repaired(right: Any, before: Any, *args: Any) -> Any:
    return replace(right(before, *args), repair_drift=True)


def _minted_again(right: Any, before: Any, catalog: Any) -> Any:
    return right(replace(before, secrets={}), catalog)


async def _overwritten(right: Any, self: Any, owner: Any, values: Any) -> Any:
    row = self.tables.rows.get(owner)
    if row is not None:
        self.tables.rows[owner] = replace(row, secrets={})
    return await right(self, owner, values)


async def _deaf(*args: Any) -> None:
    await asyncio.Event().wait()


def _always_news(right: Any, fresh: Any, before: Any, now: Any) -> Any:
    return replace(fresh, since=now)


_NO_HOLD = instead("reconciler.watermark:Watermark.hold", "")

MUTANTS = (
    Mutant(
        "status-unfenced",
        "A pass of an older generation, or of who lost the lease, writes over a newer one's status.",
        "stale status updates; split brain",
        (instead("tests.simulation.store:Store._fence", None),),
    ),
    Mutant(
        "leads-after-its-lease",
        "A lease is acted upon after its end.",
        "client-go leader election without fencing",
        (Patch("reconciler.leadership:Leadership.term", _never_over),),
    ),
    Mutant(
        "failed-task-is-final",
        "What failed is never tried again.",
        "terminal error states",
        (around("reconciler.plan:_retried", _terminal),),
    ),
    Mutant(
        "backoff-never-resets",
        "Failures are counted for ever.",
        "retry that never resets",
        (around("reconciler.conclude:_attempts", _for_ever),),
    ),
    Mutant(
        "no-resync",
        "Nobody looks unless told.",
        "edge-triggered controllers",
        (instead("reconciler.feeds:Feeds.want_resync", value=None),),
    ),
    Mutant(
        "news-lost-while-working",
        "A key that is asked for during its pass is forgotten, and nobody sweeps for changes.",
        "work queues without a dirty set",
        (
            around("reconciler.queue:WorkQueue.add", _lost_while_working),
            Patch("reconciler.feeds:Feeds._sweep", lambda _: _deaf),
        ),
    ),
    Mutant(
        "signals-only",
        "Nobody sweeps for changes or resyncs.",
        "lost notifications",
        (
            Patch("reconciler.feeds:Feeds._sweep", lambda _: _deaf),
            Patch("reconciler.feeds:Feeds._resync", lambda _: _deaf),
        ),
    ),
    Mutant(
        "writes-each-pass",
        "Each pass writes everything.",
        "no-op updates of many operators",
        (around("reconciler.plan:_for_standing", _each_pass),),
    ),
    Mutant(
        "drift-not-seen",
        "Only what we wrote last is compared.",
        "last-applied annotations",
        (around("reconciler.plan:_for_standing", _digest_only),),
    ),
    Mutant(
        "pause-ignored",
        "What is paused is written.",
        "argo-cd: skip-reconcile",
        (around("reconciler.reconcile:circumstances_of", _unpaused),),
    ),
    Mutant(
        "pause-never-ends",
        "A pause outlives its end.",
        "suspended and forgotten",
        (around("reconciler.reconcile:circumstances_of", _paused_for_ever),),
    ),
    Mutant(
        "report-repairs",
        "Drift is repaired though it is only to be reported.",
        "flux: driftDetection mode",
        (around("reconciler.reconcile:circumstances_of", _repaired),),
    ),
    Mutant(
        "secrets-minted-again",
        "A secret is generated again over the one in use.",
        "Helm: randAlphaNum",
        (
            around("reconciler.reconcile:secrets_to_mint", _minted_again),
            around("tests.simulation.store:Store.mint", _overwritten),
        ),
    ),
    Mutant(
        "watermark-ignored",
        "A restored database is obeyed.",
        "restores from backups",
        (_NO_HOLD, instead("reconciler.ledger:Ledger.hold", "")),
    ),
    Mutant(
        "fight-goes-on",
        "What is changed back is repaired at once, for ever.",
        "crossplane and webhooks",
        (instead("reconciler.footprints:Footprints.fights", {}),),
    ),
    Mutant(
        "conditions-always-news",
        "A condition's time moves in each pass.",
        "status updates that trigger themselves",
        (around("reconciler.conclude:_since", _always_news),),
    ),
    Mutant(
        "drift-reported-not-repaired",
        "A repair is planned and never made.",
        "self-heal off",
        (around("reconciler.plan:_repair", _terminal),),
    ),
)

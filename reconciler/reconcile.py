"""One pass of one key: load, observe, plan, apply, record. The only function here that awaits it all.

Create, update, drift repair, prune, delete, undelete, orphan removal are this one path: deletion is "desired
is empty". A pass holds no memory; whatever was cut off, the next one finishes from what it sees.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from drivers.base import Driver, DriverError, Refused, Unavailable
from model.names import Owner, Ref, SecretRef
from model.objects import Known, Observed, Site
from model.plan import Action, Create, Plan
from model.spec import Snapshot
from model.status import Again, Conclusion, Outcome, Record
from reconciler.conclude import Finding, conclude, known_of
from reconciler.limits import Limits
from reconciler.mint import mint
from reconciler.needs import Desired
from reconciler.plan import Circumstances, plan
from reconciler.refusal import refused
from reconciler.render import desire, secrets_to_mint

log = structlog.get_logger()


ShouldStop = Callable[[int], bool]
"""Asked before each action, with how many were taken: True when what is left of the plan is out of date."""


class Store(Protocol):
    """What a pass asks of the state store. Every method raises rather than return less than everything."""

    async def load(self, owner: Owner) -> Snapshot:
        """One consistent view of everything about an owner."""

    async def intend(self, owner: Owner, epoch: int, rows: tuple[Known, ...]) -> None:
        """Write ahead that these objects are about to be made."""

    async def record(self, record: Record) -> None:
        """Write what a pass found out, in one transaction, unless a newer epoch or generation did."""


class Secrets(Protocol):
    """What a pass asks of the keeper of secrets."""

    async def mint(self, owner: Owner, values: Mapping[str, str]) -> Mapping[str, int]:
        """Seal these values where no version exists yet; the newest version of each name."""

    async def reveal(self, ref: SecretRef) -> str:
        """The value of one version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What every pass works with."""

    store: Store
    secrets: Secrets
    drivers: tuple[Driver, ...]
    site_of: Callable[[Snapshot], Site | None]
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a pass ended: what it had planned, and in how many seconds to look again (None: when there is news).

    Seconds, not a time: the database's clock decides when, and this machine's may differ.
    """

    plan: Plan
    again_in_seconds: float | None


async def reconcile(owner: Owner, tools: Tools, *, epoch: int, should_stop: ShouldStop) -> Ended:
    """Bring one owner closer to what is asked. Raises what the store raises; nothing is lost by it."""
    before = await _loaded(owner, tools)
    try:
        desired = desire(before, tools.site_of(before), tools.drivers)
    except Refused as error:
        return await _recorded(refused(before, str(error), epoch=epoch), Plan(), before, tools)
    observed = await observe(owner, desired, tools)
    todo = plan(desired, observed, before, circumstances_of(before, tools.limits))
    fresh = _unrecorded(todo, desired, before)
    if fresh:
        await tools.store.intend(owner, epoch, fresh)
    outcomes = await _applied(owner, todo.now, tools, should_stop)
    finding = Finding(before=before, desired=desired, observed=observed, plan=todo, outcomes=outcomes, epoch=epoch)
    conclusion = conclude(finding, now=before.now, fraction=random.random())  # noqa: S311 - jitter
    return await _recorded(conclusion, todo, before, tools)


async def preview(owner: Owner, tools: Tools) -> Plan:
    """What a pass would do now. The same path, stopped before the first write."""
    before = await tools.store.load(owner)
    desired = desire(before, tools.site_of(before), tools.drivers)
    observed = await observe(owner, desired, tools)
    return plan(desired, observed, before, circumstances_of(before, tools.limits))


def circumstances_of(before: Snapshot, limits: Limits) -> Circumstances:
    """What a plan depends on beside the two worlds, read from the snapshot."""
    status = before.status
    paused = ""
    if before.paused_until is not None:
        paused = f"Paused until {before.paused_until.isoformat()} ({before.pause_reason})."
    return Circumstances(
        is_orphan=before.spec is None,
        new_generation=status is None or status.observed_generation != before.generation,
        may_retry=status is None or status.next_attempt_at is None or status.next_attempt_at <= before.now,
        paused=paused,
        repair_drift=before.spec is None or before.spec.drift_policy == "repair",
        limits=limits,
    )


async def _loaded(owner: Owner, tools: Tools) -> Snapshot:
    """The snapshot, after generating the secrets that were never generated."""
    before = await tools.store.load(owner)
    missing = secrets_to_mint(before)
    if missing:
        await tools.secrets.mint(owner, {name: mint(name) for name in sorted(missing)})
        before = await tools.store.load(owner)
    return before


async def observe(owner: Owner, desired: Desired, tools: Tools) -> Observed:
    """All drivers at once. One that fails or hangs is blind in its kinds; the others still count."""
    wanted = frozenset(one.ref for one in desired.objects)
    looks = await asyncio.gather(*(_look(one, owner, wanted, tools.limits) for one in tools.drivers))
    return Observed(
        seen={ref: seen for look in looks for ref, seen in look.seen.items()},
        foreign={ref: why for look in looks for ref, why in look.foreign.items()},
        blind={kind: why for look in looks for kind, why in look.blind.items()},
    )


async def _look(driver: Driver, owner: Owner, wanted: frozenset[Ref], limits: Limits) -> Observed:
    mine = frozenset(ref for ref in wanted if ref.kind in driver.kinds)
    try:
        async with asyncio.timeout(limits.observe_seconds_max):
            return await driver.observe(owner, mine)
    except (DriverError, TimeoutError) as error:
        why = str(error) or f"looking took longer than {limits.observe_seconds_max:.0f} s"
        return Observed(blind=dict.fromkeys(driver.kinds, why))


def _unrecorded(todo: Plan, desired: Desired, before: Snapshot) -> tuple[Known, ...]:
    """Objects about to be made that no inventory row names: written ahead, so that a crash loses none."""
    known = {row.ref for row in before.inventory}
    return tuple(
        replace(known_of(one.object, desired, uid=""), state="intended")
        for one in todo.now
        if isinstance(one, Create) and one.ref not in known
    )


async def _applied(
    owner: Owner, actions: Sequence[Action], tools: Tools, should_stop: ShouldStop
) -> tuple[Outcome, ...]:
    """Outcomes of the actions taken, in order. A failure ends its unit's turn, not the others'."""
    outcomes: list[Outcome] = []
    failed: set[str] = set()
    for action in actions:
        if should_stop(len(outcomes)):
            break
        if action.unit in failed:
            continue
        outcome = await _apply(owner, action, tools)
        outcomes.append(outcome)
        if outcome.error:
            failed.add(action.unit)
    return tuple(outcomes)


async def _apply(owner: Owner, action: Action, tools: Tools) -> Outcome:
    driver = next(one for one in tools.drivers if action.ref.kind in one.kinds)
    try:
        async with asyncio.timeout(tools.limits.apply_seconds_max):
            applied = await driver.apply(owner, action)
    except (DriverError, TimeoutError) as error:
        why = str(error) or f"no answer within {tools.limits.apply_seconds_max:.0f} s"
        log.warning("action failed", owner=str(owner), object=str(action.ref), why=why)
        return Outcome(ref=action.ref, error=why, retryable=isinstance(error, Unavailable | TimeoutError))
    log.info(
        "action applied",
        owner=str(owner),
        object=str(action.ref),
        action=type(action).__name__,
        cause=str(action.cause),
        why=action.why,
    )
    return Outcome(ref=action.ref, uid=applied.uid)


async def _recorded(conclusion: Conclusion, todo: Plan, before: Snapshot, tools: Tools) -> Ended:
    if not conclusion.record.is_empty:
        await tools.store.record(conclusion.record)
    verdict = conclusion.verdict
    seconds = (verdict.at - before.now).total_seconds() if isinstance(verdict, Again) else None
    return Ended(plan=todo, again_in_seconds=seconds)

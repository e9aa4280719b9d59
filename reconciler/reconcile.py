"""One pass of one key: load, observe, plan, apply, record. The only function here that awaits it all.

Create, update, drift repair, prune, delete, undelete, orphan removal are this one path: deletion is "desired
is empty". A pass needs no memory; whatever was cut off, the next one finishes from what it sees.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Protocol

import structlog

from drivers.base import Driver, DriverError, Refused, Unavailable
from model.names import Owner, Ref, SecretRef
from model.objects import Known, Observed, Site
from model.plan import Action, Delete, Plan, Replace, Update
from model.spec import Snapshot
from model.status import Again, Conclusion, Milestone, Outcome, Record
from reconciler import clock
from reconciler.ahead import begun_by, written_ahead
from reconciler.circumstances import circumstances_of
from reconciler.conclude import Finding, conclude
from reconciler.footprints import Sight
from reconciler.ledger import Ledger
from reconciler.limits import Limits
from reconciler.mint import mint
from reconciler.needs import Desired
from reconciler.plan import is_destructive, plan
from reconciler.rails import UNASKED
from reconciler.refusal import refused
from reconciler.render import Desires, secrets_to_mint

log = structlog.get_logger()


ShouldStop = Callable[[int], bool]
"""Asked before each action, with how many were taken: True when what is left of the plan is out of date."""


class Store(Protocol):
    """What a pass asks of the state store. Every method raises rather than return less than everything."""

    async def load(self, owner: Owner) -> Snapshot:
        """One consistent view of everything about an owner."""

    async def intend(
        self, owner: Owner, epoch: int, rows: tuple[Known, ...], begun: tuple[Milestone, ...] = ()
    ) -> None:
        """Write ahead that these objects are about to be made or stopped, and these tasks to begin."""

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
    desires: Desires = field(default_factory=Desires)
    random: Random = field(default_factory=Random)  # of jitter; seeded where a run must repeat itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a pass ended: what it had planned, and in how many seconds to look again (None: when there is news).

    Seconds, not a time: the database's clock decides when, and this machine's may differ.
    """

    plan: Plan
    again_in_seconds: float | None


async def reconcile(owner: Owner, tools: Tools, ledger: Ledger, *, epoch: int, should_stop: ShouldStop) -> Ended:
    """Bring one owner closer to what is asked. Raises what the store raises; nothing is lost by it."""
    before = await _loaded(owner, tools, ledger)
    try:
        desired = tools.desires.of(before, tools.site_of(before), tools.drivers)
    except Refused as error:
        return await _recorded(refused(before, str(error), epoch=epoch), Plan(), before, tools)
    observed, todo = await _planned(before, desired, tools, ledger)
    ledger.planned(before, todo, clock.now())
    await _marked(before, todo, tools, epoch)
    ahead, begun = written_ahead(todo, desired, before), begun_by(todo, desired, before)
    if ahead or begun:
        await tools.store.intend(owner, epoch, ahead, begun)
    outcomes = await _applied(owner, todo.now, tools, ledger, should_stop)
    finding = Finding(
        before=before,
        desired=desired,
        observed=observed,
        plan=todo,
        outcomes=outcomes,
        epoch=epoch,
        hold=ledger.hold(before),
    )
    conclusion = conclude(finding, now=before.now, fraction=tools.random.random())
    ended = await _recorded(conclusion, todo, before, tools)
    ledger.concluded(before, conclusion, clock.now())
    return ended


async def preview(owner: Owner, tools: Tools, ledger: Ledger) -> Plan:
    """What a pass would do now. The same path, stopped before the first write."""
    before = await tools.store.load(owner)
    desired = tools.desires.of(before, tools.site_of(before), tools.drivers)
    _, todo = await _planned(before, desired, tools, ledger)
    return todo


async def _planned(before: Snapshot, desired: Desired, tools: Tools, ledger: Ledger) -> tuple[Observed, Plan]:
    """What is there and what to do about it. What cannot be undone is decided from the world itself."""
    # of an owner without a row there is nothing to hold an old view against
    sight = await _seen(before, desired, tools, ledger, fresh=before.spec is None)
    if sight.is_doubtful:
        sight = await _seen(before, desired, tools, ledger, fresh=True)
    todo = _plan(before, desired, sight, tools, ledger)
    if sight.observed.as_of and is_destructive(todo, desired):
        sight = await _seen(before, desired, tools, ledger, fresh=True)
        todo = _plan(before, desired, sight, tools, ledger)
    return sight.observed, todo


def _plan(before: Snapshot, desired: Desired, sight: Sight, tools: Tools, ledger: Ledger) -> Plan:
    rails = ledger.rails(before, sight, clock.now())
    return plan(desired, sight.observed, before, circumstances_of(before, rails, tools.limits))


async def _seen(before: Snapshot, desired: Desired, tools: Tools, ledger: Ledger, *, fresh: bool) -> Sight:
    observed = await observe(before, desired, tools, ledger, fresh=fresh)
    return ledger.footprints.seen(before.owner, observed, fresh=fresh, now=clock.now())


async def _loaded(owner: Owner, tools: Tools, ledger: Ledger) -> Snapshot:
    """The snapshot, after generating the secrets that were never generated."""
    before = await _read(owner, tools, ledger)
    missing = secrets_to_mint(before, tools.desires.catalog)
    if not missing or ledger.hold(before):
        return before
    await tools.secrets.mint(owner, {name: mint(name) for name in sorted(missing)})
    return await _read(owner, tools, ledger)


async def _read(owner: Owner, tools: Tools, ledger: Ledger) -> Snapshot:
    since = ledger.newest
    before = await tools.store.load(owner)
    ledger.loaded(before, since=since)
    return before


async def observe(before: Snapshot, desired: Desired, tools: Tools, ledger: Ledger, *, fresh: bool) -> Observed:
    """All drivers concerned at once. One that fails is blind in its kinds; the others still count."""
    wanted = frozenset(one.ref for one in desired.objects)
    drivers = drivers_of(before, tools.drivers, ledger.strays.get(before.owner, frozenset()))
    looks = await asyncio.gather(*(_look(one, before.owner, wanted, fresh=fresh) for one in drivers))
    return Observed(
        seen={ref: seen for look in looks for ref, seen in look.seen.items()},
        foreign={ref: why for look in looks for ref, why in look.foreign.items()},
        blind={kind: why for look in looks for kind, why in look.blind.items()},
        as_of={kind: version for look in looks for kind, version in look.as_of.items()},
    )


def drivers_of(
    before: Snapshot, drivers: Sequence[Driver], strays: frozenset[str] = frozenset()
) -> tuple[Driver, ...]:
    """The drivers of the owner's cluster, and of wherever else something of it is.

    So the inventory says; or it was met there by the search for what nobody looks after (`strays`).
    """
    if before.spec is None:
        return tuple(drivers)
    left = {row.ref.kind for row in before.inventory}
    here = {"", before.spec.cluster, *strays}
    return tuple(one for one in drivers if one.cluster in here or not left.isdisjoint(one.kinds))


async def _look(driver: Driver, owner: Owner, wanted: frozenset[Ref], *, fresh: bool) -> Observed:
    mine = frozenset(ref for ref in wanted if ref.kind in driver.kinds)
    try:
        return await driver.observe(owner, mine, fresh=fresh)
    except DriverError as error:
        return Observed(blind=dict.fromkeys(sorted(driver.kinds), str(error)))


async def _applied(
    owner: Owner, actions: Sequence[Action], tools: Tools, ledger: Ledger, should_stop: ShouldStop
) -> tuple[Outcome, ...]:
    """Outcomes of the actions taken, in order. A failure ends its unit's turn, not the others'.

    Nothing is deleted after a change of something that stands has failed: it may still work with what would go.
    """
    outcomes: list[Outcome] = []
    failed: set[str] = set()
    is_behind = False
    for action in actions:
        if should_stop(len(outcomes)):
            break
        if action.unit in failed or (is_behind and isinstance(action, Delete)):
            continue
        outcome = await _apply(owner, action, tools, ledger)
        outcomes.append(outcome)
        if outcome.error:
            failed.add(action.unit)
            is_behind = is_behind or isinstance(action, Update | Replace)
    return tuple(outcomes)


async def _apply(owner: Owner, action: Action, tools: Tools, ledger: Ledger) -> Outcome:
    driver = next(one for one in tools.drivers if action.ref.kind in one.kinds)
    try:
        applied = await driver.apply(owner, action)
    except DriverError as error:
        log.warning("action failed", owner=str(owner), object=str(action.ref), why=str(error))
        return Outcome(ref=action.ref, error=str(error), retryable=isinstance(error, Unavailable))
    ledger.footprints.wrote(owner, action, applied.version, clock.now())
    log.info(
        "action applied",
        owner=str(owner),
        object=str(action.ref),
        action=type(action).__name__,
        cause=str(action.cause),
        why=action.why,
    )
    return Outcome(ref=action.ref, uid=applied.uid)


async def _marked(before: Snapshot, todo: Plan, tools: Tools, epoch: int) -> None:
    """Let the next daemon know of a change that nobody asked for, should this one not live to record it."""
    status = before.status
    if status is None or status.rolling_since is not None or all(one.cause not in UNASKED for one in todo.now):
        return
    marked = replace(status, rolling_since=before.now)
    await tools.store.record(Record(owner=before.owner, epoch=epoch, status=marked))


async def _recorded(conclusion: Conclusion, todo: Plan, before: Snapshot, tools: Tools) -> Ended:
    if not conclusion.record.is_empty:
        await tools.store.record(conclusion.record)
    verdict = conclusion.verdict
    seconds = (verdict.at - before.now).total_seconds() if isinstance(verdict, Again) else None
    return Ended(plan=todo, again_in_seconds=seconds)

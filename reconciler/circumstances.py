"""What a plan depends on beside the desired and the observed world: facts about now, as data. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from model.names import Ref
from model.plan import Cause
from model.spec import Approval, Snapshot, Stage
from reconciler.backoff import is_due
from reconciler.limits import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """Facts about the moment of one pass.

    `asked`: why what differs from the last convergence differs: the spec changed (generation), the defaults did,
    or neither, so that our own rendering did. `is_orphan`: the owner's row is gone. `may_retry`: the backoff after
    the last failure is over. `paused`: a sentence saying until when and why nothing may be changed, or empty.
    `unseen`: objects whose last write by us the observation does not show yet → a sentence. `fights`: objects that
    somebody changes back each time → a sentence. `gate`: why a change that nobody asked for in particular must
    wait for its turn in the fleet, or empty. `deletes_left`: how many unexplained deletes are in the budget.
    """

    asked: Cause = Cause.RENDERER
    is_orphan: bool = False
    stage: Stage = "active"
    may_retry: bool = True
    paused: str = ""
    repair_drift: bool = True
    unseen: Mapping[Ref, str] = field(default_factory=dict)
    fights: Mapping[Ref, str] = field(default_factory=dict)
    gate: str = ""
    deletes_left: int = 0
    approved: frozenset[Approval] = frozenset()
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rails:
    """What this daemon itself knows of the moment: its own recent writes, the fleet's turn, the budget."""

    unseen: Mapping[Ref, str] = field(default_factory=dict)
    fights: Mapping[Ref, str] = field(default_factory=dict)
    gate: str = ""
    deletes_left: int = 0
    hold: str = ""


def circumstances_of(before: Snapshot, rails: Rails, limits: Limits) -> Circumstances:
    """The circumstances of a pass that starts from this snapshot."""
    status = before.status
    return Circumstances(
        asked=asked(before),
        is_orphan=before.spec is None,
        stage=before.stage,
        may_retry=status is None or is_due(status.next_attempt_at, before.now),
        paused=_paused(before, rails.hold),
        repair_drift=before.spec is None or before.spec.drift_policy == "repair",
        unseen=rails.unseen,
        fights=rails.fights,
        gate="" if "rollout" in before.approvals else rails.gate,
        deletes_left=rails.deletes_left,
        approved=before.approvals,
        limits=limits,
    )


def asked(before: Snapshot) -> Cause:
    """Who is behind a difference that the world is not: the spec's author, the defaults', or our release."""
    status = before.status
    if status is None or status.converged_generation != before.generation:
        return Cause.GENERATION
    return Cause.DEFAULTS if status.converged_defaults != before.defaults else Cause.RENDERER


def _paused(before: Snapshot, hold: str) -> str:
    """Why nothing may be changed now, as a sentence; empty when it may."""
    if hold:
        return hold
    if before.paused_until is not None:
        return f"Paused until {before.paused_until.isoformat()} ({before.pause_reason})."
    return went_back(before)


def went_back(before: Snapshot) -> str:
    """That a newer generation was seen than the one asked for, and what to do; empty when none was."""
    seen = before.status.observed_generation if before.status is not None else before.generation
    if before.spec is None or seen <= before.generation:
        return ""
    return (
        f"The desired state went back from generation {seen} to {before.generation}, "
        "as a restored database does. Look at it, then accept it with: "
        "SELECT armillary.accept('<workspace>/<deployment>')."
    )

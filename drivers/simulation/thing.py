"""Things: what a simulated world holds, and how one looks at a moment. The looking is pure.

Nothing happens in between: a thing knows when it will be healthy, have ended, have drained or be gone, and how
it is follows from the time alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from model.names import Kind, Ref
from model.objects import Drift, Health, Seen

Life = Literal["still", "process", "task"]
Claim = tuple[str, str]
"""Whose a thing is: the installation and the owner, as its mark says."""
NEVER = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Whose a thing is, and which thing it was written on: a copied mark names another."""

    installation: str
    owner: str
    object: Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One thing. `applied` is what was last put there, `actual` what is there now: different means edited.

    `digest` None: a write was cut off half way. `edited_by` is who edited it, `finalizer` who holds its deletion
    up. The times are those of the world's clock; None means never.
    """

    ref: Ref
    uid: str
    mark: Mark | None
    digest: str | None = None
    frozen_digest: str = ""
    applied: str = ""
    actual: str = ""
    edited_by: str = "a vandal"
    life: Life = "still"
    replicas: int = 0
    is_killed: bool = False
    will_fail: bool = False
    crashes_until: float = 0.0  # a process crashes again and again
    ready_at: float = 0.0  # a process is healthy, a task has ended
    stopped_at: float | None = None  # drained by then
    gone_at: float | None = None  # deleted by then
    finalizer: str = ""

    @property
    def kind(self) -> Kind:
        """The thing's kind."""
        return self.ref.kind

    @property
    def claim(self) -> Claim | None:
        """Whose the thing is; None when it carries no mark, or one that was written on another thing."""
        mark = self.mark
        if mark is None or (mark.object is not self.ref and mark.object != self.ref):
            return None
        return (mark.installation, mark.owner)


def is_elsewhere(kind: Kind) -> bool:
    """Whether things of a kind are on a server of their own: what befalls the cluster does not befall them."""
    return kind.endswith("Sim.Database")


def is_there(thing: Thing, now: float) -> bool:
    """Whether a thing still exists."""
    return thing.gone_at is None or now < thing.gone_at


def moments(thing: Thing) -> tuple[float, ...]:
    """The times at which a thing looks different though nobody touches it."""
    times = (thing.crashes_until, thing.ready_at, thing.stopped_at, thing.gone_at)
    return tuple(sorted({one for one in times if one is not None and one != NEVER}))


def see(thing: Thing, now: float) -> Seen:
    """How a thing of ours looks."""
    health, detail = _health(thing, now)
    return Seen(
        ref=thing.ref,
        uid=thing.uid,
        digest=None if thing.gone_at is not None else thing.digest,
        frozen_digest=thing.frozen_digest,
        drift=tuple(_drift(thing)),
        health=health,
        running=_running(thing, now),
        detail=detail,
    )


def _running(thing: Thing, now: float) -> int:
    if thing.life == "still" or thing.is_killed:
        return 0
    if thing.stopped_at is not None:
        return thing.replicas if now < thing.stopped_at else 0
    if thing.life == "task":
        return 1 if now < thing.ready_at else 0
    return thing.replicas


def _drift(thing: Thing) -> list[Drift]:
    drift = [] if thing.actual == thing.applied else [Drift(what=f"{thing.ref} was edited", by=thing.edited_by)]
    if thing.gone_at is None and thing.life == "process" and thing.replicas:
        whats = ["killed"] if thing.is_killed else []
        whats += ["stopped and should run"] if thing.stopped_at is not None else []
        drift += [Drift(what=f"{thing.ref} was {what}", by="a vandal") for what in whats]
    return drift


def _health(thing: Thing, now: float) -> tuple[Health, str]:
    if thing.gone_at is not None or thing.stopped_at is not None:
        return _ending(thing, now)
    match thing.life:
        case "still":
            return (Health.HEALTHY, "") if thing.actual == thing.applied else (Health.UNHEALTHY, "was edited")
        case "task":
            return _task_health(thing, now)
        case "process":
            return _process_health(thing, now)


def _ending(thing: Thing, now: float) -> tuple[Health, str]:
    if _running(thing, now):
        return Health.PROGRESSING, "is stopping"
    held = thing.gone_at is not None and thing.finalizer
    return Health.STOPPED, f"is held by the finalizer {thing.finalizer}" if held else "is stopped"


def _task_health(thing: Thing, now: float) -> tuple[Health, str]:
    if thing.is_killed:
        return Health.FAILED, "was killed"
    if now < thing.ready_at:
        return Health.PROGRESSING, "runs"
    return (Health.FAILED, "ended with 1") if thing.will_fail else (Health.DONE, "")


def _process_health(thing: Thing, now: float) -> tuple[Health, str]:
    if thing.replicas == 0:
        return Health.STOPPED, "0 replicas, as asked"
    if thing.is_killed:
        return Health.UNHEALTHY, "does not run"
    if now < thing.crashes_until:
        return Health.UNHEALTHY, "crashes again and again"
    return (Health.HEALTHY, "") if now >= thing.ready_at else (Health.PROGRESSING, "is being started")


def deleted(thing: Thing, now: float, *, after: float, finalizer: str = "") -> Thing:
    """The thing on its way out; a second deletion does not put its end off."""
    if thing.gone_at is not None:
        return thing
    drained = now + after if thing.stopped_at is None else thing.stopped_at
    return replace(thing, gone_at=now + after, stopped_at=drained, finalizer=finalizer)

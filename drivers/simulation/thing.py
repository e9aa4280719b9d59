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


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Whose a thing is, and which thing it was written on: a copied mark names another."""

    installation: str
    owner: str
    object: Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One thing. `applied` is what was last put there, `actual` what is there now: different means edited.

    `digest` None: a write was cut off half way. The times are those of the world's clock; None means never.
    """

    ref: Ref
    uid: str
    mark: Mark | None
    digest: str | None = None
    frozen_digest: str = ""
    applied: str = ""
    actual: str = ""
    life: Life = "still"
    replicas: int = 0
    is_killed: bool = False
    will_fail: bool = False
    ready_at: float = 0.0  # a process is healthy, a task has ended
    stopped_at: float | None = None  # drained by then
    gone_at: float | None = None  # deleted by then

    @property
    def kind(self) -> Kind:
        """The thing's kind."""
        return self.ref.kind


def is_there(thing: Thing, now: float) -> bool:
    """Whether a thing still exists."""
    return thing.gone_at is None or now < thing.gone_at


def is_ours(thing: Thing, installation: str, owner: str) -> bool:
    """Whether a thing carries this owner's mark, written on it and not on another."""
    return thing.mark == Mark(installation=installation, owner=owner, object=thing.ref)


def see(thing: Thing, now: float) -> Seen:
    """How a thing of ours looks."""
    health, detail = _health(thing, now)
    return Seen(
        ref=thing.ref,
        uid=thing.uid,
        digest=None if thing.gone_at is not None else thing.digest,
        frozen_digest=thing.frozen_digest,
        drift=tuple(Drift(what=what, by="a vandal") for what in _drift(thing)),
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


def _drift(thing: Thing) -> list[str]:
    drift = [] if thing.actual == thing.applied else [f"{thing.ref} was edited"]
    if thing.gone_at is None and thing.life == "process" and thing.replicas:
        drift += [f"{thing.ref} was killed"] if thing.is_killed else []
        drift += [f"{thing.ref} was stopped and should run"] if thing.stopped_at is not None else []
    return drift


def _health(thing: Thing, now: float) -> tuple[Health, str]:
    if thing.gone_at is not None or thing.stopped_at is not None:
        still = _running(thing, now)
        return (Health.PROGRESSING, "is stopping") if still else (Health.STOPPED, "is stopped")
    match thing.life:
        case "still":
            return (Health.HEALTHY, "") if thing.actual == thing.applied else (Health.UNHEALTHY, "was edited")
        case "task":
            return _task_health(thing, now)
        case "process":
            return _process_health(thing, now)


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
    return (Health.HEALTHY, "") if now >= thing.ready_at else (Health.PROGRESSING, "is being started")


def deleted(thing: Thing, now: float, *, after: float) -> Thing:
    """The thing on its way out; a second deletion does not put its end off."""
    if thing.gone_at is not None:
        return thing
    drained = now + after if thing.stopped_at is None else thing.stopped_at
    return replace(thing, gone_at=now + after, stopped_at=drained)

"""What is wrong now and needs somebody's eyes. Pure: judged from conditions, progress and the time alone.

An alert is not an event: it is there as long as it is true, and every one says what to do. Of one deployment only
the most telling is shown, so that a held unit is not also told as "not Ready".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from model.status import Condition, Reason
from reconciler.progress import Progress

NOT_READY_SECONDS = 600.0
"""A first start builds a runtime and migrates a database: minutes. What takes longer is worth a look."""
NOT_SEEN_SECONDS = 60.0
"""A kind that cannot be seen, or a deployment nobody looked at: a restart of ours explains less than a minute."""

Severity = Literal["warning", "critical"]

_AS_ASKED = frozenset({Reason.STOPPED, Reason.DELETING, Reason.PAUSED})
_NEEDS_A_PERSON = frozenset({Reason.REFUSED, Reason.INVALID_SPEC, Reason.INTERNAL_ERROR})


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwell:
    """A condition of a deployment that is not True. None: it was never looked at `since` it was last changed."""

    deployment: str
    since: datetime
    condition: Condition | None = None
    emails: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unguarded:
    """A table of the state whose triggers are off: nothing checks or counts what is changed there."""

    relation: str
    triggers: int
    what_to_do: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something wrong. `deployment` None: the daemon itself; `since` None: since when is not known."""

    name: str
    severity: Severity
    message: str
    what_to_do: str
    deployment: str | None = None
    since: datetime | None = None
    emails: tuple[str, ...] = ()
    """Who is to be told. What is wrong with the daemon itself is told nobody in particular."""


def alerts(
    unwell: Iterable[Unwell], progress: Progress, now: datetime, unguarded: Iterable[Unguarded] = ()
) -> tuple[Alert, ...]:
    """Everything that is wrong: the daemon's own first, the state's, then one a deployment by its name."""
    worst: dict[str, tuple[int, Alert]] = {}
    for one in unwell:
        judged = _judge(one, now)
        if judged is not None and (one.deployment not in worst or judged[0] < worst[one.deployment][0]):
            worst[one.deployment] = judged[0], replace(judged[1], emails=one.emails)
    return (*_of_daemon(progress, now), *map(_unguarded, unguarded), *(worst[name][1] for name in sorted(worst)))


def _of_daemon(progress: Progress, now: datetime) -> Iterable[Alert]:
    reasons = progress.reasons_not_ready(now)
    if reasons:
        yield Alert(
            name="DaemonNotProgressing",
            severity="critical",
            message=" ".join(reasons),
            what_to_do="See the daemon's log, and whether its state database answers. What runs, runs on.",
            since=progress.last_progress_at if progress.is_stalled(now) else None,
        )
    for what, why in sorted(progress.blind.items()):
        yield Alert(
            name="WatchBlind",
            severity="warning",
            message=f"{what} does not tell of changes: {why}",
            what_to_do="Mend what it cannot reach. Until then drift is found by the resync, within a minute.",
        )


def _unguarded(one: Unguarded) -> Alert:
    return Alert(
        name="TriggersOff",
        severity="critical",
        message=f"{one.triggers} triggers of {one.relation} are off: changes there go unchecked and uncounted.",
        what_to_do=f"{one.what_to_do}. A restore that runs now switches them on itself.",
    )


def _judge(one: Unwell, now: datetime) -> tuple[int, Alert] | None:
    """The alert that a condition is, with its rank (0 tells most); None while it is none."""
    seconds = (now - one.since).total_seconds()
    if one.condition is None:
        return (0, _never_looked_at(one)) if seconds > NOT_SEEN_SECONDS else None
    match one.condition.reason:
        case reason if reason in _AS_ASKED:
            return None
        case Reason.HELD:
            return 1, _held(one, one.condition)
        case reason if reason in _NEEDS_A_PERSON:
            return 2, _refused(one, one.condition)
        case Reason.TASK_FAILED:
            return 3, _task_failed(one, one.condition)
        case Reason.BLIND:
            return (4, _blind(one, one.condition)) if seconds > NOT_SEEN_SECONDS else None
        case _:
            return _lasting(one, one.condition) if seconds > NOT_READY_SECONDS else None


def _never_looked_at(one: Unwell) -> Alert:
    return Alert(
        name="NeverLookedAt",
        severity="critical",
        message="No pass has concluded anything about it.",
        what_to_do="See whether a daemon runs and leads: GET /readyz, and its log.",
        deployment=one.deployment,
        since=one.since,
    )


def _held(one: Unwell, condition: Condition) -> Alert:
    return Alert(
        name="Held",
        severity="critical",
        message=condition.message,
        what_to_do="Nothing is done until a person decides. GET its /plan shows what is held, and why.",
        deployment=one.deployment,
        since=one.since,
    )


def _refused(one: Unwell, condition: Condition) -> Alert:
    return Alert(
        name="Refused",
        severity="critical",
        message=condition.message,
        what_to_do="Trying again will not help: change what is asked, or what refuses it, as the message says.",
        deployment=one.deployment,
        since=one.since,
    )


def _task_failed(one: Unwell, condition: Condition) -> Alert:
    unit = condition.message.partition(":")[0]
    return Alert(
        name="TaskFailed",
        severity="critical",
        message=condition.message,
        what_to_do=f"Read its log, GET its /logs/{unit}; it is tried again by itself, less and less often.",
        deployment=one.deployment,
        since=one.since,
    )


def _blind(one: Unwell, condition: Condition) -> Alert:
    return Alert(
        name="Blind",
        severity="critical",
        message=condition.message,
        what_to_do="Make it reachable again. Until then nothing there is created, removed, or called Ready.",
        deployment=one.deployment,
        since=one.since,
    )


def _lasting(one: Unwell, condition: Condition) -> tuple[int, Alert]:
    """Not as it should be for too long. Not working weighs more than not being up to date."""
    is_ready = condition.type == "Ready"
    return 5 if is_ready else 6, Alert(
        name="NotReady" if is_ready else "NotSynced",
        severity="critical" if is_ready else "warning",
        message=condition.message,
        what_to_do="GET its /why says what it waits for, and /events what was tried.",
        deployment=one.deployment,
        since=one.since,
    )

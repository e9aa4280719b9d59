"""Judging: what the run folders and answers of a process or task mean. Sentences for people, health, drift.

Details name facts that stay the same while nothing happens: a detail that counted seconds would make every look
news.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from drivers.local.pace import Pace
from drivers.local.probes import Answer
from drivers.local.records import Record
from drivers.local.supervise import State, secrets_of, tail
from model.objects import Health

_OLD_SECONDS = 600.0  # no Airflow takes this long to start: one that does not answer now has hung


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What was concluded about one object."""

    health: Health
    detail: str = ""
    drift: list[str] = field(default_factory=list)
    running: int = 0
    is_hung: bool = False


def judge_task(record: Record, root: Path, state: State) -> Judged:
    """A task: on its way, done, failed with its last words, or stopped."""
    if state.is_alive:
        return Judged(health=Health.PROGRESSING, detail="runs", running=1)
    if record.is_stopped or record.is_deleting:
        return Judged(health=Health.STOPPED, detail="was stopped")
    if state.digest != record.facts["template"] or not state.is_current:
        return Judged(health=Health.FAILED, detail="its run folder is gone, or it was cut off before it started")
    if state.condition == "lost" or state.last_exit is None:
        return Judged(health=Health.FAILED, detail="its shim was killed before it could say how the task ended")
    if state.last_exit.code == 0:
        return Judged(health=Health.DONE)
    return Judged(health=Health.FAILED, detail=f"{state.last_exit}{_last_words(root, record.unit, 0)}")


def judge_process(
    record: Record,
    root: Path,
    states: Mapping[int, State],
    answer: Answer | None,
    pace: Pace,
) -> Judged:
    """A process: what is wrong with its replicas first, then what it answers."""
    running = sum(state.is_alive for state in states.values())
    replicas = int(record.facts["replicas"])
    if record.is_stopped or record.is_deleting or replicas == 0:
        return _at_rest(record, replicas, running)
    wanted = {number: states[number] for number in range(replicas)}
    drift = [what for number, state in wanted.items() if (what := _fault(record, number, state))]
    hung = not drift and answer is not None and is_hung(wanted, answer, pace)
    if hung and answer is not None:
        drift = [f"{record.unit} runs, and for more than {pace.hang_seconds:.0f} s it {answer.detail}"]
    if drift:
        why = "; ".join(drift)
        return Judged(health=Health.UNHEALTHY, detail=why, drift=drift, running=running, is_hung=hung)
    health, detail = _unsettled(record, root, wanted) or _answered(wanted, answer, pace)
    return Judged(health=health, detail=detail, running=running)


def is_hung(states: Mapping[int, State], answer: Answer, pace: Pace) -> bool:
    """Whether a process runs and has not answered for long, though it could have."""
    if answer.verdict != "unhealthy" or answer.failing_since is None:
        return False
    if time.monotonic() - answer.failing_since < pace.hang_seconds:
        return False
    ages = [time.time() - (state.started_at or time.time()) for state in states.values()]
    return answer.was_healthy or min(ages, default=0.0) > _OLD_SECONDS


def _at_rest(record: Record, replicas: int, running: int) -> Judged:
    # What was stopped for a task should run again as soon as nothing forbids it: that is drift to repair.
    drift = [f"{record.unit} was stopped and should run"] if record.is_stopped and replicas else []
    if running:
        return Judged(health=Health.PROGRESSING, detail="is stopping", drift=drift, running=running)
    detail = "is stopped" if record.is_stopped or record.is_deleting else "0 replicas, as asked"
    return Judged(health=Health.STOPPED, detail=detail, drift=drift)


def _fault(record: Record, number: int, state: State) -> str:
    """What is not as it was applied; empty while it is, or is on its way there."""
    name = f"{record.unit} (replica {number})"
    if state.is_queued:
        return ""
    match state.condition:
        case "absent":
            return f"{name} does not run: its run folder is gone"
        case "lost":
            return f"{name} does not run: its shim was killed"
        case "ended":
            return f"{name} does not run: {_ending(state)}"
        case "unsupervised":
            return f"{name} runs unsupervised: its shim was killed"
        case "starting" | "queued" | "stopping":
            return ""
        case "running" | "waiting":
            if state.is_edited:
                return f"run/{record.unit}-{number}/unit.json was edited"
            is_as_applied = state.is_current and state.digest == record.facts["template"]
            return "" if is_as_applied else f"{name} does not run what was applied"


def _ending(state: State) -> str:
    if state.last_exit is None or state.last_exit.stopped:
        return "its shim was told to stop"
    return f"it {state.last_exit}"


def _unsettled(record: Record, root: Path, states: Mapping[int, State]) -> tuple[Health, str] | None:
    """Health while some replica does not run at this moment."""
    for number, state in states.items():
        if state.condition == "waiting" and state.last_exit is not None:
            words = _last_words(root, record.unit, number)
            health = Health.UNHEALTHY if state.restarts > 1 else Health.PROGRESSING
            return health, f"{state.last_exit} and is started again (restarts: {state.restarts}){words}"
        if state.condition != "running" or state.is_queued:
            return Health.PROGRESSING, "is being started"
    return None


def _answered(states: Mapping[int, State], answer: Answer | None, pace: Pace) -> tuple[Health, str]:
    restarted = [str(state.last_exit) for state in states.values() if state.restarts and state.last_exit]
    after = f"{restarted[0]} and was started again; " if restarted else ""
    if answer is None:
        youngest = max((state.started_at or 0.0 for state in states.values()), default=0.0)
        settled = time.time() - youngest >= pace.settled_seconds
        return (Health.HEALTHY, "") if settled else (Health.PROGRESSING, f"{after}was just started")
    match answer.verdict:
        case "healthy":
            return Health.HEALTHY, ""
        case "unknown" | "unseen":
            return Health.UNKNOWN, answer.detail
        case "unhealthy":
            health = Health.UNHEALTHY if answer.was_healthy else Health.PROGRESSING
            return health, after + answer.detail


def _last_words(root: Path, unit: str, replica: int) -> str:
    folder = root / "run" / f"{unit}-{replica}"
    lines = tail(folder / "output.log", 1, secrets=secrets_of(folder))
    return f": {lines[0]}" if lines else ""

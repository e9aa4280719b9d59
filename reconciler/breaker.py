"""The circuit of one cluster: asked as always while it answers, left alone while it does not. Pure.

Closed → open after some calls in a row that found nobody there. An open circuit is probed, one call at a time,
after growing pauses; the first that is answered closes it, on trial: the next call that finds nobody resumes the
outage, the next that is answered ends it. Only calls that began since it was last closed count: what is still on
its way from before tells of the cluster of before.
Time and randomness are arguments.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from reconciler.backoff import backoff_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLimits:
    """When a cluster counts as gone, and how often it is asked then.

    `failures_max` calls in a row that nobody answered: one is an accident, five are not, and cost a few callers
    one timeout each. `doublings_max`: pauses between probes double from one second so many times, to half a
    minute: a cluster that is back is seen soon, and one call in half a minute harms none that is starting.
    """

    failures_max: int = 5
    doublings_max: int = 5

    @property
    def pause_seconds_max(self) -> float:
        """The longest pause between two probes."""
        return backoff_seconds(self.doublings_max + 1, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Nobody is there. The first call that was not answered failed at `since`, the last one for the reason `why`.

    `probes` were in vain so far; the next is due at `probe_at`.
    """

    era: int
    since: float
    why: str
    probe_at: float
    probes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The cluster is asked. `failures` of its last calls in a row were not answered, the first at `since`.

    `era` counts how often the circuit was closed again; a call belongs to the era in which it began. `outage`: the
    circuit is on trial after it.
    """

    era: int = 0
    failures: int = 0
    since: float = 0.0
    outage: Open | None = None


State = Closed | Open


def call_answered(state: State, era: int) -> State:
    """After a call of this era was answered, be it with a refusal."""
    if isinstance(state, Open) or state.era != era:
        return state
    return Closed(era=era) if state.failures or state.outage else state


def call_failed(state: State, era: int, *, why: str, now: float, fraction: float, limits: BreakerLimits) -> State:
    """After a call of this era found nobody. `fraction` in [0, 1) is the jitter of the pause that may follow."""
    if isinstance(state, Open) or state.era != era:
        return state
    failures = state.failures + 1
    since = state.since if state.failures else now
    if failures < limits.failures_max and state.outage is None:
        return Closed(era=era, failures=failures, since=since)
    probes = state.outage.probes + 1 if state.outage else 0
    return Open(era=era, since=since, why=why, probes=probes, probe_at=now + _pause(probes, fraction, limits))


def probe_failed(state: Open, *, why: str, now: float, fraction: float, limits: BreakerLimits) -> Open:
    """After a probe found nobody: the next one follows after a longer pause."""
    probes = state.probes + 1
    return replace(state, why=why, probes=probes, probe_at=now + _pause(probes, fraction, limits))


def probe_answered(state: Open) -> Closed:
    """After a probe was answered, be it with a refusal: a new era, on trial."""
    return Closed(era=state.era + 1, outage=state)


def _pause(probes: int, fraction: float, limits: BreakerLimits) -> float:
    return backoff_seconds(min(probes, limits.doublings_max) + 1, fraction)

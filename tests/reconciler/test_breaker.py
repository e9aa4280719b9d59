"""The laws of the circuit: what opens it, what closes it, and what counts for nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.backoff import FLOOR_SECONDS
from reconciler.breaker import (
    BreakerLimits,
    Closed,
    Open,
    State,
    call_answered,
    call_failed,
    probe_answered,
    probe_failed,
)

LIMITS = BreakerLimits(failures_max=3, doublings_max=5)
fractions = st.floats(0, 1, exclude_max=True)


def failed(
    state: State, *, era: int = 0, now: float = 0.0, why: str = "connection refused", fraction: float = 0.5
):
    return call_failed(state, era, why=why, now=now, fraction=fraction, limits=LIMITS)


def opened(now: float = 10.0) -> Open:
    state: State = Closed()
    for _ in range(LIMITS.failures_max):
        state = failed(state, now=now)
    assert isinstance(state, Open)
    return state


def test_it_opens_after_so_many_failures_in_a_row_and_says_since_when():
    first = failed(Closed(), now=10.0)
    second = failed(first, now=11.0)
    third = failed(second, now=12.0, why="timed out")

    assert isinstance(second, Closed)
    assert isinstance(third, Open)
    assert (third.since, third.why) == (10.0, "timed out")
    assert third.probe_at > 12.0


@given(st.lists(st.sampled_from(["answered", "failed"]), max_size=60))
def test_it_opens_exactly_when_the_last_calls_all_failed(ends):
    state: State = Closed()
    row = 0
    for end in ends:
        state = call_answered(state, 0) if end == "answered" else failed(state)
        row = row + 1 if end == "failed" else 0
        if row == LIMITS.failures_max:
            assert isinstance(state, Open)
            return
        assert isinstance(state, Closed)


@given(st.lists(st.sampled_from(["answered", "failed"])), fractions)
def test_no_call_moves_an_open_circuit(ends, fraction):
    state: State = opened()
    for end in ends:
        after = call_answered(state, 0) if end == "answered" else failed(state, now=99.0, fraction=fraction)
        assert after is state


@given(st.lists(st.sampled_from(["answered", "failed"])))
def test_calls_from_before_it_was_closed_count_for_nothing(ends):
    state: State = probe_answered(opened())
    for end in ends:
        after = call_answered(state, 0) if end == "answered" else failed(state, era=0)
        assert after is state


def test_on_trial_one_failure_resumes_the_outage_with_a_longer_pause():
    outage = opened()
    again = failed(probe_answered(outage), era=1, now=50.0)

    assert isinstance(again, Open)
    assert again.since == 50.0
    assert again.probe_at - 50.0 > outage.probe_at - 10.0


def test_on_trial_one_answer_restores_trust():
    trusted = call_answered(probe_answered(opened()), 1)

    assert trusted == Closed(era=1)
    assert isinstance(failed(trusted, era=1), Closed)


@given(st.integers(0, 200), fractions, st.floats(0, 1e6))
def test_pauses_grow_and_stay_capped_and_jittered(probes, fraction, now):
    state = opened()
    for _ in range(probes):
        state = probe_failed(state, why="", now=0.0, fraction=0.5, limits=LIMITS)

    state = probe_failed(state, why="timed out", now=now, fraction=fraction, limits=LIMITS)

    ceiling = min(LIMITS.pause_seconds_max, 2.0 ** (probes + 1))
    assert LIMITS.pause_seconds_max == 32.0
    assert FLOOR_SECONDS - 1e-3 <= state.probe_at - now <= ceiling + 1e-3
    assert (state.since, state.why) == (10.0, "timed out")


def test_jitter_spreads_the_pauses_at_the_cap_too():
    state = opened()
    for _ in range(50):
        state = probe_failed(state, why="", now=0.0, fraction=0.0, limits=LIMITS)
    late = probe_failed(state, why="", now=0.0, fraction=0.99, limits=LIMITS)

    assert late.probe_at > 3 * state.probe_at

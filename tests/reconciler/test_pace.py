"""The laws of the pace: bounds, halving, growth, and what counts as slow."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from reconciler.pace import Pace, PaceLimits, Timing, answered, careful, full, throttled, unanswered

LIMITS = PaceLimits()
FULL = full(LIMITS)
QUICK = 0.05


def took(seconds: float, at: float = 100.0, *, call: str = "apply", is_write: bool = True) -> Timing:
    return Timing(call=call, began_at=at, ended_at=at + seconds, is_write=is_write)


events = st.one_of(
    st.tuples(st.just("answered"), st.floats(0, 100)),
    st.tuples(st.just("unanswered"), st.floats(0, 100)),
    st.tuples(st.just("throttled"), st.none() | st.floats(-5, 10_000)),
)


@given(st.lists(events, max_size=80))
def test_whatever_happens_the_pace_stays_between_floor_and_ceiling(happenings):
    pace, now = FULL, 0.0
    for what, number in happenings:
        now += 1.0
        match what:
            case "answered":
                pace = answered(pace, took(number, now), LIMITS)
            case "unanswered":
                pace = unanswered(pace, now, now + number, LIMITS)
            case _:
                pace = throttled(pace, now, now, number, LIMITS)

        assert 1 <= pace.calls_limit <= pace.calls <= LIMITS.calls_at_once
        assert LIMITS.applies_per_second_min <= pace.rate <= LIMITS.applies_per_second_max
        assert pace.paused_until <= now + LIMITS.pause_seconds_max


def test_too_many_requests_halves_calls_and_rate():
    pace = throttled(FULL, 5.0, 6.0, None, LIMITS)

    assert (pace.calls, pace.rate) == (FULL.calls / 2, FULL.rate / 2)


@given(st.integers(1, 50))
def test_one_burst_of_refusals_is_one_cut(burst):
    pace = FULL
    for number in range(burst):
        pace = throttled(pace, 5.0, 6.0 + number, None, LIMITS)

    assert pace.calls == FULL.calls / 2


@given(st.lists(st.floats(0, 50), min_size=1))
def test_the_longest_pause_asked_for_is_kept_even_without_a_cut(pauses):
    pace = FULL
    for seconds in pauses:
        pace = throttled(pace, 5.0, 6.0, seconds, LIMITS)

    assert pace.paused_until == 6.0 + max(pauses)


def test_quick_answers_bring_the_pace_back_a_little_each_round():
    pace: Pace = careful(throttled(FULL, 1.0, 1.0, None, LIMITS))
    limits = []
    for _ in range(60):
        limits.append(pace.calls_limit)
        pace = answered(pace, took(QUICK), LIMITS)

    assert limits == sorted(limits)
    assert limits[1] == 2
    assert limits[-1] == LIMITS.calls_at_once
    assert all(after - before <= 1 for before, after in pairwise(limits))


def test_only_writes_bring_the_rate_of_writes_back():
    pace = throttled(FULL, 1.0, 1.0, None, LIMITS)

    assert answered(pace, took(QUICK, is_write=False), LIMITS).rate == pace.rate
    assert answered(pace, took(QUICK), LIMITS).rate > pace.rate


def test_an_answer_much_slower_than_usual_cuts():
    pace = FULL
    for _ in range(20):
        pace = answered(pace, took(0.5), LIMITS)
    slow = answered(pace, took(2.5), LIMITS)

    assert pace == answered(pace, took(0.5), LIMITS)
    assert slow.calls < pace.calls
    assert slow.rate < pace.rate


def test_milliseconds_are_never_slow_beside_microseconds():
    pace = answered(FULL, took(0.000_01), LIMITS)

    assert answered(pace, took(0.39), LIMITS).calls == FULL.calls


def test_each_sort_of_call_has_its_own_usual():
    pace = answered(FULL, took(0.01, call="observe"), LIMITS)

    assert answered(pace, took(5.0, call="owners"), LIMITS).calls == FULL.calls


@given(st.floats(0.001, 30), st.floats(0.001, 30))
def test_a_latency_that_stays_becomes_normal(before, after):
    pace = answered(FULL, took(before), LIMITS)
    at = 0.0
    for _ in range(600):
        at += after
        pace = answered(pace, took(after, at), LIMITS)

    assert pace.calls == LIMITS.calls_at_once


def test_one_hang_does_not_pass_for_normal():
    pace = answered(FULL, took(0.2), LIMITS)
    pace = answered(pace, took(30.0, 200.0), LIMITS)

    assert answered(pace, took(1.0, 300.0), LIMITS).calls < pace.calls


def test_a_call_given_up_cuts_and_teaches_nothing():
    pace = answered(FULL, took(0.2), LIMITS)
    after = unanswered(pace, 200.0, 230.0, LIMITS)

    assert after.calls < pace.calls
    assert after.baselines == pace.baselines


def test_after_an_outage_one_call_goes_at_a_time():
    assert careful(FULL).calls_limit == 1

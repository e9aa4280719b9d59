"""The budget of deletes that nobody asked for, over any five minutes and across restarts."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.budget import FLOOR, PERCENT, WINDOW_SECONDS, Budget

LONG_AGO = float("-inf")


@pytest.mark.parametrize(
    ("objects", "left"), [(0, 3), (1, 3), (29, 3), (30, 3), (39, 3), (40, 4), (100, 10), (1000, 100)]
)
def test_a_tenth_of_a_cluster_may_go_and_three_in_any_case(objects, left):
    assert Budget(began_at=LONG_AGO).left(0.0, objects) == left


def test_what_was_spent_is_gone_until_the_window_has_passed():
    budget = Budget(began_at=LONG_AGO)
    budget.spend(2, 100.0)
    budget.spend(1, 200.0)

    assert budget.left(200.0, 0) == 0
    assert budget.left(100.0 + WINDOW_SECONDS - 0.1, 0) == 0
    assert budget.left(100.0 + WINDOW_SECONDS, 0) == 2
    assert budget.left(200.0 + WINDOW_SECONDS, 0) == 3


def test_nothing_is_left_in_the_first_window_after_a_start():
    budget = Budget(began_at=1000.0)

    assert budget.left(1000.0, 10_000) == 0
    assert budget.left(1000.0 + WINDOW_SECONDS - 0.1, 10_000) == 0
    assert budget.left(1000.0 + WINDOW_SECONDS, 10_000) == 1000


def test_one_that_never_began_to_lead_allows_nothing_ever():
    assert Budget(began_at=float("inf")).left(1e12, 10_000) == 0


def test_a_cluster_that_shrinks_makes_the_budget_no_less_than_nothing():
    budget = Budget(began_at=LONG_AGO)
    budget.spend(10, 0.0)

    assert budget.left(1.0, 5) == 0


_LIFE = st.lists(
    st.tuples(st.floats(0.0, 200.0), st.integers(0, 6), st.booleans()),
    max_size=40,
)


@given(life=_LIFE, objects=st.integers(0, 80))
def test_law_in_any_window_no_more_goes_than_the_budget_restarts_included(life, objects):
    """Steps of (seconds that pass, deletes wished for, a restart). A daemon takes what is left and no more."""
    now, budget, taken = 0.0, Budget(began_at=LONG_AGO), list[float]()
    for seconds, wished, restarts in life:
        now += seconds
        if restarts:
            budget = Budget(began_at=now)
        takes = min(wished, budget.left(now, objects))
        budget.spend(takes, now)
        taken += [now] * takes

    allowed = max(FLOOR, objects * PERCENT // 100)
    assert all(sum(1 for at in taken if start <= at < start + WINDOW_SECONDS) <= allowed for start in taken)


@given(wished=st.integers(1, 50), objects=st.integers(0, 80))
def test_law_whatever_is_wished_for_goes_in_the_end(wished, objects):
    budget, times = Budget(began_at=0.0), list[float]()
    for number in range(1, 60):
        now = number * WINDOW_SECONDS
        takes = min(wished - len(times), budget.left(now, objects))
        budget.spend(takes, now)
        times += [now] * takes

    assert len(times) == wished
    assert all(then >= when for when, then in pairwise(times))

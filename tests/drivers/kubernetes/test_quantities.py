"""Quantities in one form: what Kubernetes takes for equal is equal here, and what is none is refused."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.kubernetes.quantities import canonical

SAME = (
    ("1000m", "1"),
    ("0.5", "500m"),
    (".5", "0.50"),
    ("1Gi", "1073741824"),
    ("1024Mi", "1Gi"),
    ("1e3", "1k"),
    ("1E3", "1000"),
    ("1E", "1000P"),
    ("1Ei", "1024Pi"),
    ("+2", "2."),
    ("-100u", "-100000n"),
    (2, "2"),
    (0.25, "250m"),
)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_spellings_of_one_quantity_are_the_same(one, other):
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize("text", ["", "m", "1 Gi", "1gi", "1KI", "0x10", "1e", "1e400", "Gi1", "1Gi5", "∞", "1,5"])
def test_what_is_no_quantity_is_refused_in_a_sentence(text):
    with pytest.raises(ValueError, match=r"quantity"):
        canonical(text)


@given(st.integers(min_value=-(10**12), max_value=10**12), st.sampled_from(["n", "u", "m", "", "k", "M", "Gi"]))
def test_a_number_with_a_suffix_is_that_many_times_the_suffix(number, suffix):
    assert canonical(f"{number}{suffix}") == Fraction(number) * canonical(f"1{suffix}")

"""JSON Merge Patch: the examples of RFC 7396, and its laws."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.merge import merge

EXAMPLES = [  # RFC 7396, appendix A: original, patch, result
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)


def without_nulls(value):
    """The value as a merge patch can say it: no member of an object is null."""
    if isinstance(value, dict):
        return {key: without_nulls(one) for key, one in value.items() if one is not None}
    return value


@pytest.mark.parametrize(("original", "patch", "result"), EXAMPLES)
def test_the_examples_of_the_rfc_hold(original, patch, result):
    assert merge(original, patch) == result


@given(values, values)
def test_merging_twice_is_merging_once(target, patch):
    once = merge(target, patch)

    assert merge(once, patch) == once


@given(objects)
def test_an_empty_patch_changes_nothing(target):
    assert merge(target, {}) == target


@given(values, values)
def test_no_argument_is_changed(target, patch):
    kept = copy.deepcopy((target, patch))
    merge(target, patch)

    assert (target, patch) == kept


@given(objects.map(without_nulls))
def test_a_patch_without_nulls_on_nothing_is_itself(patch):
    assert merge({}, patch) == patch


@given(objects, objects)
def test_members_that_the_patch_does_not_name_stay(target, patch):
    merged = merge(target, patch)

    assert {key: merged[key] for key in target if key not in patch} == {
        key: target[key] for key in target if key not in patch
    }

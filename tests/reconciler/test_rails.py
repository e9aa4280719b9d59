"""The rails: what may be done of what the rules ask for. They take away, in an order, and never add."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.names import Ref
from model.plan import Cause, Create, Delete, Held, Replace, Stop, Update, Waiting
from reconciler.circumstances import Circumstances
from reconciler.limits import Limits
from reconciler.rails import UNASKED, admitted, is_unexplained

from .sketch import object_of, process

A, B = Ref("Process", "a"), Ref("Process", "b")


def update(name: str = "a", cause: Cause = Cause.GENERATION) -> Update:
    return Update(object=object_of(process(name)), cause=cause, why="it differs")


def delete(name: str = "a", cause: Cause = Cause.ORPHAN) -> Delete:
    return Delete(ref=Ref("Process", name), unit=name, cause=cause, why="it is no longer desired")


def admit(*verdicts, **circumstances):
    return admitted(verdicts, Circumstances(**circumstances))


def test_what_nothing_speaks_against_is_done_in_its_order():
    verdicts = (update("b"), delete("a", Cause.GENERATION), update("c"))

    assert admit(*verdicts).now == verdicts


def test_what_waits_or_is_held_already_stays_as_it_is():
    waiting = Waiting(ref=A, unit="a", why="waits for b", action=update())
    held = Held(ref=B, unit="b", why="it holds data")
    todo = admit(waiting, held, paused="Paused.", gate="Wait.", unseen={A: "?"}, fights={A: "?"})

    assert (todo.now, todo.later, todo.held) == ((), (waiting,), (held,))


def test_a_pause_holds_everything_and_says_what_would_be_done():
    todo = admit(update(), delete("b"), paused="Paused until noon (audit).", deletes_left=9)

    assert [one.why for one in todo.held] == [
        "Paused until noon (audit). Not done: it differs",
        "Paused until noon (audit). Not done: it is no longer desired",
    ]
    assert todo.now == todo.later == ()


def test_what_we_wrote_and_cannot_see_yet_waits_and_the_rest_is_done():
    todo = admit(update("a"), update("b"), unseen={A: "was written a moment ago"})

    assert [one.ref for one in todo.now] == [B]
    assert [(one.ref, one.why) for one in todo.later] == [(A, "was written a moment ago")]


@pytest.mark.parametrize(
    ("cause", "waits"), [(one, one is Cause.DRIFT) for one in Cause], ids=[str(one) for one in Cause]
)
def test_a_fight_delays_repairs_and_nothing_that_is_asked_for(cause, waits):
    todo = admit(update(cause=cause), fights={A: "a is changed back by hpa each time"})

    assert bool(todo.later) is waits
    assert bool(todo.now) is not waits


@pytest.mark.parametrize("cause", list(Cause))
def test_the_gate_delays_what_nobody_asked_for_in_particular_and_nothing_else(cause):
    todo = admit(update(cause=cause), gate="waits for its turn")

    assert bool(todo.later) is (cause in UNASKED)
    assert [one.action for one in todo.later] == [update(cause=cause)] * (cause in UNASKED)


def test_a_turn_in_the_fleet_and_a_fight_are_looked_at_less_often_than_our_own_writes():
    gate = admit(update(cause=Cause.RENDERER), gate="waits for its turn").later[0]
    fight = admit(update(cause=Cause.DRIFT), fights={A: "?"}).later[0]
    unseen = admit(update(), unseen={A: "?"}).later[0]

    assert gate.again_seconds == fight.again_seconds == 30.0
    assert unseen.again_seconds == 5.0


@pytest.mark.parametrize(("cause", "is_free"), [(one, one not in {*UNASKED, Cause.ORPHAN}) for one in Cause])
def test_a_delete_that_somebody_asked_for_is_free_and_any_other_is_budgeted(cause, is_free):
    todo = admit(delete(cause=cause), deletes_left=0)

    assert bool(todo.now) is is_free
    assert is_unexplained(delete(cause=cause)) is not is_free


def test_deletes_beyond_the_budget_are_held_and_say_how_to_agree():
    todo = admit(delete("a"), delete("b"), delete("c"), deletes_left=2)

    assert [one.ref.name for one in todo.now] == ["a", "b"]
    assert "armillary.approve('<owner>', 'deletes')" in todo.held[0].why


def test_approved_deletes_cost_nothing():
    todo = admit(delete("a"), delete("b"), deletes_left=0, approved=frozenset({"deletes"}))

    assert len(todo.now) == 2


def test_another_approval_approves_no_deletes():
    todo = admit(delete("a"), deletes_left=0, approved=frozenset({"data", "rollout"}))

    assert todo.now == ()


def test_a_pause_explains_more_than_a_budget():
    todo = admit(delete("a"), paused="Paused.", deletes_left=0)

    assert [one.why for one in todo.held] == ["Paused. Not done: it is no longer desired"]


def test_a_delete_that_waits_spends_nothing_of_the_budget():
    waits = Waiting(ref=A, unit="a", why="waits until b is gone", action=delete("a"))

    assert [one.ref for one in admit(waits, delete("b"), deletes_left=1).now] == [B]


# --- laws -------------------------------------------------------------------------------------------------

_NAMES = st.sampled_from("abcdef")
_CHANGES = st.builds(
    lambda sort, name, cause: sort(object=object_of(process(name)), cause=cause, why="it differs"),
    st.sampled_from([Create, Update, Replace]),
    _NAMES,
    st.sampled_from(Cause),
)
_STOPS = st.builds(
    lambda name, cause: Stop(ref=Ref("Process", name), unit=name, cause=cause, why="a task needs it"),
    _NAMES,
    st.sampled_from(Cause),
)
_ACTIONS = _CHANGES | _STOPS | st.builds(delete, _NAMES, st.sampled_from(Cause))
_LATER = st.builds(lambda one: Waiting(ref=one.ref, unit=one.unit, why="waits", action=one), _ACTIONS)
_HELD = st.builds(lambda one: Held(ref=one.ref, unit=one.unit, why="is held"), _ACTIONS)
_SOME = st.dictionaries(_NAMES.map(lambda name: Ref("Process", name)), st.just("because"))
_CIRCUMSTANCES = st.builds(
    Circumstances,
    paused=st.sampled_from(["", "Paused."]),
    unseen=_SOME,
    fights=_SOME,
    gate=st.sampled_from(["", "waits for its turn"]),
    deletes_left=st.integers(0, 3),
    approved=st.sets(st.sampled_from(["deletes", "data", "rollout"])).map(frozenset),
    limits=st.builds(Limits, writes_per_pass_max=st.integers(1, 5)),
)
_VERDICTS = st.lists(_ACTIONS | _LATER | _HELD, max_size=12)


@given(verdicts=_VERDICTS, circumstances=_CIRCUMSTANCES)
def test_safety_rails_never_add_an_action_nor_change_one_nor_their_order(verdicts, circumstances):
    todo = admitted(verdicts, circumstances)

    asked = iter([one for one in verdicts if not isinstance(one, Waiting | Held)])
    assert all(one in asked for one in todo.now)  # a subsequence: `in` consumes
    assert len(todo.now) <= circumstances.limits.writes_per_pass_max
    assert {one.action for one in todo.later if one.action} <= {
        one.action if isinstance(one, Waiting) else one for one in verdicts if not isinstance(one, Held)
    }


@given(verdicts=_VERDICTS, circumstances=_CIRCUMSTANCES)
def test_safety_what_waits_or_is_held_is_never_let_through(verdicts, circumstances):
    todo = admitted(verdicts, circumstances)

    assert all(one in todo.later for one in verdicts if isinstance(one, Waiting))
    assert all(one in todo.held for one in verdicts if isinstance(one, Held))


@given(verdicts=_VERDICTS, circumstances=_CIRCUMSTANCES)
def test_safety_a_plan_never_holds_more_unexplained_deletes_than_are_left(verdicts, circumstances):
    todo = admitted(verdicts, circumstances)

    spent = sum(map(is_unexplained, todo.now))
    assert spent <= circumstances.deletes_left or "deletes" in circumstances.approved


@given(verdicts=_VERDICTS, circumstances=_CIRCUMSTANCES)
def test_safety_nothing_is_forgotten_but_by_the_bound_on_writes(verdicts, circumstances):
    todo = admitted(verdicts, circumstances)

    told = len(todo.now) + len(todo.later) + len(todo.held)
    assert told == len(verdicts) or len(todo.now) == circumstances.limits.writes_per_pass_max

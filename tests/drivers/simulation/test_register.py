"""The register: whatever happened, the past is what it was, and the index of owners is right."""

from hypothesis import given
from hypothesis import strategies as st

from drivers.simulation.register import REMEMBERED_SECONDS, Register, View
from drivers.simulation.thing import Mark, Thing, is_there
from model.names import Ref

REFS = [Ref(kind, name) for kind in ("A", "B") for name in ("x", "y", "z")]
OWNERS = ("deployment/1", "deployment/2")
steps = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 7.0]),  # seconds that pass
        st.sampled_from(REFS),
        st.sampled_from([None, "nobody", *OWNERS]),  # gone, without a mark, or whose
        st.sampled_from([None, 0.0, 3.0]),  # how long it lingers, if it is being deleted
    ),
    max_size=40,
)


def thing(ref: Ref, owner: str, now: float, lingers: float | None, uid: int) -> Thing:
    mark = None if owner == "nobody" else Mark(installation="i", owner=owner, object=ref)
    return Thing(ref=ref, uid=str(uid), mark=mark, gone_at=None if lingers is None else now + lingers)


@given(steps)
def test_the_past_is_what_it_was(changes):
    register, now = Register(), 100.0
    history = [(0.0, register.version, dict(register.things))]
    for number, (seconds, ref, owner, lingers) in enumerate(changes):
        now += seconds
        register.put(ref, None if owner is None else thing(ref, owner, now, lingers, number), now)
        history.append((now, register.version, dict(register.things)))

    for at in {one[0] for one in history if one[0] >= now - REMEMBERED_SECONDS}:
        _, version, things = [one for one in history if one[0] <= at][-1]
        then = {ref: one for ref, one in things.items() if is_there(one, at)}
        view = View(register, now, {"A": at, "B": at})
        assert {ref: view.get(ref) for ref in REFS if view.get(ref)} == then
        assert set(view.as_of.values()) == {version}
        for owner in OWNERS:
            claim = ("i", owner)
            assert {one.uid for one in view.of(claim)} == {one.uid for one in then.values() if one.claim == claim}


@given(steps)
def test_whose_things_are_is_known_without_a_search(changes):
    register, now = Register(), 0.0
    for number, (seconds, ref, owner, lingers) in enumerate(changes):
        now += seconds
        register.put(ref, None if owner is None else thing(ref, owner, now, lingers, number), now)
        there = [one for one in register.things.values() if is_there(one, now)]
        for claim in (("i", one) for one in OWNERS):
            found = {one.uid for one in register.of(claim, now)}
            assert found == {one.uid for one in there if one.claim == claim}
            assert (claim in list(register.claims(now))) is bool(found)


@given(steps, st.sampled_from([0.0, 1.0, 8.0, 60.0]))
def test_kinds_can_be_behind_by_different_times(changes, lag):
    register, now = Register(), 100.0
    for number, (seconds, ref, owner, lingers) in enumerate(changes):
        now += seconds
        register.put(ref, None if owner is None else thing(ref, owner, now, lingers, number), now)

    mixed = View(register, now, {"A": now - lag, "B": now})
    behind, today = View(register, now, {"A": now - lag, "B": now - lag}), View(register, now)
    for ref in REFS:
        assert mixed.get(ref) == (behind if ref.kind == "A" else today).get(ref)
    assert mixed.as_of == {"A": behind.as_of["A"], "B": register.version}

"""The rules of `plan`, each as a situation and what follows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.names import Ref
from model.objects import Drift, Health, Observed
from model.plan import Cause, Delete, Plan, Stop
from reconciler.limits import Limits
from reconciler.needs import Desired

from .sketch import (
    desired,
    known,
    needs,
    object_of,
    observed,
    planned,
    process,
    seen,
    snapshot,
    task,
    told,
)

DATABASE = process("database")
MIGRATE = task("migrate", "schema/2", on=needs(database="ready", scheduler="stopped"))
SCHEDULER = process("scheduler", on=needs(database="ready", migrate="done"))
NEWER = process("scheduler", image="a:2", on=needs(database="ready", migrate="done"))
WEB = process("web", on=needs(scheduler="present"))
DONE = (("migrate", "schema/2"),)
DRIFT = (Drift(what="somebody changed it"),)


def test_what_is_as_it_should_be_gives_an_empty_plan():
    todo = planned(desired(DATABASE, SCHEDULER), observed(seen(DATABASE), seen(SCHEDULER)))

    assert todo == Plan()


def test_what_is_absent_is_created_when_its_needs_hold_and_waits_with_an_explanation_otherwise():
    todo = planned(desired(DATABASE, MIGRATE, SCHEDULER), observed())

    assert told(todo) == ["Create database [generation]", "later Create migrate", "later Create scheduler"]
    assert "database to be ready" in todo.later[0].why


def test_a_task_is_done_only_by_its_milestone_and_never_by_its_existence():
    finished = seen(MIGRATE, health=Health.DONE)
    look = observed(seen(DATABASE), finished)

    without = planned(desired(DATABASE, MIGRATE, SCHEDULER), look)
    with_row = planned(desired(DATABASE, MIGRATE, SCHEDULER), look, snapshot(done=DONE))

    assert told(without) == ["under way migrate", "later Create scheduler"]
    assert told(with_row) == ["Create scheduler [generation]"]


def test_a_done_task_is_not_run_again_when_its_object_is_deleted():
    todo = planned(
        desired(DATABASE, MIGRATE), observed(seen(DATABASE)), snapshot(known(DATABASE), known(MIGRATE), done=DONE)
    )

    assert todo == Plan()


def test_needs_gate_changes_but_never_stop_what_runs():
    sick = seen(DATABASE, health=Health.UNHEALTHY)

    todo = planned(desired(DATABASE, SCHEDULER), observed(sick, seen(SCHEDULER)), snapshot(done=DONE))

    assert todo == Plan()


def test_an_open_task_stops_what_it_needs_stopped_and_waits_for_it():
    look = observed(seen(DATABASE), seen(SCHEDULER))

    todo = planned(desired(DATABASE, MIGRATE, NEWER), look, snapshot(known(DATABASE), known(SCHEDULER)))

    assert told(todo) == ["Stop scheduler [generation]", "later Create migrate", "later Update scheduler"]


def test_a_task_does_not_begin_while_something_foreign_stands_where_what_it_needs_stopped_stood():
    look = observed(
        seen(DATABASE), foreign={Ref("Process", "scheduler"): "scheduler carries somebody else's mark"}
    )

    todo = planned(desired(DATABASE, MIGRATE, SCHEDULER), look)

    assert told(todo) == ["later Create migrate", "held scheduler"]


def test_nothing_is_stopped_for_a_task_whose_other_needs_do_not_hold_yet():
    look = observed(seen(DATABASE, health=Health.PROGRESSING), seen(SCHEDULER))

    todo = planned(desired(DATABASE, MIGRATE, NEWER), look)

    assert not [one for one in todo.now if isinstance(one, Stop)]


def test_drift_of_what_is_stopped_for_a_task_is_not_repaired_until_the_task_is_done():
    stopped = seen(SCHEDULER, drift=DRIFT, running=0, health=Health.STOPPED)
    look = observed(seen(DATABASE), stopped, seen(MIGRATE, health=Health.PROGRESSING))

    during = planned(desired(DATABASE, MIGRATE, SCHEDULER), look)
    after = planned(desired(DATABASE, MIGRATE, SCHEDULER), look, snapshot(done=DONE))

    assert told(during) == ["under way migrate", "later Update scheduler"]
    assert told(after) == ["Update scheduler [drift]"]


@pytest.mark.parametrize("running", [1, 0], ids=["still draining", "stopped"])
def test_what_we_stopped_is_started_again_for_whoever_asked_and_is_no_drift(running):
    drained = seen(SCHEDULER, drift=DRIFT, running=running, health=Health.STOPPED)
    before = snapshot(known(DATABASE), known(SCHEDULER, state="stopped"), done=DONE)

    todo = planned(
        desired(DATABASE, MIGRATE, SCHEDULER), observed(seen(DATABASE), drained), before, repair_drift=False
    )

    assert told(todo) == ["Update scheduler [generation]"]


def test_drift_is_repaired_at_once_whatever_the_needs():
    look = observed(seen(DATABASE, health=Health.UNHEALTHY), seen(SCHEDULER, drift=DRIFT))

    todo = planned(desired(DATABASE, SCHEDULER), look)

    assert told(todo) == ["Update scheduler [drift]"]
    assert todo.now[0].why == "somebody changed it"


def test_an_older_object_that_somebody_put_back_is_drift_and_only_reported_where_the_policy_says_so():
    older = observed(seen(DATABASE, digest="of yesterday"))

    repaired = planned(desired(DATABASE), older, snapshot(known(DATABASE)))
    reported = planned(desired(DATABASE), older, snapshot(known(DATABASE)), repair_drift=False)

    assert told(repaired) == ["Update database [drift]"]
    assert told(reported) == ["held database"]


def test_drift_is_only_reported_where_the_policy_says_so():
    todo = planned(desired(DATABASE), observed(seen(DATABASE, drift=DRIFT)), repair_drift=False)

    assert told(todo) == ["held database"]
    assert "somebody changed it" in todo.held[0].why


def test_drift_that_is_only_reported_keeps_nobody_s_wish_from_being_carried_out():
    look = observed(seen(DATABASE, drift=DRIFT), seen(SCHEDULER))

    todo = planned(desired(DATABASE, MIGRATE, NEWER), look, snapshot(done=DONE), repair_drift=False)

    assert told(todo) == ["Update scheduler [generation]", "held database"]


def test_what_vanished_unasked_is_drift_and_made_anew():
    todo = planned(desired(DATABASE), observed(), snapshot(known(DATABASE)))

    assert told(todo) == ["Create database [drift]"]


def test_what_held_data_and_vanished_unasked_is_never_replaced_by_an_empty_one():
    want = Desired(units=(DATABASE,), objects=(object_of(DATABASE, irreplaceable=True),))

    first = planned(want, observed())
    later = planned(want, observed(), snapshot(known(DATABASE)))

    assert told(first) == ["Create database [generation]"]
    assert told(later) == ["held database"]
    assert "backup" in later.held[0].why


@pytest.mark.parametrize(
    ("asked", "digest_known", "cause"),
    [
        (Cause.GENERATION, "old", Cause.GENERATION),
        (Cause.RENDERER, "old", Cause.RENDERER),
        (Cause.DEFAULTS, "old", Cause.DEFAULTS),
        (Cause.RENDERER, "wanted", Cause.DRIFT),
        (Cause.GENERATION, "wanted", Cause.DRIFT),
    ],
)
def test_every_difference_has_a_cause(asked, digest_known, cause):
    wanted = object_of(DATABASE).digest
    row = known(DATABASE, digest=wanted if digest_known == "wanted" else "old")

    todo = planned(desired(DATABASE), observed(seen(DATABASE, digest="old")), snapshot(row), asked=asked)

    assert [one.cause for one in todo.now] == [cause]


def test_what_cannot_be_changed_in_place_is_replaced():
    look = observed(seen(DATABASE, digest="old", frozen_digest="other"))

    todo = planned(desired(DATABASE), look)

    assert told(todo) == ["Replace database [generation]"]


def test_prune_comes_last_and_only_from_the_inventory():
    stray = seen(process("stray"), running=0)
    look = observed(seen(SCHEDULER), stray)

    todo = planned(desired(DATABASE), look, snapshot(known(SCHEDULER)))

    assert told(todo) == ["Create database [generation]", "Delete scheduler [generation]", "held stray"]


def test_what_others_still_need_is_deleted_after_them():
    rows = (known(DATABASE), known(SCHEDULER))

    both = planned(desired(), observed(seen(DATABASE), seen(SCHEDULER)), snapshot(*rows))
    then = planned(desired(), observed(seen(DATABASE)), snapshot(*rows))

    assert told(both) == ["Delete scheduler [generation]", "later Delete database"]
    assert told(then) == ["Delete database [generation]"]


def test_deletes_name_the_object_by_its_uid():
    todo = planned(desired(), observed(seen(DATABASE)), snapshot(known(DATABASE)))

    assert [one.uid for one in todo.now if isinstance(one, Delete)] == ["uid-database"]


def test_nothing_is_concluded_about_a_kind_that_could_not_be_seen():
    blind = Observed(blind={"Process": "403: not allowed to list processes"})

    todo = planned(desired(DATABASE, MIGRATE), blind, snapshot(known(DATABASE), known(WEB)))

    assert todo.now == ()
    assert [one.why for one in todo.held] == ["403: not allowed to list processes"]


def test_the_place_of_something_foreign_is_held_with_its_holder_named():
    look = Observed(foreign={Ref("Process", "database"): "port 20000 is held by python3 (pid 77)"})

    todo = planned(desired(DATABASE), look)

    assert told(todo) == ["held database"]
    assert "pid 77" in todo.held[0].why


def test_a_failed_task_is_tried_again_only_after_its_backoff():
    failed = observed(seen(DATABASE), seen(MIGRATE, health=Health.FAILED, detail="no such column"))

    waiting = planned(desired(DATABASE, MIGRATE), failed, may_retry=False)
    retried = planned(desired(DATABASE, MIGRATE), failed, may_retry=True)

    assert told(waiting) == ["held migrate"]
    assert told(retried) == ["Replace migrate [retry]"]
    assert "no such column" in retried.now[0].why


def test_nothing_is_done_while_paused_and_everything_is_explained():
    todo = planned(desired(DATABASE), observed(), paused="Paused until noon (audit).")

    assert todo.now == ()
    assert "Paused until noon (audit)." in todo.held[0].why


def test_running_nothing_needs_nothing():
    asleep = process("scheduler", replicas=0, on=needs(database="ready", migrate="done"))

    todo = planned(desired(DATABASE, asleep), Observed(seen=observed(seen(SCHEDULER)).seen, blind={}))

    assert "Update scheduler [generation]" in told(todo)


def test_a_pass_writes_no_more_than_its_limit():
    many = desired(*(process(f"p{number}") for number in range(9)))

    todo = planned(many, observed(), limits=Limits(writes_per_pass_max=4))

    assert len(todo.now) == 4


# --- laws -------------------------------------------------------------------------------------------------

UNITS = (DATABASE, MIGRATE, SCHEDULER, WEB)
_LOOK = st.fixed_dictionaries(
    {
        unit.name: st.none()
        | st.builds(
            lambda health, stale, drift, unit=unit: seen(
                unit,
                health=health,
                drift=DRIFT if drift else (),
                **({"digest": "old"} if stale else {}),
            ),
            st.sampled_from(list(Health)),
            st.booleans(),
            st.booleans(),
        )
        for unit in UNITS
    }
)
_SOME = st.sets(st.integers(0, len(UNITS) - 1)).map(lambda numbers: [UNITS[number] for number in sorted(numbers)])
_ROWS = _SOME.map(lambda units: tuple(known(one) for one in units))
_WANT = _SOME.map(lambda units: desired(*units))


@given(want=_WANT, look=_LOOK, rows=_ROWS, blind=st.booleans(), done=st.booleans())
def test_safety_deletes_only_what_is_known_seen_and_not_desired(want, look, rows, blind, done):
    visible = [one for one in look.values() if one is not None]
    world = observed(*visible, blind={"Process": "not allowed"} if blind else {})

    todo = planned(want, world, snapshot(*rows, done=DONE if done else ()))

    wanted = {one.ref for one in want.objects}
    for action in todo.now:
        assert action.ref.kind not in world.blind
        if isinstance(action, Delete):
            assert action.ref not in wanted
            assert action.ref in {row.ref for row in rows}
            assert action.ref in world.seen


@given(want=_WANT, look=_LOOK, rows=_ROWS, done=st.booleans())
def test_safety_one_action_an_object_and_none_for_what_is_well(want, look, rows, done):
    visible = [one for one in look.values() if one is not None]
    before = snapshot(*rows, done=DONE if done else ())

    todo = planned(want, observed(*visible), before)

    refs = [one.ref for one in todo.now]
    assert len(refs) == len(set(refs))
    wanted = {one.ref: one for one in want.objects}
    well = {
        one.ref
        for one in visible
        if one.ref in wanted
        and one.digest == wanted[one.ref].digest
        and not one.drift
        and one.health is Health.HEALTHY
    }
    assert all(isinstance(one, Stop) for one in todo.now if one.ref in well)


@given(look=_LOOK, done=st.booleans())
def test_liveness_following_plans_converges(look, done):
    """A faultless world that does what it is told reaches the empty plan in a few passes."""
    want = desired(*UNITS)
    before = snapshot(done=DONE if done else ())
    there = {one.ref: one for one in look.values() if one is not None}
    for _ in range(2 * len(UNITS) + 2):
        todo = planned(want, Observed(seen=there), before)
        if todo.is_empty:
            break
        there, before = _obey(todo, there, before)

    assert planned(want, Observed(seen=there), before) == Plan()


def _obey(todo, there, before):
    """The world after a plan was carried out and time has passed: what was starting runs, tasks have ended."""
    by_ref = {object_of(unit).ref: unit for unit in UNITS}
    there = dict(there)
    for action in todo.now:
        unit = by_ref[action.ref]
        stopped = seen(unit, running=0, health=Health.STOPPED, drift=DRIFT)
        there[action.ref] = stopped if isinstance(action, Stop) else seen(unit)
    for ref, one in there.items():
        if one.health in (Health.UNKNOWN, Health.PROGRESSING, Health.UNHEALTHY):
            there[ref] = seen(by_ref[ref], digest=one.digest, drift=one.drift)
    ended = there.get(object_of(MIGRATE).ref)
    if ended is not None and ended.digest == object_of(MIGRATE).digest and ended.health is not Health.FAILED:
        before = snapshot(done=DONE)
    return there, before

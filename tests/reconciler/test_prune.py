"""What is no longer desired: from the inventory only, after what needs it, after its replacement, data last."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.names import Ref
from model.objects import Health, Observed
from model.plan import Cause, Delete, Held, Kept, Waiting
from model.status import Milestone
from model.units import Volume
from reconciler.circumstances import Circumstances
from reconciler.needs import Desired, world_of
from reconciler.prune import Inventory, prunes

from .sketch import desired, known, needs, object_of, observed, process, seen, task

REDIS = process("redis")
WORKER = process("worker", on=needs(redis="ready"))
FLOWER = process("flower", on=needs(worker="present", redis="ready"))
DATA = Volume(name="data", component="data", retain=True)


def pruned(
    *rows,
    want: Desired | None = None,
    look: Observed | None = None,
    done=(),
    stopping=(),
    wait="",
    **circumstances,
):
    """What becomes of these rows, in the order of their refs."""
    want = want or desired()
    here = Inventory(
        known={row.ref: row for row in rows},
        desired=frozenset(one.ref for one in want.objects),
        world=world_of(want, look or observed(), frozenset(done), rows),
        circumstances=Circumstances(**{"asked": Cause.GENERATION, **circumstances}),
        stopping=frozenset(stopping),
        wait=wait,
    )
    return {one.ref.name: one for one in prunes(here)}


def test_what_is_known_seen_and_not_desired_is_deleted_by_its_uid():
    one = pruned(known(REDIS), look=observed(seen(REDIS)))["redis"]

    assert isinstance(one, Delete)
    assert (one.uid, one.cause, one.unit) == ("uid-redis", Cause.GENERATION, "redis")


def test_nothing_is_deleted_beside_something_of_ours_that_runs_and_that_no_inventory_knows():
    look = observed(seen(REDIS), seen(WORKER))

    running = pruned(known(REDIS), look=look)
    stopped = pruned(known(REDIS), look=observed(seen(REDIS), seen(WORKER, running=0)))

    assert isinstance(running["redis"], Waiting)
    assert "Process/worker runs, which is in no inventory" in running["redis"].why
    assert isinstance(stopped["redis"], Delete)


def test_what_is_desired_is_never_pruned():
    assert pruned(known(REDIS), want=desired(REDIS), look=observed(seen(REDIS))) == {}


def test_what_is_known_and_not_there_needs_nothing_more():
    assert pruned(known(REDIS)) == {}


def test_what_is_there_and_in_no_inventory_is_left_alone_and_told():
    one = pruned(look=observed(seen(REDIS)))["redis"]

    assert isinstance(one, Held)
    assert "in no inventory" in one.why


def test_nothing_of_a_blind_kind_is_pruned():
    look = observed(seen(REDIS), blind={"Process": "403"})

    assert pruned(known(REDIS), look=look) == {}


def test_what_others_need_waits_until_they_are_gone_and_names_them():
    verdicts = pruned(known(REDIS), known(WORKER), look=observed(seen(REDIS), seen(WORKER)))

    assert isinstance(verdicts["worker"], Delete)
    assert isinstance(verdicts["redis"], Waiting)
    assert verdicts["redis"].why == "waits until Process/worker no longer needs redis"


def test_who_cannot_be_seen_may_still_need_it():
    cache = Volume(name="cache", component="cache")
    worker = process("worker", on=needs(cache="present"))

    verdicts = pruned(known(cache), known(worker), look=observed(seen(cache), blind={"Process": "403"}))

    assert isinstance(verdicts["cache"], Waiting)
    assert verdicts["cache"].why == "waits until Process/worker no longer needs cache"


def test_a_need_that_was_recorded_counts_whatever_is_desired_of_its_owner_now():
    changed = replace(WORKER, needs=frozenset())
    verdicts = pruned(
        known(REDIS), known(WORKER), want=desired(changed), look=observed(seen(REDIS), seen(changed))
    )

    assert isinstance(verdicts["redis"], Waiting)


@pytest.mark.parametrize("wants", ["present", "ready", "done"])
def test_every_need_but_that_for_something_stopped_keeps_what_it_needs(wants):
    row = replace(known(WORKER), needs=needs(redis=wants))

    assert isinstance(pruned(known(REDIS), row, look=observed(seen(REDIS), seen(WORKER)))["redis"], Waiting)


def test_what_needs_something_stopped_does_not_keep_it():
    row = replace(known(WORKER), needs=needs(redis="stopped"))

    assert isinstance(pruned(known(REDIS), row, look=observed(seen(REDIS), seen(WORKER)))["redis"], Delete)


def test_what_is_stopped_needs_nothing_but_what_still_drains_does():
    drained = seen(WORKER, health=Health.STOPPED, running=0)
    draining = seen(WORKER, health=Health.STOPPED, running=1)
    rows = (known(REDIS), known(WORKER))

    assert isinstance(pruned(*rows, look=observed(seen(REDIS), drained))["redis"], Delete)
    assert isinstance(pruned(*rows, look=observed(seen(REDIS), draining))["redis"], Waiting)


def test_an_object_does_not_wait_for_others_of_its_own_unit():
    twin = replace(known(REDIS), ref=Ref("Process", "redis-2"), needs=needs(redis="present"))
    there = observed(seen(REDIS), replace(seen(REDIS), ref=twin.ref))

    assert all(isinstance(one, Delete) for one in pruned(known(REDIS), twin, look=there).values())


# --- replacement ------------------------------------------------------------------------------------------

OLD = replace(known(REDIS), ref=Ref("Process", "old-redis"))
OLD_SEEN = replace(seen(REDIS), ref=OLD.ref)


@pytest.mark.parametrize(
    ("new", "goes"),
    [
        (None, False),
        (seen(REDIS, health=Health.PROGRESSING), False),
        (seen(REDIS, health=Health.UNHEALTHY), False),
        (seen(REDIS, digest="another"), False),
        (seen(REDIS), True),
    ],
    ids=["absent", "starting", "unwell", "of another digest", "ready"],
)
def test_what_has_a_replacement_goes_when_that_is_ready_and_not_before(new, goes):
    look = observed(OLD_SEEN, *([new] if new else []))
    one = pruned(OLD, want=desired(REDIS), look=look)["old-redis"]

    assert isinstance(one, Delete if goes else Waiting)


def test_the_place_of_a_replacement_that_cannot_be_seen_keeps_the_old_one():
    moved = replace(OLD, ref=Ref("east/Process", "redis"))
    look = observed(replace(OLD_SEEN, ref=moved.ref), blind={"Process": "connection refused"})

    assert isinstance(pruned(moved, want=desired(REDIS), look=look)["redis"], Waiting)


def test_a_task_s_former_object_goes_when_the_task_is_achieved():
    migrate = task("migrate", "schema/2")
    former = replace(known(migrate), ref=Ref("Task", "migrate-1"))
    look = observed(replace(seen(migrate), ref=former.ref, health=Health.DONE))
    before = pruned(former, want=desired(migrate), look=look)
    after = pruned(former, want=desired(migrate), look=look, done=(Milestone(name="migrate", key="schema/2"),))

    assert isinstance(before["migrate-1"], Waiting)
    assert isinstance(after["migrate-1"], Delete)


def test_what_runs_in_the_old_place_keeps_what_it_needs_there_though_the_unit_is_well_elsewhere():
    old = [replace(known(one), ref=Ref("east/Process", one.name)) for one in (REDIS, WORKER)]
    there = [replace(seen(one), ref=Ref("east/Process", one.name)) for one in (REDIS, WORKER)]
    look = observed(*there, seen(REDIS), seen(WORKER, health=Health.PROGRESSING))
    verdicts = pruned(*old, known(REDIS), known(WORKER), want=desired(REDIS, WORKER), look=look)

    assert all(isinstance(verdicts[name], Waiting) for name in ("redis", "worker"))
    assert verdicts["redis"].why == "waits until east/Process/worker no longer needs redis"


def test_what_is_desired_in_the_new_place_does_not_keep_the_old_one():
    old = replace(known(REDIS), ref=Ref("east/Process", "redis"))
    look = observed(replace(seen(REDIS), ref=old.ref), seen(REDIS), seen(WORKER))

    assert isinstance(pruned(old, known(WORKER), want=desired(REDIS, WORKER), look=look)["redis"], Delete)


# --- other passes -----------------------------------------------------------------------------------------


def test_what_this_pass_stops_is_not_deleted_in_the_same_breath():
    assert pruned(known(WORKER), look=observed(seen(WORKER)), stopping={known(WORKER).ref}) == {}


def test_nothing_is_deleted_while_there_is_a_reason_to_wait_and_the_reason_is_told():
    one = pruned(known(WORKER), look=observed(seen(WORKER)), wait="waits until scheduler has been changed")[
        "worker"
    ]

    assert isinstance(one, Waiting)
    assert one.why == "waits until scheduler has been changed"


def test_a_task_that_runs_is_not_cut_off_and_one_that_has_ended_goes():
    migrate = task("migrate", "schema/2", on=needs(scheduler="stopped"))
    runs = seen(migrate, health=Health.PROGRESSING, running=1)

    assert isinstance(pruned(known(migrate), look=observed(runs))["migrate"], Waiting)
    assert isinstance(pruned(known(migrate), look=observed(seen(migrate, health=Health.DONE)))["migrate"], Delete)


def test_a_task_whose_making_was_cut_off_never_ends_and_is_not_waited_for():
    migrate = task("migrate", "schema/2", on=needs(scheduler="stopped"))
    torso = replace(seen(migrate, health=Health.PROGRESSING, running=1), digest=None)

    assert isinstance(pruned(known(migrate), look=observed(torso))["migrate"], Delete)


# --- data -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["active", "stopping", "retaining"])
def test_what_holds_data_is_kept_and_says_how_to_be_rid_of_it(stage):
    one = pruned(known(DATA), look=observed(seen(DATA)), stage=stage)["data"]

    assert isinstance(one, Kept)
    assert "SELECT armillary.approve('<workspace>/<deployment>', 'data')" in one.why


def test_an_orphan_s_data_is_kept_and_no_statement_is_told_that_needs_its_row():
    one = pruned(known(DATA), look=observed(seen(DATA)), is_orphan=True)["data"]

    assert isinstance(one, Kept)
    assert "gone though nobody asked" in one.why


@pytest.mark.parametrize("circumstances", [{"stage": "purging"}, {"approved": frozenset({"data"})}])
def test_data_goes_when_its_time_is_over_or_a_person_says_so(circumstances):
    one = pruned(known(DATA), look=observed(seen(DATA)), **circumstances)["data"]

    assert isinstance(one, Delete)
    assert one.retain


def test_a_driver_is_told_which_deletes_hold_data():
    verdicts = pruned(known(DATA), known(REDIS), look=observed(seen(DATA), seen(REDIS)), stage="purging")

    assert [verdicts[name].retain for name in ("data", "redis")] == [True, False]


# --- cause ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("circumstances", "cause"),
    [
        ({"is_orphan": True}, Cause.ORPHAN),
        ({"is_orphan": True, "stage": "purging"}, Cause.ORPHAN),
        ({"stage": "stopping", "asked": Cause.RENDERER}, Cause.GENERATION),
        ({"stage": "purging", "asked": Cause.DEFAULTS}, Cause.GENERATION),
        ({"asked": Cause.RENDERER}, Cause.RENDERER),
        ({"asked": Cause.DEFAULTS}, Cause.DEFAULTS),
        ({"asked": Cause.GENERATION}, Cause.GENERATION),
    ],
)
def test_a_delete_has_the_cause_of_its_wish_and_a_deletion_is_always_one(circumstances, cause):
    assert pruned(known(REDIS), look=observed(seen(REDIS)), **circumstances)["redis"].cause is cause


# --- laws -------------------------------------------------------------------------------------------------

UNITS = (REDIS, WORKER, FLOWER, DATA)
_SOME = st.sets(st.sampled_from(range(len(UNITS)))).map(lambda numbers: [UNITS[one] for one in sorted(numbers)])


@given(rows=_SOME, want=_SOME, there=_SOME, blind=st.booleans(), stage=st.sampled_from(["active", "purging"]))
def test_safety_a_delete_is_of_what_is_known_seen_visible_and_not_desired(rows, want, there, blind, stage):
    look = observed(*map(seen, there), blind={"Process": "403"} if blind else {})
    verdicts = pruned(*map(known, rows), want=desired(*want), look=look, stage=stage)

    deleted = {one.ref for one in verdicts.values() if isinstance(one, Delete)}
    assert deleted <= {known(one).ref for one in rows} & look.seen.keys()
    assert deleted.isdisjoint(object_of(one).ref for one in want)
    assert not any(ref.kind in look.blind for ref in deleted)
    assert stage == "purging" or not any(ref.kind == "Volume" for ref in deleted)


@given(there=_SOME)
def test_liveness_whatever_is_left_is_gone_after_as_many_rounds_as_there_are_units(there):
    for _ in UNITS:
        verdicts = pruned(*map(known, there), look=observed(*map(seen, there)), stage="purging")
        there = [one for one in there if not isinstance(verdicts[one.name], Delete)]

    assert there == []

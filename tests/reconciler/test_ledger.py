"""The ledger: what one daemon remembers under one lease, and allows only after it has looked for a while."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from model.names import Owner, Ref
from model.objects import Observed
from model.plan import Cause, Delete, Plan, Update, Waiting
from model.status import Conclusion, Condition, Done, Reason, Record, Status
from reconciler.budget import WINDOW_SECONDS
from reconciler.footprints import Sight
from reconciler.gate import TURN, GateLimits
from reconciler.ledger import Ledger, cluster_of, is_converged
from reconciler.limits import Limits

from .sketch import NOW, OWNER, known, object_of, observed, process, seen, snapshot, spec

GATE = GateLimits()
WARM = WINDOW_SECONDS + 1.0  # longer than the gate's warm-up too
WEB = process("web")
SIGHT = Sight(observed=observed(seen(WEB)))
WELL = (
    Condition(type="Synced", status="True", reason=Reason.CONVERGED, message="", since=NOW),
    Condition(type="Ready", status="True", reason=Reason.HEALTHY, message="", since=NOW),
)
CONVERGED = Status(observed_generation=1, converged_generation=1, conditions=WELL)
EAST = replace(snapshot(known(WEB), status=CONVERGED), spec=spec(cluster="east"))


def leading(*, hold: str = "") -> Ledger:
    ledger = Ledger(Limits(), gate=GATE, hold=lambda _: hold)
    ledger.lead(1, 0.0)
    return ledger


def other(number: int, **changes):
    """Another owner of the same cluster."""
    return replace(EAST, owner=Owner("deployment", str(number)), **changes)


def deletes(count: int, cause: Cause = Cause.ORPHAN) -> Plan:
    return Plan(
        now=tuple(
            Delete(ref=Ref("Process", str(number)), unit="web", cause=cause, why="?") for number in range(count)
        )
    )


def update(cause: Cause) -> Plan:
    return Plan(now=(Update(object=object_of(WEB), cause=cause, why="it differs"),))


def concluded(before, status: Status | None, *, is_gone: bool = False) -> Conclusion:
    record = Record(owner=before.owner, epoch=1, status=status, remove_owner=is_gone)
    return Conclusion(record=record, verdict=Done())


# --- leading ----------------------------------------------------------------------------------------------


def test_before_it_leads_it_allows_nothing_that_must_be_allowed():
    rails = Ledger(Limits(), gate=GATE).rails(EAST, SIGHT, 1e9)

    assert (rails.deletes_left, rails.gate) == (0, TURN)


def test_when_it_has_led_for_a_while_it_allows_both():
    rails = leading().rails(EAST, SIGHT, WARM)

    assert (rails.deletes_left, rails.gate) == (3, "")


def test_another_lease_begins_the_while_again_and_the_same_one_does_not():
    ledger = leading()
    ledger.lead(1, WARM)
    same = ledger.rails(EAST, SIGHT, WARM)
    ledger.lead(2, WARM)
    another = ledger.rails(EAST, SIGHT, WARM)

    assert (same.deletes_left, another.deletes_left) == (3, 0)
    assert (same.gate, another.gate) == ("", TURN)


def test_another_lease_of_the_same_process_remembers_its_footprints_as_its_caches_are_the_same():
    ledger = leading()
    ledger.footprints.wrote(OWNER, update(Cause.GENERATION).now[0], 12, 0.0)
    ledger.lead(2, 1.0)

    view = Observed(seen=SIGHT.observed.seen, as_of={"Process": 11})
    assert ledger.footprints.seen(OWNER, view, fresh=False, now=1.0).unseen


# --- the budget -------------------------------------------------------------------------------------------


def test_what_is_planned_is_taken_out_of_the_budget_of_its_cluster_alone():
    ledger = leading()
    ledger.planned(EAST, deletes(2), WARM)

    assert ledger.rails(EAST, SIGHT, WARM).deletes_left == 1
    assert ledger.rails(other(8, spec=spec(cluster="west")), SIGHT, WARM).deletes_left == 3


def test_deletes_that_somebody_asked_for_cost_nothing():
    ledger = leading()
    ledger.planned(EAST, deletes(5, Cause.GENERATION), WARM)

    assert ledger.rails(EAST, SIGHT, WARM).deletes_left == 3


def test_the_budget_grows_with_what_a_cluster_holds_as_far_as_this_daemon_has_seen():
    ledger = leading()
    for number in range(50):
        ledger.rails(other(number), SIGHT, WARM)

    assert ledger.rails(other(0), SIGHT, WARM).deletes_left == 5


def test_a_second_look_at_an_owner_does_not_count_it_twice_and_one_that_is_gone_counts_no_more():
    ledger = leading()
    for number in [*range(50), *range(50)]:
        ledger.rails(other(number), SIGHT, WARM)
    before = ledger.rails(other(0), SIGHT, WARM).deletes_left
    for number in range(10, 50):
        ledger.concluded(other(number), concluded(other(number), None, is_gone=True), WARM)

    assert (before, ledger.rails(other(0), SIGHT, WARM).deletes_left) == (5, 3)


def test_all_orphans_count_together_because_their_cluster_is_known_no_more():
    ledger = leading()
    orphans = [replace(other(number), spec=None) for number in range(2)]
    ledger.planned(orphans[0], deletes(3), WARM)

    assert cluster_of(orphans[0]) == ""
    assert ledger.rails(orphans[1], SIGHT, WARM).deletes_left == 0
    assert ledger.rails(EAST, SIGHT, WARM).deletes_left == 3


# --- the gate ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", list(Cause))
def test_only_a_change_that_nobody_asked_for_enters_the_gate(cause):
    ledger = leading()
    ledger.planned(EAST, update(cause), WARM)

    is_taken = ledger.rails(other(8), SIGHT, WARM).gate == TURN
    assert is_taken is (cause in {Cause.RENDERER, Cause.DEFAULTS})


def test_the_next_goes_when_the_one_before_has_converged_and_is_ready_again():
    ledger = leading()
    ledger.planned(EAST, update(Cause.RENDERER), WARM)
    ledger.concluded(EAST, concluded(EAST, replace(CONVERGED, rolling_since=NOW)), WARM)
    during = ledger.rails(other(8), SIGHT, WARM).gate
    ledger.concluded(EAST, concluded(EAST, CONVERGED), WARM)

    assert (during, ledger.rails(other(8), SIGHT, WARM).gate) == (TURN, "")


def test_one_that_waits_at_the_gate_is_named_when_its_turn_has_come():
    ledger = leading()
    ledger.planned(EAST, update(Cause.RENDERER), WARM)
    [action] = update(Cause.RENDERER).now
    ledger.planned(
        other(8), Plan(later=(Waiting(ref=action.ref, unit=action.unit, action=action, why=TURN),)), WARM
    )
    during = ledger.turns(WARM)
    ledger.concluded(EAST, concluded(EAST, CONVERGED), WARM)

    assert (during, ledger.turns(WARM), ledger.turns(WARM)) == ((), (other(8).owner,), ())


@pytest.mark.parametrize(
    "status",
    [replace(CONVERGED, converged_generation=0), replace(CONVERGED, converged_defaults="others")],
    ids=["a spec that is not there yet", "defaults that are not there yet"],
)
def test_one_that_has_not_converged_keeps_its_place_at_the_gate(status):
    ledger = leading()
    ledger.planned(EAST, update(Cause.RENDERER), WARM)
    ledger.concluded(EAST, concluded(EAST, status), WARM)

    assert not is_converged(EAST, status)
    assert ledger.rails(other(8), SIGHT, WARM).gate == TURN


@pytest.mark.parametrize("number", range(2), ids=["Synced", "Ready"])
def test_one_that_is_not_known_to_be_well_now_keeps_its_place_though_it_converged_once(number):
    ledger = leading()
    ledger.planned(EAST, update(Cause.RENDERER), WARM)
    conditions = tuple(replace(one, status="Unknown") if at == number else one for at, one in enumerate(WELL))
    ledger.concluded(EAST, concluded(EAST, replace(CONVERGED, conditions=conditions)), WARM)

    assert ledger.rails(other(8), SIGHT, WARM).gate == TURN


def test_one_that_waits_is_still_waiting_after_the_pass_that_told_it_to_wait():
    ledger = leading()
    ledger.planned(EAST, update(Cause.RENDERER), WARM)
    [action] = update(Cause.RENDERER).now
    unwell = replace(CONVERGED, conditions=(replace(WELL[0], status="False"), WELL[1]))
    ledger.planned(
        other(8), Plan(later=(Waiting(ref=action.ref, unit=action.unit, action=action, why=TURN),)), WARM
    )
    ledger.concluded(other(8), concluded(other(8), unwell), WARM)
    ledger.concluded(EAST, concluded(EAST, CONVERGED), WARM)

    assert ledger.turns(WARM) == (other(8).owner,)


@pytest.mark.parametrize("elsewhere", [spec(cluster="west"), None], ids=["it moves away", "its row is lost"])
def test_one_that_leaves_its_cluster_in_its_turn_leaves_its_gate(elsewhere):
    ledger = leading()
    ledger.planned(EAST, update(Cause.RENDERER), WARM)
    ledger.rails(replace(EAST, spec=elsewhere), SIGHT, WARM)

    assert ledger.rails(other(8), SIGHT, WARM + GATE.patience_seconds + 1).gate == ""


def test_a_pass_that_writes_no_status_is_judged_by_the_one_that_stands():
    ledger = leading()
    ledger.planned(EAST, update(Cause.RENDERER), WARM)
    ledger.concluded(EAST, concluded(EAST, None), WARM)

    assert ledger.rails(other(8), SIGHT, WARM).gate == ""


def test_one_that_is_deleted_in_its_turn_gives_up_its_place():
    ledger = leading()
    rolling = replace(EAST, status=replace(CONVERGED, rolling_since=NOW))
    ledger.planned(rolling, update(Cause.RENDERER), WARM)
    ledger.concluded(rolling, concluded(rolling, None, is_gone=True), WARM)

    assert ledger.rails(other(8), SIGHT, WARM).gate == ""


def test_whom_another_daemon_let_through_is_known_from_its_status_and_for_how_long():
    ledger = leading()
    since = NOW - timedelta(seconds=GATE.patience_seconds + 1)
    late = replace(EAST, status=replace(CONVERGED, rolling_since=since))
    ledger.rails(late, SIGHT, WARM)

    assert f"{OWNER} was changed and is not Ready again" in ledger.rails(other(8), SIGHT, WARM).gate
    assert ledger.rails(late, SIGHT, WARM).gate == ""


def test_one_cluster_s_rollout_says_nothing_of_another_s():
    ledger = leading()
    ledger.planned(EAST, update(Cause.DEFAULTS), WARM)

    assert ledger.rails(other(8, spec=spec(cluster="west")), SIGHT, WARM).gate == ""


# --- the rest ---------------------------------------------------------------------------------------------


def test_a_hold_is_asked_for_by_cluster():
    ledger = Ledger(Limits(), hold=lambda cluster: f"{cluster} is held" if cluster == "east" else "")
    ledger.lead(1, 0.0)

    assert ledger.rails(EAST, SIGHT, WARM).hold == "east is held"
    assert ledger.rails(other(8, spec=spec(cluster="west")), SIGHT, WARM).hold == ""


def test_unseen_writes_and_fights_become_rails():
    ledger = leading()
    for at in range(3):
        ledger.footprints.wrote(OWNER, update(Cause.DRIFT).now[0], 0, float(at))
    rails = ledger.rails(EAST, replace(SIGHT, unseen={Ref("Process", "web"): "not yet"}), 3.0)

    assert rails.unseen == {Ref("Process", "web"): "not yet"}
    assert set(rails.fights) == {Ref("Process", "web")}


def test_an_owner_that_is_gone_leaves_nothing_behind():
    ledger = leading()
    for at in range(3):
        ledger.footprints.wrote(OWNER, update(Cause.DRIFT).now[0], 0, float(at))
    ledger.concluded(EAST, concluded(EAST, None, is_gone=True), 3.0)

    assert not ledger.rails(EAST, SIGHT, 3.0).fights

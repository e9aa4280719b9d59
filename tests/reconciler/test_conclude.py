"""What a pass concludes: conditions, milestones, inventory, events, and when to look again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from model.names import Ref
from model.objects import Drift, Health, Observed
from model.status import Again, Conclusion, Done, Milestone, Outcome, Reason, Status
from reconciler.backoff import CAP_SECONDS, backoff_seconds
from reconciler.conclude import Finding, conclude

from .sketch import NOW, desired, known, needs, observed, planned, process, seen, snapshot, task

WEB = process("web")
MIGRATE = task("migrate", "schema/2")
APP = process("app", on=needs(migrate="done"))
LATER = NOW + timedelta(seconds=60)


def concluded(want, look, before=None, *, outcomes=None, now=NOW, **circumstances) -> Conclusion:
    before = before or snapshot()
    todo = planned(want, look, before, **circumstances)
    results = tuple(Outcome(ref=one.ref, uid="new") for one in todo.now) if outcomes is None else outcomes
    finding = Finding(before=before, desired=want, observed=look, plan=todo, outcomes=results, epoch=3)
    return conclude(finding, now=now, fraction=0.9)


def after(conclusion: Conclusion, before=None):
    """The snapshot that the next pass would load."""
    record, before = conclusion.record, before or snapshot()
    rows = {row.ref: row for row in (*before.inventory, *record.objects) if row.ref not in record.forget}
    return replace(
        before,
        status=record.status or before.status,
        inventory=tuple(rows.values()),
        milestones=before.milestones | set(record.milestones),
    )


def condition(conclusion: Conclusion, kind):
    return conclusion.record.status.condition(kind)


def test_a_write_that_was_accepted_is_not_yet_synced():
    made = concluded(desired(WEB), observed())

    assert condition(made, "Synced").status == "False"
    assert condition(made, "Synced").reason is Reason.CONVERGING
    assert isinstance(made.verdict, Again)


def test_a_generation_that_went_back_is_not_synced_though_everything_is_as_it_asks():
    first = concluded(desired(WEB), observed(seen(WEB)), snapshot(known(WEB), generation=4))
    older = replace(after(first, snapshot(known(WEB))), generation=1)

    found = concluded(desired(WEB), observed(seen(WEB)), older)

    assert condition(found, "Synced").status == "False"
    assert "armillary.accept(" in condition(found, "Synced").message


def test_synced_and_ready_come_from_an_observation_with_an_empty_plan():
    found = concluded(desired(WEB), observed(seen(WEB)), snapshot(known(WEB)))

    assert condition(found, "Synced").status == "True"
    assert condition(found, "Ready").status == "True"
    assert found.verdict == Done()


def test_a_second_pass_of_a_converged_owner_writes_nothing():
    first = concluded(desired(WEB), observed(seen(WEB)), snapshot(known(WEB)))
    second = concluded(desired(WEB), observed(seen(WEB)), after(first, snapshot(known(WEB))), now=LATER)

    assert second.record.is_empty


def test_a_condition_keeps_its_time_while_its_status_stays():
    first = concluded(desired(WEB, MIGRATE), observed())
    second = concluded(desired(WEB, MIGRATE), observed(seen(WEB)), after(first), now=LATER)

    assert condition(second, "Synced").since == condition(first, "Synced").since == NOW


def test_a_task_seen_done_becomes_a_milestone_and_the_next_pass_is_at_once():
    look = observed(seen(MIGRATE, health=Health.DONE))

    found = concluded(desired(MIGRATE, APP), look)

    assert found.record.milestones == (Milestone(name="migrate", key="schema/2"),)
    assert found.verdict == Again(at=NOW, why="a task was achieved")


def test_a_task_that_ended_well_for_another_digest_achieved_nothing_of_ours():
    look = observed(seen(MIGRATE, health=Health.DONE, digest="old"))

    assert concluded(desired(MIGRATE), look).record.milestones == ()


def test_what_was_accepted_is_in_the_inventory_with_its_needs():
    found = concluded(desired(APP, MIGRATE), observed(), snapshot(done=(("migrate", "schema/2"),)))

    row = next(row for row in found.record.objects if row.unit == "app")
    assert (row.state, row.needs, row.uid) == ("present", needs(migrate="done"), "new")


def test_what_was_intended_and_is_there_becomes_present_even_when_the_daemon_died_in_between():
    intended = replace(known(WEB), state="intended")

    found = concluded(desired(WEB), observed(seen(WEB)), snapshot(intended))

    assert [row.state for row in found.record.objects] == ["present"]


def test_a_deleted_object_is_deleting_until_it_is_not_seen_and_then_forgotten():
    before = snapshot(known(WEB))
    first = concluded(desired(), observed(seen(WEB)), before)
    second = concluded(desired(), observed(), after(first, before))

    assert [row.state for row in first.record.objects] == ["deleting"]
    assert second.record.forget == (Ref("Process", "web"),)


def test_what_cannot_be_seen_is_never_forgotten_and_never_ready():
    blind = Observed(blind={"Process": "connection refused"})

    found = concluded(desired(), blind, snapshot(known(WEB)))
    wanted = concluded(desired(WEB), blind, snapshot(known(WEB)))

    assert found.record.forget == ()
    assert condition(wanted, "Synced").status == "Unknown"
    assert condition(wanted, "Ready").reason is Reason.BLIND


def test_the_owner_is_removed_only_when_nothing_is_left_and_everything_could_be_seen():
    purging = snapshot(known(WEB), stage="purging")

    gone = concluded(desired(), observed(), purging)
    still = concluded(desired(), observed(seen(WEB)), purging)
    unsure = concluded(desired(), Observed(blind={"Process": "?"}), purging)

    assert [one.record.remove_owner for one in (gone, still, unsure)] == [True, False, False]


def test_a_failed_action_is_told_and_tried_again_later_and_later():
    failure = (Outcome(ref=Ref("Process", "web"), error="no space left on the disk"),)

    first = concluded(desired(WEB), observed(), outcomes=failure)
    second = concluded(desired(WEB), observed(), after(first), outcomes=failure)

    assert "no space left" in condition(first, "Synced").message
    assert first.record.events[0].reason == "ActionFailed"
    assert [one.record.status.attempts for one in (first, second)] == [1, 2]
    assert second.verdict.at > first.verdict.at


def test_attempts_are_forgotten_after_a_success_and_with_a_new_generation():
    tired = Status(observed_generation=1, attempts=9, next_attempt_at=LATER)
    failure = (Outcome(ref=Ref("Process", "web"), error="refused"),)

    well = concluded(desired(WEB), observed(seen(WEB)), snapshot(known(WEB), status=tired))
    anew = concluded(desired(WEB), observed(), snapshot(generation=2, status=tired), outcomes=failure)

    assert well.record.status.attempts == 0
    assert anew.record.status.attempts == 1


def test_a_time_in_the_past_never_makes_a_hot_loop():
    old = Status(observed_generation=1, attempts=2, next_attempt_at=NOW - timedelta(hours=1))
    look = Observed(foreign={Ref("Process", "web"): "held by pid 77"})

    found = concluded(desired(WEB), look, snapshot(status=old))

    assert found.verdict == Done()
    assert found.record.status.next_attempt_at is None


def test_a_retry_of_a_failed_task_counts_as_an_attempt():
    look = observed(seen(MIGRATE, health=Health.FAILED, detail="no such table"))

    found = concluded(desired(MIGRATE), look)

    assert found.record.status.attempts == 1
    assert condition(found, "Ready").reason is Reason.NOT_HEALTHY or condition(found, "Ready").status == "False"


def test_repaired_drift_is_recorded_with_its_cause():
    look = observed(seen(WEB, drift=(Drift(what="airflow.cfg was edited"),)))

    found = concluded(desired(WEB), look, snapshot(known(WEB)))

    event = found.record.events[0]
    assert (event.reason, event.cause, event.message) == ("Updated", "drift", "airflow.cfg was edited")


def test_being_held_is_told_once():
    look = Observed(foreign={Ref("Process", "web"): "port 1 is held by pid 77"})

    first = concluded(desired(WEB), look)
    second = concluded(desired(WEB), look, after(first))

    assert [one.reason for one in first.record.events] == ["Held"]
    assert second.record.is_empty


def test_becoming_ready_and_losing_it_are_events():
    first = concluded(desired(WEB), observed(seen(WEB)), snapshot(known(WEB)))
    sick = observed(seen(WEB, health=Health.UNHEALTHY, detail="does not answer"))
    second = concluded(desired(WEB), sick, after(first, snapshot(known(WEB))))

    assert [one.reason for one in first.record.events] == ["Ready"]
    assert [one.reason for one in second.record.events] == ["NotReady"]
    assert "does not answer" in second.record.events[0].message


def test_one_component_scaled_to_nothing_leaves_the_deployment_ready_but_nothing_running_does_not():
    asleep = process("app", replicas=0)
    stopped = seen(asleep, health=Health.STOPPED, running=0)
    webless = process("web", replicas=0)

    part = concluded(desired(WEB, asleep), observed(seen(WEB), stopped), snapshot(known(WEB), known(asleep)))
    whole = concluded(
        desired(webless, asleep),
        observed(seen(webless, health=Health.STOPPED, running=0), stopped),
        snapshot(known(webless), known(asleep)),
    )

    assert condition(part, "Ready").status == "True"
    assert condition(whole, "Ready").reason is Reason.STOPPED


@pytest.mark.parametrize("running", [1, 0], ids=["still draining", "stopped"])
def test_what_we_stopped_counts_as_stopped_until_it_runs_as_it_should(running):
    before = snapshot(known(APP, state="stopped"))
    drained = seen(APP, running=running, drift=(Drift(what="it was stopped"),))

    still = concluded(desired(MIGRATE, APP), observed(drained), before)
    again = concluded(desired(MIGRATE, APP), observed(seen(APP)), before)

    assert [one for one in still.record.objects if one.ref == drained.ref] == []
    assert [one.state for one in again.record.objects if one.ref == drained.ref] == ["present"]


def test_a_paused_owner_says_until_when_and_is_looked_at_then():
    before = snapshot(paused_until=LATER, pause_reason="audit")

    found = concluded(desired(WEB), observed(), before, paused="Paused until later (audit).")

    assert condition(found, "Synced").reason is Reason.PAUSED
    assert found.verdict == Again(at=LATER, why="a time that was set")


@pytest.mark.parametrize("attempts", [1, 2, 5, 9, 30, 10_000])
def test_backoff_grows_is_capped_and_never_a_hot_loop(attempts):
    low, high = backoff_seconds(attempts, 0.0), backoff_seconds(attempts, 0.999)

    assert 0.25 <= low < high <= CAP_SECONDS

"""The facts about now that a plan depends on: who asked, what holds, what may be tried again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.names import Ref
from model.plan import Cause
from model.status import Status
from reconciler.circumstances import Rails, asked, circumstances_of
from reconciler.limits import Limits

from .sketch import NOW, snapshot, spec

CONVERGED = Status(observed_generation=3, converged_generation=3, converged_defaults="d1")
SETTLED = snapshot(generation=3, status=CONVERGED, defaults="d1")
A_MINUTE = timedelta(minutes=1)


def of(before, **rails):
    return circumstances_of(before, Rails(**rails), Limits())


@pytest.mark.parametrize(
    ("before", "cause"),
    [
        (snapshot(), Cause.GENERATION),
        (replace(SETTLED, generation=4), Cause.GENERATION),
        (replace(SETTLED, generation=4, defaults="d2"), Cause.GENERATION),
        (replace(SETTLED, defaults="d2"), Cause.DEFAULTS),
        (SETTLED, Cause.RENDERER),
        (replace(SETTLED, status=replace(CONVERGED, converged_generation=None)), Cause.GENERATION),
        (replace(SETTLED, generation=2), Cause.GENERATION),
    ],
    ids=[
        "never seen before",
        "a newer spec",
        "a newer spec and other defaults",
        "other defaults",
        "nothing but our release can differ",
        "never converged",
        "an older spec than the one that converged",
    ],
)
def test_who_is_behind_a_difference(before, cause):
    assert asked(before) is cause
    assert of(before).asked is cause


def test_an_owner_without_a_row_is_an_orphan_whose_drift_is_nobody_s_to_report():
    here = of(snapshot(spec=None))

    assert here.is_orphan
    assert here.repair_drift


@pytest.mark.parametrize(("policy", "repairs"), [("repair", True), ("report", False)])
def test_the_drift_policy_is_the_spec_s(policy, repairs):
    assert of(snapshot(spec=spec(drift_policy=policy))).repair_drift is repairs


@pytest.mark.parametrize(
    ("at", "may"), [(None, True), (NOW - A_MINUTE, True), (NOW, True), (NOW + A_MINUTE, False)]
)
def test_what_failed_may_be_tried_again_when_its_time_has_come_by_the_database_s_clock(at, may):
    assert of(snapshot(status=Status(observed_generation=1, next_attempt_at=at))).may_retry is may


def test_a_pause_says_until_when_and_why():
    here = of(snapshot(paused_until=NOW, pause_reason="audit"))

    assert here.paused == "Paused until 2026-11-22T12:00:00+00:00 (audit)."


def test_a_hold_of_the_whole_cluster_explains_more_than_a_pause_of_one_owner():
    assert of(snapshot(paused_until=NOW, pause_reason="audit"), hold="The database is behind.").paused == (
        "The database is behind."
    )


def test_a_generation_that_went_back_holds_everything_and_says_how_to_accept_it():
    here = of(replace(SETTLED, generation=2))

    assert "from generation 3 to 2" in here.paused
    assert "armillary.accept('<workspace>/<deployment>')" in here.paused


def test_a_generation_that_is_the_same_or_newer_holds_nothing():
    assert of(SETTLED).paused == of(replace(SETTLED, generation=4)).paused == ""


def test_an_approved_rollout_passes_the_gate_and_another_approval_does_not():
    def gate(*approvals: str) -> str:
        return of(replace(SETTLED, approvals=frozenset(approvals)), gate="waits for its turn").gate

    assert gate("rollout") == ""
    assert gate() == gate("deletes", "data") == "waits for its turn"


@given(
    left=st.integers(0, 9),
    approvals=st.sets(st.sampled_from(["deletes", "data", "rollout"])).map(frozenset),
    stage=st.sampled_from(["active", "stopping", "retaining", "purging"]),
)
def test_what_this_daemon_and_the_snapshot_know_is_taken_over_as_it_is(left, approvals, stage):
    ref = Ref("Process", "web")
    before = snapshot(approvals=approvals, stage=stage)
    here = of(before, unseen={ref: "unseen"}, fights={ref: "a fight"}, deletes_left=left)

    assert (here.unseen, here.fights, here.deletes_left) == ({ref: "unseen"}, {ref: "a fight"}, left)
    assert (here.approved, here.stage) == (approvals, stage)

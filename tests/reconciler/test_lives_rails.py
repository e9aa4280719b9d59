"""What is not done, and why: adoption, orphans, pauses, holds, drift, blindness, what nobody asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from model.names import Ref
from model.objects import Drift
from model.spec import Approval
from reconciler.circumstances import Rails

from .lives import Life, grown, live, new, tale
from .sketch import NOW, spec

BORN = grown(spec())
HALFWAY = live(new(spec()), passes=3).end
MIGRATING = live(BORN.change(airflow_version="3.4.0"), passes=3).end
ORPHAN = BORN.with_(spec=None)
DATA = {"database", "environment", "logs"}
PROCESSES = {"api-server", "scheduler", "dag-processor", "triggerer"}
UNTIL = NOW + timedelta(hours=1)
CLOSED = Rails(gate="waits for its turn")


def edited(life: Life, *names: str) -> Life:
    """Somebody changed these objects behind our back."""
    drift = (Drift(what="was edited", by="vi"),)
    return life.behaving(
        there={
            ref: replace(one, drift=drift if ref.name in names else one.drift) for ref, one in life.there.items()
        }
    )


def of_an_older_release(life: Life) -> Life:
    """As it would be had an earlier release of ours rendered its processes."""
    rows = (replace(row, digest="old") if row.ref.kind == "Process" else row for row in life.before.inventory)
    there = {ref: replace(one, digest="old") if ref.kind == "Process" else one for ref, one in life.there.items()}
    return life.behaving(there=there).with_(inventory=tuple(rows))


def paused(life: Life) -> Life:
    return life.with_(paused_until=UNTIL, pause_reason="audit")


def approved(life: Life, *approvals: Approval) -> Life:
    return life.with_(approvals=frozenset(approvals))


OLD = of_an_older_release(BORN)
REPORTING = live(BORN.change(drift_policy="report")).end
LEFT_BY_THE_BUDGET = live(ORPHAN.behaving(rails=Rails(deletes_left=3))).end

STORIES = (
    (
        "an orphan loses as much as the budget allows, and never its data",
        ORPHAN.behaving(rails=Rails(deletes_left=3)),
        """
        1   Delete api-server, dag-processor, scheduler [orphan]
            later Delete login, settings, migrate, home
            held triggerer
            kept database, environment, logs
        2   later Delete login, settings, migrate, home
            held triggerer
            kept database, environment, logs
        """,
    ),
    (
        "an orphan without a budget, as after a restart, loses nothing",
        ORPHAN,
        """
        1   later Delete login, settings, migrate, home
            held api-server, dag-processor, scheduler, triggerer
            kept database, environment, logs
        """,
    ),
    (
        "an orphan whose deletes a person approved loses all but its data",
        approved(LEFT_BY_THE_BUDGET, "deletes"),
        """
        1   Delete triggerer [orphan]
            later Delete login, settings, migrate, home
            kept database, environment, logs
        2   Delete migrate [orphan]
            later Delete login, settings, home
            kept database, environment, logs
        3   Delete login, settings, home [orphan]
            kept database, environment, logs
        4   kept database, environment, logs
        """,
    ),
    (
        "an orphan whose data a person gave up as well is gone",
        approved(ORPHAN, "deletes", "data"),
        """
        1   Delete api-server, dag-processor, scheduler, triggerer [orphan]
            later Delete login, database, environment, settings, migrate, home, logs
        2   Delete migrate [orphan]
            later Delete login, database, environment, settings, home, logs
        3   Delete login, database, settings, home, logs [orphan]
            later Delete environment
        4   Delete environment [orphan]
        """,
    ),
    (
        "a pause in the middle of a creation lets the task that runs come to its end",
        paused(HALFWAY),
        """
        1-2 under way migrate
            later Create api-server, scheduler, dag-processor, triggerer
        3   held api-server, scheduler, dag-processor, triggerer
        """,
    ),
    (
        "the end of a pause",
        live(paused(HALFWAY)).end.with_(paused_until=None),
        """
        1   Create api-server, scheduler, dag-processor, triggerer [generation]
        """,
    ),
    (
        "a pause in the middle of an upgrade leaves stopped what is stopped",
        paused(MIGRATING),
        """
        1-2 under way migrate
            later Update api-server, scheduler, dag-processor, triggerer
        3   held api-server, scheduler, dag-processor, triggerer
        """,
    ),
    (
        "the end of a pause in the middle of an upgrade",
        live(paused(MIGRATING)).end.with_(paused_until=None),
        """
        1   Update api-server, scheduler, dag-processor, triggerer [generation]
        """,
    ),
    (
        "drift is repaired",
        edited(BORN, "settings", "scheduler"),
        """
        1   Update settings, scheduler [drift]
        """,
    ),
    (
        "drift is reported where the policy says so",
        edited(REPORTING, "settings", "scheduler"),
        """
        1   held settings, scheduler
        """,
    ),
    (
        "drift that was reported is repaired when the policy changes",
        live(edited(REPORTING, "settings", "scheduler")).end.change(drift_policy="repair"),
        """
        1   Update settings, scheduler [drift]
        """,
    ),
    (
        "processes that cannot be seen are not made, and the rest goes on as far as it may",
        new(spec()).behaving(blind={"Process": "403"}),
        """
        1   Create environment, database [generation]
            later Create settings, login, home, logs, migrate
            held api-server, scheduler, dag-processor, triggerer
        2   Create settings, login, home, logs [generation]
            later Create migrate
            held api-server, scheduler, dag-processor, triggerer
        3   later Create migrate
            held api-server, scheduler, dag-processor, triggerer
        """,
    ),
    (
        "an upgrade does not migrate while nobody can see what runs",
        live(BORN.change(airflow_version="3.4.0"), passes=1).end.behaving(blind={"Process": "403"}),
        """
        1   later Replace migrate
            held api-server, scheduler, dag-processor, triggerer
        """,
    ),
    (
        "a new release of ours waits behind a closed gate",
        OLD.behaving(rails=CLOSED),
        """
        1   later Update api-server, scheduler, dag-processor, triggerer
        """,
    ),
    (
        "a new release of ours passes an open gate",
        live(OLD.behaving(rails=CLOSED)).end.behaving(rails=Rails()),
        """
        1   Update api-server, scheduler, dag-processor, triggerer [renderer]
        """,
    ),
    (
        "a new release of ours that a person let through a closed gate",
        approved(OLD.behaving(rails=CLOSED), "rollout"),
        """
        1   Update api-server, scheduler, dag-processor, triggerer [renderer]
        """,
    ),
    (
        "other defaults wait behind a closed gate",
        OLD.with_(defaults="others").behaving(rails=CLOSED),
        """
        1   later Update api-server, scheduler, dag-processor, triggerer
        """,
    ),
    (
        "other defaults pass an open gate",
        OLD.with_(defaults="others"),
        """
        1   Update api-server, scheduler, dag-processor, triggerer [defaults]
        """,
    ),
    (
        "what somebody asks for does not wait at the gate",
        OLD.change(variables={}).behaving(rails=CLOSED),
        """
        1   Update api-server, scheduler, dag-processor, triggerer [generation]
        """,
    ),
    (
        "drift does not wait at the gate",
        edited(OLD, "settings").behaving(rails=CLOSED),
        """
        1   Update settings [drift]
            later Update api-server, scheduler, dag-processor, triggerer
        2   later Update api-server, scheduler, dag-processor, triggerer
        """,
    ),
    (
        "a state database that is behind its cluster changes nothing",
        BORN.change(variables={}).behaving(rails=Rails(hold="The state database is behind the cluster.")),
        """
        1   held api-server, scheduler, dag-processor, triggerer
        """,
    ),
    (
        "a generation that went back changes nothing",
        live(BORN.change(variables={})).end.with_(generation=1, spec=spec()),
        """
        1   held api-server, scheduler, dag-processor, triggerer
        """,
    ),
)


@pytest.mark.parametrize(("start", "plot"), [one[1:] for one in STORIES], ids=[one[0] for one in STORIES])
def test_what_may_be_done_is_done_and_what_may_not_is_told(start, plot):
    assert live(start).plot == tale(plot)


@pytest.mark.parametrize("passes", range(7))
def test_a_blind_kind_in_the_middle_of_a_creation_ends_as_if_nothing_had_been(passes):
    dark = live(live(new(spec()), passes=passes).end.behaving(blind={"Process": "403", "Volume": "403"})).end
    light = live(dark.behaving(blind={})).end

    assert light.holds == BORN.holds
    assert {ref: one.digest for ref, one in light.there.items()} == {
        ref: one.digest for ref, one in BORN.there.items()
    }


@pytest.mark.parametrize("passes", range(1, 7))
def test_while_a_kind_is_blind_nothing_of_it_changes_and_no_row_of_it_is_forgotten(passes):
    middle = live(BORN.change(airflow_version="3.4.0"), passes=passes).end
    dark = live(middle.behaving(blind={"Process": "403"})).end

    for ref, one in middle.there.items():
        assert ref.kind != "Process" or dark.there[ref] == one
    assert {row.ref for row in dark.before.inventory} >= {row.ref for row in middle.before.inventory}


@pytest.mark.parametrize("passes", range(1, 7))
def test_a_pause_at_any_pass_of_an_upgrade_changes_nothing_until_it_ends(passes):
    middle = live(BORN.change(airflow_version="3.4.0"), passes=passes).end
    story = live(paused(middle))
    resumed = live(story.end.with_(paused_until=None)).end

    assert not any(todo.now for todo in story.plans)
    assert story.end.running <= middle.running
    assert resumed.running == PROCESSES
    assert resumed.before.status.condition("Synced").status == "True"


def test_adoption_of_what_is_there_writes_the_inventory_and_nothing_else():
    stranger = new(spec()).behaving(there=BORN.there).with_(milestones=BORN.before.milestones)
    story = live(stranger)

    assert story.plot == ""
    assert story.end.there == BORN.there
    assert set(story.end.before.inventory) == set(BORN.before.inventory)
    assert story.end.before.status.condition("Synced").status == "True"


def test_adoption_with_nothing_known_at_all_stops_nothing_and_learns_what_was_achieved():
    story = live(new(spec()).behaving(there=BORN.there))

    assert not any(todo.now for todo in story.plans)
    assert story.end.there == BORN.there
    assert story.end.before.milestones == BORN.before.milestones


def test_data_that_vanished_unasked_stays_reported_pass_after_pass_and_is_never_made_anew_empty():
    there = {ref: one for ref, one in BORN.there.items() if ref.kind != "Database"}
    life = BORN.behaving(there=there)
    for _ in range(3):
        story = live(life)
        life = story.end

        assert story.plot == tale("1   held database")
        assert life.there == there


def test_what_is_in_no_inventory_and_not_desired_is_left_alone_and_told():
    stray = replace(BORN.there[Ref("Process", "scheduler")], ref=Ref("Process", "stray"))
    story = live(BORN.behaving(there={**BORN.there, stray.ref: stray}))

    assert story.plot == tale("1   held stray")
    assert "stray" in story.end.running


@pytest.mark.parametrize("left", range(12))
def test_an_orphan_never_loses_more_than_its_budget_nor_what_others_need(left):
    story = live(ORPHAN.behaving(rails=Rails(deletes_left=left)))

    assert len(BORN.holds - story.end.holds) == min(left, len(BORN.holds - DATA))
    assert story.end.holds >= DATA


def test_an_orphan_that_gets_its_row_back_is_whole_again_with_the_same_data():
    back = live(LEFT_BY_THE_BUDGET.with_(spec=spec())).end

    assert back.running == PROCESSES
    assert {ref: back.there[ref].uid for ref in BORN.there if ref.name in DATA} == {
        ref: one.uid for ref, one in BORN.there.items() if ref.name in DATA
    }


def test_an_approval_of_the_end_of_data_approves_no_other_deletes():
    story = live(approved(ORPHAN, "data").behaving(rails=Rails(deletes_left=0)))

    assert story.end.holds >= BORN.holds - DATA

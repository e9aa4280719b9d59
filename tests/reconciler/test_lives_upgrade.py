"""Another version of Airflow: what stops, what migrates, what starts again, and what if the migration fails."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from model.names import Ref
from model.objects import Health
from reconciler.backoff import CAP_SECONDS

from .executors import switching
from .lives import grown, live, rendered, tale
from .sketch import spec

BORN = grown(spec())
NEWER = grown(spec(airflow_version="3.4.0"))
UPGRADE = BORN.change(airflow_version="3.4.0")
REPORTING = live(BORN.change(drift_policy="report")).end
BAD = frozenset({"schema/3.4.0"})
FAILED = live(UPGRADE.behaving(bad=BAD), passes=4).end
TIRED = live(UPGRADE.behaving(bad=BAD), passes=19).end
WRITERS = {"scheduler", "dag-processor", "triggerer"}

STOPS_AND_MIGRATES = """
    1   Update environment [generation]
        later Replace migrate
        later Update api-server, scheduler, dag-processor, triggerer
    2   Stop dag-processor, scheduler, triggerer [generation]
        later Replace migrate
        later Update api-server, scheduler, dag-processor, triggerer
    3   Replace migrate [generation]
        later Update api-server, scheduler, dag-processor, triggerer
    4-5 under way migrate
        later Update api-server, scheduler, dag-processor, triggerer
    6   Update api-server, scheduler, dag-processor, triggerer [generation]
    so: Converged, Healthy
    """

GOES_BACK = """
    1   Update environment [generation]
        under way migrate
        later Update scheduler, dag-processor, triggerer
    2   Replace migrate [generation]
        later Update scheduler, dag-processor, triggerer
    3-4 under way migrate
        later Update scheduler, dag-processor, triggerer
    5   Update scheduler, dag-processor, triggerer [generation]
    so: Converged, Healthy
    """

STORIES = (
    ("upgrade", UPGRADE, STOPS_AND_MIGRATES),
    ("downgrade", NEWER.change(airflow_version="3.3.2"), STOPS_AND_MIGRATES),
    (
        "a patch release stops nothing",
        BORN.change(airflow_version="3.3.3"),
        """
        1   Update environment [generation]
            later Replace migrate
            later Update api-server, scheduler, dag-processor, triggerer
        2   Replace migrate [generation]
            later Update api-server, scheduler, dag-processor, triggerer
        3-4 under way migrate
            later Update api-server, scheduler, dag-processor, triggerer
        5   Update api-server, scheduler, dag-processor, triggerer [generation]
        so: Converged, Healthy
        """,
    ),
    (
        "an upgrade while it sleeps migrates, and starts nothing",
        live(BORN.change(hibernated=True)).end.change(airflow_version="3.4.0"),
        """
        1   Update environment, api-server, scheduler, dag-processor, triggerer [generation]
            later Replace migrate
        2   Replace migrate [generation]
        3   under way migrate
        so: Converged, Stopped
        """,
    ),
    (
        "an upgrade with workers stops them too",
        grown(spec(executor="CeleryExecutor"), wants=switching).change(airflow_version="3.4.0"),
        """
        1   Stop dag-processor, scheduler, triggerer, worker [generation]
            later Replace migrate
            later Update scheduler, dag-processor, triggerer, api-server, worker
        2   Replace migrate [generation]
            later Update scheduler, dag-processor, triggerer, api-server, worker
        3-4 under way migrate
            later Update scheduler, dag-processor, triggerer, api-server, worker
        5   Update scheduler, dag-processor, triggerer, api-server, worker [generation]
        so: Converged, Healthy
        """,
    ),
    (
        "a failed migration whose cause went away is tried again",
        FAILED.behaving(bad=frozenset()),
        """
        1   Replace migrate [retry]
            later Update api-server, scheduler, dag-processor, triggerer
        2-3 under way migrate
            later Update api-server, scheduler, dag-processor, triggerer
        4   Update api-server, scheduler, dag-processor, triggerer [generation]
        so: Converged, Healthy
        """,
    ),
    (
        "a failed migration that is corrected by a newer version starts at once",
        TIRED.change(airflow_version="3.4.1"),
        """
        1   Update environment [generation]
            under way migrate
            later Update api-server, scheduler, dag-processor, triggerer
        2   Replace migrate [generation]
            later Update api-server, scheduler, dag-processor, triggerer
        3-4 under way migrate
            later Update api-server, scheduler, dag-processor, triggerer
        5   Update api-server, scheduler, dag-processor, triggerer [generation]
        so: Converged, Healthy
        """,
    ),
    (
        "going back before the migration began starts what was stopped, and migrates nothing",
        live(UPGRADE, passes=2).end.change(airflow_version="3.3.2"),
        """
        1   Update environment [generation]
            later Update scheduler, dag-processor, triggerer
        2   Update scheduler, dag-processor, triggerer [generation]
        so: Converged, Healthy
        """,
    ),
    (
        "going back while the migration runs waits for its end and migrates back before anything starts",
        live(UPGRADE, passes=3).end.change(airflow_version="3.3.2"),
        GOES_BACK,
    ),
    (
        "going back after the migration failed migrates back too: nobody knows how far it came",
        FAILED.change(airflow_version="3.3.2"),
        GOES_BACK.replace("under way migrate", "later Replace migrate", 1),
    ),
    (
        "going back although drift is only reported starts what we stopped ourselves",
        live(REPORTING.change(airflow_version="3.4.0"), passes=2).end.change(airflow_version="3.3.2"),
        """
        1   Update environment [generation]
            later Update scheduler, dag-processor, triggerer
        2   Update scheduler, dag-processor, triggerer [generation]
        so: Converged, Healthy
        """,
    ),
)


@pytest.mark.parametrize(("start", "story"), [one[1:] for one in STORIES], ids=[one[0] for one in STORIES])
def test_another_version_comes_pass_by_pass(start, story):
    assert live(start).text == tale(story)


def test_a_migration_that_goes_on_failing_is_tried_again_later_and_later():
    story = live(UPGRADE.behaving(bad=BAD), passes=40)
    retried = [
        life.before.now
        for life, todo in zip(story.lives, story.plans, strict=False)
        if any(one.cause == "retry" for one in todo.now)
    ]
    gaps = [(then - when).total_seconds() for when, then in pairwise(retried)]

    assert len(retried) > 8
    assert gaps[:2] == [10.0, 10.0]  # the two passes that a task takes here are longer than the first pauses
    assert max(gaps) <= CAP_SECONDS
    assert gaps[-1] > 4 * gaps[0]


def test_a_hint_in_the_pause_after_a_failure_does_not_shorten_it():
    story = live(UPGRADE.behaving(bad=BAD), passes=40)
    failed = (life for life in reversed(story.lives) if life.there[Ref("Task", "migrate")].health is Health.FAILED)
    tired = next(failed)
    early = tired.before.status.next_attempt_at - timedelta(seconds=1)
    todo = live(tired.with_(now=early), passes=1).plans[0]

    assert not todo.now
    assert [one.unit for one in todo.held] == ["migrate"]
    assert "failed: schema/3.4.0; it is tried again after a pause" in todo.held[0].why


def test_a_failed_migration_keeps_what_would_write_stopped_and_what_only_answers_running():
    for life in live(UPGRADE.behaving(bad=BAD), passes=30).lives[3:]:
        assert not WRITERS & life.running
        assert "api-server" in life.running


def test_no_process_of_either_version_that_writes_runs_while_the_schema_is_changed():
    for start in (UPGRADE, NEWER.change(airflow_version="3.3.2")):
        for life in live(start).lives:
            if "migrate" in life.running:
                assert not WRITERS & life.running


def test_a_downgrade_is_done_by_the_newer_image_and_the_milestone_tells_where_the_schema_is():
    story = live(NEWER.change(airflow_version="3.3.2"))
    migrate = next(one for one in rendered(story.lives[2].before).units if one.name == "migrate")

    assert (migrate.image, migrate.command[2]) == ("airflow:3.4.0", "downgrade")
    assert [one.key for one in story.end.before.milestones] == ["schema/3.3.2"]


def test_the_new_processes_start_only_after_the_schema_is_theirs():
    for start in (UPGRADE, BORN.change(airflow_version="3.3.3"), NEWER.change(airflow_version="3.3.2")):
        story = live(start)
        wanted = start.before.spec.airflow_version
        for life, todo in zip(story.lives, story.plans, strict=False):
            updated = {one.ref for one in todo.now if one.ref.kind == "Process" and type(one).__name__ == "Update"}
            if Ref("Process", "scheduler") in updated:
                assert f"schema/{wanted}" in {one.key for one in life.before.milestones}


def versions(schema: str, told: tuple[str, ...]) -> str:
    """Where a schema is after one migration command: the deployment's own, or what a downgrade names."""
    return told[told.index("--to-version") + 1] if "downgrade" in told else schema


@pytest.mark.parametrize("bad", [frozenset(), BAD], ids=["it works", "it fails"])
@pytest.mark.parametrize("passes", range(8))
def test_whenever_a_person_goes_back_the_schema_ends_where_the_milestone_says(passes, bad):
    """The schema is followed by the tasks that really ran, also by those that nobody wanted any more."""
    middle = live(UPGRADE.behaving(bad=bad), passes=passes)
    story = live(middle.end.change(airflow_version="3.3.2"))
    schema = "3.3.2"
    for life, todo in zip((*middle.lives, *story.lives), (*middle.plans, *story.plans), strict=False):
        for one in todo.now:
            if one.unit == "migrate":
                schema = versions(life.before.spec.airflow_version, one.object.body.command)

    assert schema == "3.3.2"
    assert [(one.key, one.begun) for one in story.end.before.milestones] == [("schema/3.3.2", ())]
    assert story.end.running == BORN.running
    assert story.end.before.status.condition("Synced").status == "True"


@pytest.mark.parametrize("start", [live(UPGRADE, passes=3).end, FAILED], ids=["running", "failed"])
def test_a_migration_that_was_only_begun_is_gone_back_from_with_its_own_image(start):
    back = start.change(airflow_version="3.3.2")
    tasks = [one.object.body for todo in live(back).plans for one in todo.now if one.unit == "migrate"]

    assert [(one.image, one.command[2]) for one in tasks] == [("airflow:3.4.0", "downgrade")]


def test_a_deletion_in_the_middle_of_a_migration_touches_no_writer_before_it_has_ended():
    first = live(live(UPGRADE, passes=3).end.ask(stage="stopping")).plans[0]

    assert {one.unit for one in first.now} == {"api-server"}
    assert {one.unit for one in first.later} == {*WRITERS, "migrate"}


@pytest.mark.parametrize("then", ["3.3.2", "3.3.3", "3.5.0"])
@pytest.mark.parametrize("passes", range(8))
def test_whatever_is_asked_in_the_middle_no_writer_runs_beside_a_migration(passes, then):
    story = live(live(UPGRADE, passes=passes).end.change(airflow_version=then))

    for life in story.lives:
        migrating = life.there.get(Ref("Task", "migrate"))
        if migrating is not None and migrating.running and migrating.detail != "schema/3.3.3":
            assert not WRITERS & life.running
    assert {one.key for one in story.end.before.milestones} == {f"schema/{then}"}


@pytest.mark.parametrize("passes", range(8))
def test_an_undelete_after_a_migration_that_was_cut_off_ends_at_the_version_that_is_asked_for(passes):
    middle = live(live(UPGRADE, passes=passes).end.ask(stage="stopping")).end
    story = live(middle.ask(stage="active").change(airflow_version="3.3.2"))

    assert {(one.key, one.begun) for one in story.end.before.milestones} == {("schema/3.3.2", ())}
    assert story.end.running == BORN.running

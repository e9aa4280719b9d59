"""Deletion at every point of a life, and undeletion at every stage that leaves something to come back to."""

from __future__ import annotations

import pytest

from model.plan import Create, Delete

from .executors import switching
from .lives import Life, Story, grown, live, new, tale
from .sketch import spec

BORN = grown(spec())
DATA = {"database", "environment", "logs"}
PROCESSES = {"api-server", "scheduler", "dag-processor", "triggerer"}

DELETED = (
    (
        "stopping",
        """
        1   Update api-server, scheduler, dag-processor, triggerer [generation]
            later Delete migrate
        2   Delete migrate [generation]
        """,
    ),
    (
        "retaining",
        """
        1   Delete login, api-server, dag-processor, scheduler, triggerer, settings, home [generation]
        """,
    ),
    (
        "purging",
        """
        1   Delete database, logs [generation]
            later Delete environment
        2   Delete environment [generation]
        """,
    ),
)


def to(stage: str, life: Life) -> Life:
    """Deletion is a wish, with a generation; its later stages come by themselves."""
    return life.ask(stage=stage) if stage == "stopping" else life.with_(stage=stage)


def through(stages: tuple[str, ...], life: Life) -> Life:
    for stage in stages:
        life = live(to(stage, life)).end
    return life


def points() -> list[tuple[str, Life]]:
    """Every pass of a creation, of an upgrade, of a hibernation's end, and of a switch to workers."""
    starts = {
        "create": new(spec()),
        "upgrade": BORN.change(airflow_version="3.4.0"),
        "wake": live(BORN.change(hibernated=True)).end.change(hibernated=False),
        "failed": BORN.change(airflow_version="3.4.0").behaving(bad=frozenset({"schema/3.4.0"})),
        "workers": grown(spec(), wants=switching).change(executor="CeleryExecutor"),
    }
    return [
        (f"{name} pass {number}", life)
        for name, start in starts.items()
        for number, life in enumerate(live(start, passes=12).lives)
    ]


POINTS = points()
at_every_point = pytest.mark.parametrize("life", [one[1] for one in POINTS], ids=[one[0] for one in POINTS])


def kinds(story: Story) -> set[str]:
    return {one.ref.kind for todo in story.plans for one in todo.now if isinstance(one, Delete)}


def test_a_deletion_stops_then_removes_and_then_removes_the_data_too():
    life = BORN
    for stage, story in DELETED:
        told = live(to(stage, life))

        assert told.plot == tale(story)
        life = told.end


@at_every_point
def test_stopping_leaves_nothing_running_and_everything_there(life):
    story = live(to("stopping", life))

    assert story.end.running == frozenset()
    assert kinds(story) <= {"Task"}
    assert life.holds - {"migrate"} <= story.end.holds
    assert story.end.before.status.condition("Ready").status == "False"


@at_every_point
def test_stopping_starts_nothing_not_even_for_one_pass(life):
    story = live(to("stopping", life))

    for was, now in zip(story.lives, story.lives[1:], strict=False):
        assert now.running <= was.running


@at_every_point
def test_no_stage_of_a_deletion_makes_what_was_not_made_yet(life):
    stages = ("stopping", "retaining", "purging")
    plans = [
        todo for number in range(3) for todo in live(to(stages[number], through(stages[:number], life))).plans
    ]

    assert not any(isinstance(one, Create) for todo in plans for one in todo.now)


@at_every_point
def test_retaining_keeps_the_data_and_nothing_else(life):
    end = through(("stopping", "retaining"), life)

    assert end.holds == life.holds & DATA
    assert {row.ref for row in end.before.inventory} == set(end.there)


@at_every_point
def test_purging_ends_with_nothing_anywhere(life):
    end = through(("stopping", "retaining", "purging"), life)

    assert end.is_gone
    assert end.holds == frozenset()
    assert end.before.inventory == ()


@at_every_point
def test_a_deletion_whose_stages_nobody_saw_purges_all_the_same(life):
    """The daemon was away for all of the grace and the retention."""
    end = live(life.ask(stage="purging")).end

    assert end.is_gone
    assert end.holds == frozenset()


@pytest.mark.parametrize("stages", [("stopping",), ("stopping", "retaining"), ("retaining",)], ids="+".join)
@at_every_point
def test_undelete_brings_everything_back_with_the_same_data(life, stages):
    gone = through(stages, life).behaving(bad=frozenset())
    back = live(gone.ask(stage="active")).end

    assert back.before.status.condition("Synced").status == "True"
    assert back.running >= PROCESSES
    for ref, one in gone.there.items():
        if ref.name in DATA:
            assert back.there[ref].uid == one.uid


@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("stage", ["stopping", "retaining"])
def test_undelete_in_the_middle_of_a_stage_brings_everything_back(stage, passes):
    stages = ("stopping",) if stage == "retaining" else ()
    middle = live(to(stage, through(stages, BORN)), passes=passes).end
    back = live(middle.ask(stage="active")).end

    assert back.running == PROCESSES
    assert back.before.status.condition("Ready").status == "True"


def test_undelete_migrates_nothing_that_was_migrated():
    for stages in (("stopping",), ("stopping", "retaining")):
        story = live(through(stages, BORN).ask(stage="active"))

        assert "migrate" not in {one.unit for todo in story.plans for one in todo.now}


def test_a_deletion_waits_for_a_kind_that_cannot_be_seen_and_then_ends():
    retained = through(("stopping", "retaining"), BORN)
    blind = to("purging", retained).behaving(blind={"Database": "connection refused"})
    waits = live(blind).end

    assert not waits.is_gone
    assert "database" in waits.holds
    assert live(waits.behaving(blind={})).end.is_gone


def test_a_process_that_drains_keeps_what_it_needs_until_it_is_gone():
    life = grown(spec(executor="CeleryExecutor"), wants=switching).behaving(draining=frozenset({"worker"}))
    waits = live(life.ask(stage="purging"), passes=10).end

    assert {"worker", "redis", "database"} <= waits.holds
    assert live(waits.behaving(draining=frozenset())).end.is_gone

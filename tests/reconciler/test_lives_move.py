"""Another cluster: made in the new place, gone from the old one when its replacement is ready, its data kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model.objects import Drift, Health
from model.plan import Delete

from .lives import Story, grown, live, tale
from .sketch import spec

EAST = grown(spec(cluster="east"))
MOVE = EAST.change(cluster="west")
MOVE_AND_UPGRADE = EAST.change(cluster="west", airflow_version="3.4.0")
MOVED = live(MOVE).end
PROCESSES = ("api-server", "scheduler", "dag-processor", "triggerer")
WRITERS = ("scheduler", "dag-processor", "triggerer")
KEPT = {"east/environment", "east/logs"}


def placed(cluster: str, names=PROCESSES) -> set[str]:
    return {f"{cluster}/{name}" for name in names}


def deleted(story: Story) -> list[set[str]]:
    """What was deleted in each pass, by kind and name."""
    return [{str(one.ref) for one in todo.now if isinstance(one, Delete)} for todo in story.plans]


STORIES = (
    (
        "a move",
        MOVE,
        """
        1   Create west/environment [generation]
            later Create west/settings, west/login, west/home, west/logs, west/api-server, west/scheduler,
              west/dag-processor, west/triggerer
            later Delete east/login, east/api-server, east/dag-processor, east/scheduler, east/triggerer,
              east/settings, east/migrate, east/home
            kept east/environment, east/logs
        2   Create west/settings, west/login, west/home, west/logs [generation]
            later Create west/api-server, west/scheduler, west/dag-processor, west/triggerer
            later Delete east/login, east/api-server, east/dag-processor, east/scheduler, east/triggerer,
              east/settings, east/migrate, east/home
            kept east/environment, east/logs
        3   Create west/api-server, west/scheduler, west/dag-processor, west/triggerer [generation]
            later Delete east/login, east/api-server, east/dag-processor, east/scheduler, east/triggerer,
              east/settings, east/migrate, east/home
            kept east/environment, east/logs
        4   Delete east/api-server, east/dag-processor, east/scheduler, east/triggerer [generation]
            later Delete east/login, east/settings, east/migrate, east/home
            kept east/environment, east/logs
        5   Delete east/migrate [generation]
            later Delete east/login, east/settings, east/home
            kept east/environment, east/logs
        6   Delete east/login, east/settings, east/home [generation]
            kept east/environment, east/logs
        7   kept east/environment, east/logs
        so: Converged, Healthy
        """,
    ),
    (
        "a move together with an upgrade",
        MOVE_AND_UPGRADE,
        """
        1   Create west/environment [generation]
            later Create west/settings, west/login, west/home, west/logs, west/migrate, west/api-server,
              west/scheduler, west/dag-processor, west/triggerer
            later Delete east/login, east/api-server, east/dag-processor, east/scheduler, east/triggerer,
              east/settings, east/migrate, east/home
            kept east/environment, east/logs
        2   Create west/settings, west/login, west/home, west/logs [generation]
            later Create west/migrate, west/api-server, west/scheduler, west/dag-processor, west/triggerer
            later Delete east/login, east/api-server, east/dag-processor, east/scheduler, east/triggerer,
              east/settings, east/migrate, east/home
            kept east/environment, east/logs
        3   Stop east/dag-processor, east/scheduler, east/triggerer [generation]
            later Create west/migrate, west/api-server, west/scheduler, west/dag-processor, west/triggerer
            later Delete east/login, east/api-server, east/settings, east/migrate, east/home
            kept east/environment, east/logs
        4   Create west/migrate [generation]
            later Create west/api-server, west/scheduler, west/dag-processor, west/triggerer
            later Delete east/login, east/api-server, east/dag-processor, east/scheduler, east/triggerer,
              east/settings, east/migrate, east/home
            kept east/environment, east/logs
        5-6 under way west/migrate
            later Create west/api-server, west/scheduler, west/dag-processor, west/triggerer
            later Delete east/login, east/api-server, east/dag-processor, east/scheduler, east/triggerer,
              east/settings, east/migrate, east/home
            kept east/environment, east/logs
        7   Create west/api-server, west/scheduler, west/dag-processor, west/triggerer [generation]
            later Delete east/login, east/api-server, east/dag-processor, east/scheduler, east/triggerer,
              east/settings, east/migrate, east/home
            kept east/environment, east/logs
        8   Delete east/api-server, east/dag-processor, east/scheduler, east/triggerer [generation]
            later Delete east/login, east/settings, east/migrate, east/home
            kept east/environment, east/logs
        9   Delete east/migrate [generation]
            later Delete east/login, east/settings, east/home
            kept east/environment, east/logs
        10  Delete east/login, east/settings, east/home [generation]
            kept east/environment, east/logs
        11  kept east/environment, east/logs
        so: Converged, Healthy
        """,
    ),
)


@pytest.mark.parametrize(("start", "story"), [one[1:] for one in STORIES], ids=[one[0] for one in STORIES])
def test_another_cluster_comes_pass_by_pass(start, story):
    assert live(start).text == tale(story)


def test_everything_that_can_be_made_anew_is_in_the_new_place_and_runs_there_alone():
    assert MOVED.running == placed("west")
    assert {one for one in MOVED.holds if one.startswith("east/")} == KEPT


def test_what_runs_in_the_old_place_goes_only_after_its_replacement_is_ready():
    for start in (MOVE, MOVE_AND_UPGRADE):
        story = live(start)
        for life, gone in zip(story.lives, deleted(story), strict=False):
            for name in PROCESSES:
                assert f"east/Process/{name}" not in gone or f"west/{name}" in life.running


def test_a_move_alone_migrates_nothing_and_stops_nothing_before_there_is_something_else():
    story = live(MOVE)

    assert not any(one.ref.kind == "west/Task" for todo in story.plans for one in todo.now)
    for life in story.lives:
        assert placed("east") <= life.running or placed("west") <= life.running


def test_a_move_with_an_upgrade_stops_what_writes_in_the_old_place_before_it_migrates_in_the_new_one():
    story = live(MOVE_AND_UPGRADE)
    migrating = [life for life in story.lives if "west/migrate" in life.running]

    assert migrating
    for life in migrating:
        assert (placed("east", WRITERS) | placed("west", WRITERS)).isdisjoint(life.running)
    assert story.end.running == placed("west")


def test_the_database_serves_both_places_and_is_never_touched():
    for start in (MOVE, MOVE_AND_UPGRADE):
        assert not any(one.ref.kind == "Database" for todo in live(start).plans for one in todo.now)


def test_the_data_in_the_old_place_is_kept_and_says_how_to_be_rid_of_it():
    last = live(MOVE).plans[-1]

    assert {str(one.ref) for one in last.kept} == {"east/Environment/environment", "east/Volume/logs"}
    assert all("approve('<workspace>/<deployment>', 'data')" in one.why for one in last.kept)


def test_approved_data_goes_from_the_old_place_and_nothing_else_does():
    story = live(MOVED.with_(approvals=frozenset({"data", "deletes"})))

    assert deleted(story)[:2] == [{"east/Volume/logs"}, {"east/Environment/environment"}]
    assert story.end.holds == MOVED.holds - KEPT
    assert story.end.before.status.condition("Ready").status == "True"


@pytest.mark.parametrize("pass_number", range(5))
def test_going_back_in_the_middle_of_a_move_ends_where_it_began_with_the_same_data(pass_number):
    back = live(live(MOVE, passes=pass_number).end.change(cluster="east")).end

    assert back.running == placed("east")
    for ref, one in EAST.there.items():
        if ref.kind in ("Database", "east/Environment") or ref.name == "logs":
            assert back.there[ref].uid == one.uid


def test_while_the_new_place_cannot_be_seen_the_old_one_runs_on():
    blind = dict.fromkeys(("west/Process", "west/Environment", "west/Volume"), "connection refused")
    end = live(MOVE.behaving(blind=blind)).end

    assert end.running == placed("east")
    assert placed("east") <= end.holds


def test_what_was_killed_takes_nothing_s_place_where_drift_is_only_reported():
    story = live(MOVE.change(drift_policy="report"), passes=3)
    made = story.end
    killed = {
        ref: replace(one, health=Health.UNHEALTHY, running=0, drift=(Drift(what="was killed", by="somebody"),))
        for ref, one in made.there.items()
        if ref.kind == "west/Process" and ref.name == "triggerer"
    }
    end = live(made.behaving(there={**made.there, **killed})).end

    assert len(killed) == 1
    assert "east/triggerer" in end.running
    assert placed("east", set(PROCESSES) - {"triggerer"}).isdisjoint(end.running)


def test_a_deletion_in_the_middle_of_a_move_leaves_nothing_waiting_for_what_is_not_made_any_more():
    begun = live(MOVE, passes=1).end
    assert "west/settings" not in begun.holds

    end = live(begun.with_(stage="stopping")).end

    assert not end.running
    assert "east/settings" not in end.holds
    assert end.before.status.condition("Synced").status == "True"


def test_while_the_old_place_cannot_be_seen_nothing_there_is_forgotten_and_no_upgrade_migrates():
    blind = {ref.kind: "connection refused" for ref in EAST.there if ref.kind.startswith("east/")}
    end = live(MOVE_AND_UPGRADE.behaving(blind=blind)).end

    assert {row.ref for row in end.before.inventory} >= set(EAST.there)
    assert "west/migrate" not in end.holds

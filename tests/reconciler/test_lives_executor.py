"""Another executor: over every ordered pair, the scheduler changes first and the broker goes last."""

from __future__ import annotations

from itertools import permutations

import pytest

from model.names import Ref
from model.plan import Delete

from .executors import EXECUTORS, switching
from .lives import Life, grown, live, tale
from .sketch import spec

BORN = {one: grown(spec(executor=one), wants=switching) for one in EXECUTORS}
PAIRS = tuple(permutations(EXECUTORS, 2))
LOCAL, CELERY, KUBERNETES = EXECUTORS

STORIES = {
    (LOCAL, CELERY): """
        1   Create redis [generation]
            Update dag-processor, triggerer, api-server [generation]
            later Update scheduler
            later Create worker, flower
        2   Update scheduler [generation]
            Create worker, flower [generation]
        so: Converged, Healthy
        """,
    (LOCAL, KUBERNETES): """
        1   Create identity [generation]
            Update dag-processor, triggerer, api-server [generation]
            later Create pod-template
            later Update scheduler
        2   Create pod-template [generation]
            later Update scheduler
        3   Update scheduler [generation]
        so: Converged, Healthy
        """,
    (CELERY, LOCAL): """
        1   Update scheduler, dag-processor, triggerer, api-server [generation]
            Delete flower, worker [generation]
            later Delete redis
        2   Delete redis [generation]
        so: Converged, Healthy
        """,
    (CELERY, KUBERNETES): """
        1   Create identity [generation]
            Update dag-processor, triggerer, api-server [generation]
            later Create pod-template
            later Update scheduler
            later Delete flower, redis, worker
        2   Create pod-template [generation]
            later Update scheduler
            later Delete flower, redis, worker
        3   Update scheduler [generation]
            Delete flower, worker [generation]
            later Delete redis
        4   Delete redis [generation]
        so: Converged, Healthy
        """,
    (KUBERNETES, LOCAL): """
        1   Update scheduler, dag-processor, triggerer, api-server [generation]
            later Delete identity, pod-template
        2   Delete pod-template [generation]
            later Delete identity
        3   Delete identity [generation]
        so: Converged, Healthy
        """,
    (KUBERNETES, CELERY): """
        1   Create redis [generation]
            Update dag-processor, triggerer, api-server [generation]
            later Update scheduler
            later Create worker, flower
            later Delete identity, pod-template
        2   Update scheduler [generation]
            Create worker, flower [generation]
            later Delete identity, pod-template
        3   Delete pod-template [generation]
            later Delete identity
        4   Delete identity [generation]
        so: Converged, Healthy
        """,
}


def switch(pair: tuple[str, str]) -> Life:
    return BORN[pair[0]].change(executor=pair[1])


@pytest.mark.parametrize("pair", STORIES, ids=" to ".join)
def test_another_executor_comes_pass_by_pass(pair):
    assert live(switch(pair)).text == tale(STORIES[pair])


@pytest.mark.parametrize("pair", PAIRS, ids=" to ".join)
def test_a_switch_ends_with_what_a_new_deployment_of_that_executor_has(pair):
    end, fresh = live(switch(pair)).end, BORN[pair[1]]

    assert {ref: one.digest for ref, one in end.there.items()} == {
        ref: one.digest for ref, one in fresh.there.items()
    }
    assert end.before.status.condition("Ready").status == "True"
    assert end.before.status.condition("Synced").status == "True"


@pytest.mark.parametrize("pair", PAIRS, ids=" to ".join)
def test_a_switch_runs_no_migration_and_touches_no_data(pair):
    plans = live(switch(pair)).plans

    assert {"migrate", "database"}.isdisjoint(one.unit for todo in plans for one in todo.now)


@pytest.mark.parametrize("pair", PAIRS, ids=" to ".join)
def test_the_scheduler_never_knows_an_executor_whose_parts_are_not_there_yet(pair):
    story = live(switch(pair))
    needed = {LOCAL: set(), CELERY: {"redis"}, KUBERNETES: {"identity", "pod-template"}}[pair[1]]

    for life, todo in zip(story.lives, story.plans, strict=False):
        if Ref("Process", "scheduler") in {one.ref for one in todo.now}:
            assert needed <= life.holds


@pytest.mark.parametrize("pair", [one for one in PAIRS if one[0] == CELERY], ids=" to ".join)
def test_redis_goes_after_everything_that_needs_it_and_after_the_scheduler_has_changed(pair):
    story = live(switch(pair))
    at = next(n for n, todo in enumerate(story.plans) if "redis" in {one.unit for one in todo.now})

    assert {"worker", "flower"}.isdisjoint(story.lives[at].holds)
    assert story.lives[at].there[Ref("Process", "scheduler")].digest == (
        BORN[pair[1]].there[Ref("Process", "scheduler")].digest
    )


@pytest.mark.parametrize("pair", PAIRS, ids=" to ".join)
def test_nothing_is_taken_away_before_the_scheduler_has_changed(pair):
    for todo in live(switch(pair)).plans:
        changes = [one.ref for one in (*todo.now, *todo.later) if one.unit == "scheduler"]
        gone = [one for one in todo.now if isinstance(one, Delete)]
        assert not gone or not changes or changes[0] in {one.ref for one in todo.now}


def test_an_upgrade_together_with_a_switch_stops_workers_that_nobody_wants_any_more_before_it_migrates():
    start = BORN[CELERY].change(executor=LOCAL, airflow_version="3.4.0")

    assert live(start).text == tale(
        """
        1   Stop dag-processor, scheduler, triggerer, worker [generation]
            later Replace migrate
            later Update scheduler, dag-processor, triggerer, api-server
            later Delete flower, redis
        2   Replace migrate [generation]
            later Update scheduler, dag-processor, triggerer, api-server
            later Delete flower, redis, worker
        3-4 under way migrate
            later Update scheduler, dag-processor, triggerer, api-server
            later Delete flower, redis, worker
        5   Update scheduler, dag-processor, triggerer, api-server [generation]
            Delete flower, worker [generation]
            later Delete redis
        6   Delete redis [generation]
        so: Converged, Healthy
        """
    )


def test_a_migration_waits_for_a_worker_that_drains_though_nobody_wants_it_any_more():
    start = BORN[CELERY].change(executor=LOCAL, airflow_version="3.4.0").behaving(draining=frozenset({"worker"}))
    story = live(start, passes=12)

    assert not any(life.there[Ref("Task", "migrate")].running for life in story.lives)
    assert {"worker", "redis"} <= story.end.running
    assert live(story.end.behaving(draining=frozenset())).end.holds == BORN[LOCAL].holds


@pytest.mark.parametrize("pair", PAIRS, ids=" to ".join)
def test_one_action_an_object_in_every_pass_of_a_switch_with_an_upgrade(pair):
    for todo in live(switch(pair).change(airflow_version="3.4.0")).plans:
        refs = [one.ref for one in todo.now]
        assert len(refs) == len(set(refs))


@pytest.mark.parametrize("pair", [one for one in PAIRS if one[0] == CELERY], ids=" to ".join)
def test_workers_that_drain_for_hours_keep_redis_until_they_are_gone(pair):
    drains = live(switch(pair).behaving(draining=frozenset({"worker"})), passes=20).end

    assert {"redis", "worker"} <= drains.running
    assert "flower" not in drains.running
    assert {"redis", "worker"}.isdisjoint(live(drains.behaving(draining=frozenset())).end.holds)


@pytest.mark.parametrize("pair", PAIRS, ids=" to ".join)
def test_a_switch_taken_back_at_any_pass_ends_where_it_began(pair):
    for life in live(switch(pair)).lives:
        back = live(life.change(executor=pair[0])).end

        assert {ref: one.digest for ref, one in back.there.items()} == {
            ref: one.digest for ref, one in BORN[pair[0]].there.items()
        }


@pytest.mark.parametrize("third", EXECUTORS)
@pytest.mark.parametrize("pair", PAIRS, ids=" to ".join)
def test_another_wish_in_the_middle_of_a_switch_ends_with_the_last_wish(pair, third):
    for life in live(switch(pair)).lives:
        end = live(life.change(executor=third, airflow_version="3.4.0")).end

        assert end.holds == BORN[third].holds
        assert end.running == BORN[third].running


def test_deletes_are_asked_for_again_until_what_drains_is_gone():
    story = live(switch((CELERY, LOCAL)).behaving(draining=frozenset({"worker"})), passes=5)

    assert [sum(isinstance(one, Delete) for one in todo.now) for todo in story.plans] == [2, 1, 1, 1, 1]

"""What is told as wrong, and what is not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from model.status import Condition, Reason
from reconciler.alerts import Unguarded, Unwell, alerts
from reconciler.progress import Progress

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
WELL = Progress(
    started_at=NOW - timedelta(hours=1), last_pass_at=NOW - timedelta(hours=1), listening=True, leading=True
)


def unwell(
    reason=None, *, kind="Ready", seconds=3600.0, message="migrate: it ended with 1", deployment="demo/hello"
):
    since = NOW - timedelta(seconds=seconds)
    condition = reason and Condition(type=kind, status="False", reason=reason, message=message, since=since)
    return Unwell(deployment=deployment, since=since, condition=condition)


def names(*found, progress=WELL):
    return [one.name for one in alerts(found, progress, NOW)]


def test_a_well_fleet_has_no_alerts():
    assert names() == []


@pytest.mark.parametrize(
    ("reason", "kind", "name"),
    [
        (Reason.HELD, "Synced", "Held"),
        (Reason.REFUSED, "Synced", "Refused"),
        (Reason.INVALID_SPEC, "Synced", "Refused"),
        (Reason.TASK_FAILED, "Ready", "TaskFailed"),
    ],
)
def test_what_needs_a_person_is_told_at_once(reason, kind, name):
    assert names(unwell(reason, kind=kind, seconds=0)) == [name]


@pytest.mark.parametrize(
    ("reason", "kind", "patience", "name"),
    [
        (Reason.NOT_HEALTHY, "Ready", 600, "NotReady"),
        (Reason.DRIVER_UNAVAILABLE, "Synced", 600, "NotSynced"),
        (Reason.BLIND, "Synced", 60, "Blind"),
        (None, "Ready", 60, "NeverLookedAt"),
    ],
)
def test_what_may_pass_by_itself_is_told_only_when_it_lasts(reason, kind, patience, name):
    assert names(unwell(reason, kind=kind, seconds=patience - 1)) == []
    assert names(unwell(reason, kind=kind, seconds=patience + 1)) == [name]


@pytest.mark.parametrize("reason", [Reason.STOPPED, Reason.DELETING, Reason.PAUSED])
def test_what_was_asked_for_is_no_alert(reason):
    assert names(unwell(reason, seconds=86400)) == []


def test_a_deployment_is_told_once_by_what_says_most():
    found = names(
        unwell(Reason.NOT_HEALTHY), unwell(Reason.HELD, kind="Synced"), unwell(Reason.BLIND, kind="Synced")
    )

    assert found == ["Held"]


def test_every_deployment_is_told_by_name_after_the_daemon():
    stuck = replace(WELL, queue_depth=3, oldest_waiting_seconds=3600.0)
    found = alerts([unwell(Reason.HELD, deployment="z/z"), unwell(Reason.HELD, deployment="a/a")], stuck, NOW)

    assert [(one.name, one.deployment) for one in found] == [
        ("DaemonNotProgressing", None),
        ("Held", "a/a"),
        ("Held", "z/z"),
    ]


def test_a_failed_task_says_where_its_log_is():
    (found,) = alerts([unwell(Reason.TASK_FAILED)], WELL, NOW)

    assert "/logs/migrate" in found.what_to_do
    assert found.since == NOW - timedelta(hours=1)


def test_a_driver_that_does_not_tell_of_changes_is_told():
    deaf = Progress(started_at=NOW, listening=True, leading=True, blind={"PostgresDriver": "connection refused"})

    (found,) = alerts([], deaf, NOW)

    assert (found.name, found.severity) == ("WatchBlind", "warning")
    assert "connection refused" in found.message


def test_since_when_a_daemon_does_not_work_is_told_only_when_it_is_known():
    stalled, headless = replace(WELL, queue_depth=1, oldest_waiting_seconds=90.0), replace(WELL, leading=False)

    assert [one.since for one in alerts([], stalled, NOW)] == [WELL.last_pass_at]
    assert [one.since for one in alerts([], headless, NOW)] == [None]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"listening": False}, "not heard"),
        ({"leading": False}, "lease"),
        ({"queue_depth": 1, "oldest_waiting_seconds": 61.0}, "1 deployment waits"),
        ({"queue_depth": 2, "oldest_waiting_seconds": 61.0}, "2 deployments wait"),
        ({"queue_depth": 1, "oldest_waiting_seconds": 61.0, "last_pass_at": None}, "1 deployment waits"),
    ],
)
def test_a_daemon_that_does_not_work_says_why(change, told):
    (reason,) = replace(WELL, **change).reasons_not_ready(NOW)

    assert told in reason


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"queue_depth": 1, "oldest_waiting_seconds": 0.001},
        {"queue_depth": 9, "oldest_waiting_seconds": 59.0},
        {"queue_depth": 9, "oldest_waiting_seconds": 300.0, "last_pass_at": NOW - timedelta(seconds=5)},
        {"queue_depth": 9, "oldest_waiting_seconds": 300.0, "started_at": NOW - timedelta(seconds=59)},
    ],
    ids=["at rest", "work that has just come", "work that is not late", "a long queue that moves", "just started"],
)
def test_an_idle_or_a_working_daemon_is_ready(change):
    assert replace(WELL, **change).reasons_not_ready(NOW) == ()


def test_a_table_without_its_triggers_is_told_with_the_statement_that_helps():
    off = Unguarded(
        relation="core.deployments", triggers=9, what_to_do="ALTER TABLE core.deployments ENABLE TRIGGER ALL"
    )
    (found,) = alerts([], WELL, NOW, [off])

    assert (found.name, found.severity, found.deployment) == ("TriggersOff", "critical", None)
    assert "core.deployments" in found.message
    assert off.what_to_do in found.what_to_do

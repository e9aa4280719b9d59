"""Two sessions that would each wait for the other: one is let through at once, the other is told what to do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg
import pytest

from tests.state.fleet import DOCUMENT, INSERT, PLAIN, Sql, fleet, one, rows

WITHIN_SECONDS = 10.0
# a test that fails leaves one waiting for the other: it ends all the same, when this wait does
BOUNDED = "-c lock_timeout=20s"
TO_LOCAL = "UPDATE armillary.deployments SET executor = 'LocalExecutor' WHERE deployment = 'demo/hello'"
MORE_WORKERS = (
    "UPDATE armillary.components SET replicas = 2 WHERE deployment = 'demo/hello' AND component = 'worker'"
)
UNDELETE = "SELECT armillary.undelete('demo/hello')"
NAMED = "SELECT release, path, deletion_requested_at IS NULL FROM core.deployments ORDER BY id"

MAKES = {
    "an insert": lambda session: session.execute(INSERT, ("demo", "hello")),
    "a document": lambda session: session.execute(
        "SELECT core.put_deployment('demo', 'hello', %s, 0)", (json.dumps(DOCUMENT),)
    ),
}
CHANGES = {
    "its row": "UPDATE armillary.deployments SET hibernated = true WHERE deployment = 'demo/hello'",
    "a component": "UPDATE armillary.components SET replicas = 0"
    " WHERE deployment = 'demo/hello' AND component = 'triggerer'",
    "a variable": "UPDATE armillary.variables SET value = 'y' WHERE deployment = 'demo/hello'",
}
MADE_ANEW = (
    ("AR002", ""),
    [("demo-hello", "demo/hello@demo-hello", False), ("demo-hello-2", "demo/hello", True)],
)
TAKEN_BACK = (("", "AR002"), [("demo-hello", "demo/hello", True)])
"""Who has the name in the end: one of the two, and the other was told. Never a deadlock's 40P01."""


@pytest.fixture
def sessions(database_url: str) -> Iterator[tuple[Sql, Sql, Sql]]:
    """An eye on demo/hello, and two sessions in the middle of nothing."""
    with (
        fleet(database_url) as eye,
        psycopg.connect(database_url, options=BOUNDED) as first,
        psycopg.connect(database_url, options=BOUNDED) as second,
    ):
        eye.execute(PLAIN, ("KEY", "x"))
        yield eye, first, second


def answer(session: Sql, act: Callable[[Sql], object]) -> str:
    """Act and commit; the code of the refusal, or nothing."""
    try:
        act(session)
        session.commit()
    except psycopg.Error as error:
        session.rollback()
        return error.sqlstate or "lost"
    return ""


def until_it_waits(eye: Sql, session: Sql, told: Future[str]) -> None:
    deadline = time.monotonic() + WITHIN_SECONDS
    while not one(eye, "SELECT cardinality(pg_blocking_pids(%s))", session.info.backend_pid):
        assert not told.done(), f"it did not wait: {told.result()}"
        assert time.monotonic() < deadline, "it neither ended nor waited"
        time.sleep(0.01)


def test_an_executor_that_takes_away_what_somebody_is_changing_gives_way_and_is_told_to_come_again(
    sessions, database_url
):
    eye, changes, moves = sessions
    eye.execute("UPDATE armillary.deployments SET executor = 'CeleryExecutor' WHERE deployment = 'demo/hello'")
    with psycopg.connect(database_url) as holder, ThreadPoolExecutor(2) as pool:
        # when the holder lets go, the executor has the deployment and the other session the worker
        holder.execute("SELECT FROM core.deployments FOR UPDATE")
        moved = pool.submit(answer, moves, lambda session: session.execute(TO_LOCAL))
        until_it_waits(eye, moves, moved)
        changed = pool.submit(answer, changes, lambda session: session.execute(MORE_WORKERS))
        until_it_waits(eye, changes, changed)
        holder.rollback()
        told = moved.result(WITHIN_SECONDS), changed.result(WITHIN_SECONDS)

    assert told == ("AR002", "")
    assert rows(eye, "SELECT replicas FROM armillary.components WHERE component = 'worker'") == [(2,)]
    assert answer(moves, lambda session: session.execute(TO_LOCAL)) == ""


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_one_that_is_changed_first_and_undeleted_later_gives_way_or_goes_first(sessions, make, change):
    eye, undeletes, makes = sessions
    eye.execute("DELETE FROM armillary.deployments")
    undeletes.execute(change)
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(answer, makes, make)
        until_it_waits(eye, makes, made)
        told = answer(undeletes, lambda session: session.execute(UNDELETE))
        ended = told, made.result(WITHIN_SECONDS)

    assert (ended, rows(eye, NAMED)) in (MADE_ANEW, TAKEN_BACK)


def test_who_has_the_names_and_waits_for_nobody_is_waited_for(sessions):
    eye, undeletes, makes = sessions
    eye.execute("DELETE FROM armillary.deployments")
    undeletes.execute(CHANGES["its row"])
    makes.execute(INSERT, ("demo", "another"))
    with ThreadPoolExecutor(1) as pool:
        undeleted = pool.submit(answer, undeletes, lambda session: session.execute(UNDELETE))
        until_it_waits(eye, undeletes, undeleted)
        makes.commit()
        assert undeleted.result(WITHIN_SECONDS) == ""

    assert rows(eye, NAMED) == [("demo-hello", "demo/hello", True), ("demo-another", "demo/another", True)]

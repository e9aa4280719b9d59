"""Statements that are right alone and meet another session: what the one that must give way is told.

`first` is what we did before, `other` what another administrator does after it, `ours` the statement that is refused.
When ours waits for the other, the other goes on with `then`, and ends with COMMIT or ROLLBACK.
"""

# ruff: noqa: E501 -- a catalogue reads better with one case a line

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import psycopg

from tests.sql.wrong import NOTHING, Answer, Wrong
from tests.state.fleet import Sql, one

_NEW = "INSERT INTO armillary.deployments (workspace, name, airflow_version, dags_folder) VALUES ('{}', '{}', '3.3.2', '/d')"
_STOP = "UPDATE armillary.deployments SET hibernated = true WHERE deployment = 'demo/{}'"
_NAME = "UPDATE armillary.deployments SET name = '{}' WHERE deployment = 'demo/{}'"
_WAITS = "PostgreSQL ends the wait by itself; who is in the way: SELECT pid, pg_blocking_pids(pid) FROM pg_stat_activity"
_AGAIN = "PostgreSQL undoes one of two that meet; the same transaction once more succeeds"
_LOOKED_SECONDS = 2.0  # PostgreSQL looks once, after its deadlock_timeout of a second
_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """How two sessions meet, and what the second is told."""

    case: Wrong
    other: tuple[str, ...]
    first: tuple[str, ...] = ()
    then: str = ""
    ends: str = "COMMIT"


def _meeting(  # noqa: PLR0917 - a line of a catalogue
    name: str,
    other: str,
    ours: str,
    code: str,
    message: str,
    hint: str = "",
    *,
    first: tuple[str, ...] = (),
    then: str = "",
    ends: str = "COMMIT",
    raw: str = "",
) -> Meeting:
    case = Wrong(name=name, statements=(ours,), code=code, message=message, hint=hint, raw=raw)
    return Meeting(case=case, other=(other,), first=first, then=then, ends=ends)


# fmt: off
MEETINGS: tuple[Meeting, ...] = (
    _meeting("a row that an idle transaction holds", _STOP.format("hello"), _STOP.format("hello"), "55P03", "canceling statement due to lock timeout", first=("SET LOCAL lock_timeout = '300ms'",), ends="ROLLBACK", raw=_WAITS),
    _meeting("a variable of a deployment that an idle transaction holds", _STOP.format("hello"), "UPDATE armillary.variables SET value = 'z' WHERE key = 'PLAIN'", "55P03", "canceling statement due to lock timeout", first=("SET LOCAL lock_timeout = '300ms'",), ends="ROLLBACK", raw=_WAITS),
    _meeting("a new deployment while an idle transaction makes one", _NEW.format("demo", "idle"), _NEW.format("demo", "mine"), "55P03", "canceling statement due to lock timeout", first=("SET LOCAL lock_timeout = '300ms'",), ends="ROLLBACK", raw=_WAITS),
    _meeting("a statement that may not last", _STOP.format("hello"), _STOP.format("hello"), "57014", "canceling statement due to statement timeout", first=("SET LOCAL statement_timeout = '300ms'",), ends="ROLLBACK", raw=_WAITS),
    _meeting("a row that is not waited for", _STOP.format("hello"), "SELECT * FROM armillary.deployments WHERE name = 'hello' FOR UPDATE NOWAIT", "55P03", "could not obtain lock on row", ends="ROLLBACK", raw=_WAITS),
    _meeting("a deployment that both make", _NEW.format("demo", "both"), _NEW.format("demo", "both"), "AR002", "deployment demo/both already", "another name"),
    _meeting("a name that both give", _NAME.format("renamed", "other1"), _NAME.format("renamed", "other2"), "AR002", "deployment demo/renamed already", "another name"),
    _meeting("a name that one gives and one makes", _NAME.format("made", "other3"), _NEW.format("demo", "made"), "AR002", "deployment demo/made already", "another name"),
    _meeting("a workspace that both make", "INSERT INTO armillary.workspaces (name) VALUES ('twin')", "INSERT INTO armillary.workspaces (name) VALUES ('twin')", "AR002", "workspace twin already", "another name"),
    _meeting("a variable that both make", "INSERT INTO armillary.variables (deployment, key, value) VALUES ('demo/taken', 'BOTH', 'x')", "INSERT INTO armillary.variables (deployment, key, value) VALUES ('demo/taken', 'BOTH', 'y')", "AR002", "demo/taken has a variable BOTH already", "UPDATE armillary.variables"),
    _meeting("a workspace deleted while it is filled", _NEW.format("empty", "x"), "DELETE FROM armillary.workspaces WHERE name = 'empty'", "AR004", "still has deployments: x", "Delete them first"),
    _meeting("a workspace filled while it is deleted", "DELETE FROM armillary.workspaces WHERE name = 'idle'", _NEW.format("idle", "x"), "AR001", "no workspace 'idle'", "INSERT INTO armillary.workspaces"),
    _meeting("a change of what was read before, in repeatable read", "SELECT armillary.restart('demo/taken')", _STOP.format("taken"), "40001", "could not serialize access due to concurrent update", first=("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT * FROM armillary.fleet"), raw=_AGAIN),
    _meeting("a change of what was read before, serializable", "SELECT armillary.restart('demo/taken')", _STOP.format("taken"), "40001", "could not serialize access", first=("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SELECT * FROM armillary.fleet"), raw=_AGAIN),
    _meeting("two that wait for each other", _STOP.format("taken"), _STOP.format("taken"), "40P01", "deadlock detected", "See server log", first=(_STOP.format("hello"),), then=_STOP.format("hello"), ends="ROLLBACK", raw=_AGAIN),
)
# fmt: on


def meet(meeting: Meeting, urls: dict[str, str], eye: Sql) -> Answer:
    """Let two administrators meet; what ours was told."""
    with (
        psycopg.connect(urls["other"]) as other,
        psycopg.connect(urls["armillary_admin"]) as ours,
        ThreadPoolExecutor(2) as pool,
    ):
        for statement in meeting.first:
            ours.execute(statement.encode())
        for statement in meeting.other:
            other.execute(statement.encode())
        if meeting.first and not meeting.then and "ISOLATION" in meeting.first[0]:
            other.commit()  # what a snapshot does not see is there before
        if meeting.then:
            theirs = pool.submit(other.execute, meeting.then.encode())
            _until_given_up_looking(eye, other)
            told = pool.submit(_run, ours, meeting.case.statements)
            theirs.result(_SECONDS)
        else:
            told = pool.submit(_run, ours, meeting.case.statements)
            _until_met(eye, ours, told)
        if meeting.ends == "ROLLBACK":
            told.result(_SECONDS)  # the other one idles until ours has given up
        other.execute(meeting.ends.encode())
        return told.result(_SECONDS)


def _run(ours: Sql, statements: tuple[str, ...]) -> Answer:
    try:
        for statement in statements:
            ours.execute(statement.encode())
        ours.commit()
    except psycopg.Error as error:
        answer = Answer.of(error)
        ours.rollback()
        return answer
    return NOTHING


def _until_met(eye: Sql, ours: Sql, told: Future[Answer]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not told.done() and not one(eye, "SELECT cardinality(pg_blocking_pids(%s))", ours.info.backend_pid):
        assert time.monotonic() < deadline, "neither refused nor waiting"
        time.sleep(0.01)


def _until_given_up_looking(eye: Sql, other: Sql) -> None:
    """Until the other one waits for so long that it looks for no deadlock any more: whoever comes then gives way."""
    waits = "SELECT extract(epoch FROM now() - query_start) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
    deadline = time.monotonic() + _SECONDS
    while not (found := eye.execute(waits, (other.info.backend_pid,)).fetchall()) or found[0][0] < _LOOKED_SECONDS:
        assert time.monotonic() < deadline, "it does not wait"
        time.sleep(0.05)

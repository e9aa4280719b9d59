"""A deletion taken back while somebody gives its name to a new deployment: one has it, and nobody deadlocks."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.state.fleet import INSERT, PLAIN, fleet, one, rows

WITHIN_SECONDS = 10.0
# what somebody else holds for a moment, so that both sessions are in the middle of what they do when they meet
HOLD = ("SELECT FROM core.variables FOR UPDATE", "SELECT FROM core.deployments FOR UPDATE")
WAITING = """
    SELECT count(*) FROM pg_stat_activity
     WHERE application_name = 'meets' AND cardinality(pg_blocking_pids(pid)) > 0
"""
STATE = "SELECT name, deletion_requested_at IS NULL, path FROM core.deployments ORDER BY id"


@pytest.fixture
def document(database_url):
    """A deployment that is being deleted, and its document with the deletion taken back."""
    with fleet(database_url) as sql:
        sql.execute(PLAIN, ("KEY", "x"))
        sql.execute("DELETE FROM armillary.deployments")
        return one(sql, "SELECT core.get_deployment('demo', 'hello')") | {
            "deletion_requested_at": None,
            "delete_after": None,
            "retain_until": None,
        }


UNDELETES = {
    "a document": "SELECT core.put_deployment('demo', 'hello', %(document)s)",
    "the function": "SELECT armillary.undelete('demo/hello')",
    "an update": "UPDATE armillary.deployments SET deletion_requested_at = NULL WHERE release = 'demo-hello'",
}


@pytest.mark.parametrize("undelete", UNDELETES.values(), ids=UNDELETES)
@pytest.mark.parametrize("undeletes_first", [True, False])
def test_a_deletion_is_taken_back_or_the_name_is_given_and_the_other_one_is_told(
    database_url, document, undelete, undeletes_first
):
    takes_back = (undelete, {"document": json.dumps(document)})
    gives = (INSERT, ("demo", "hello"))
    order = [takes_back, gives] if undeletes_first else [gives, takes_back]
    with psycopg.connect(database_url) as holder, ThreadPoolExecutor(2) as pool:
        for statement in HOLD:
            holder.execute(statement.encode())
        told = [
            pool.submit(_told, database_url, *begun)
            for begun in order
            if _waiting(database_url, order.index(begun))
        ]
        _until(database_url, 2)
        holder.rollback()
        answers = [one.result(WITHIN_SECONDS) for one in told]

    # a document that names its release is not for the new one
    refused = "AR003" if undelete == UNDELETES["a document"] else "AR004"
    assert answers == [None, "AR002" if undeletes_first else refused]
    with psycopg.connect(database_url) as sql:
        named = rows(sql, STATE)
    release = document["release"]
    assert named == (
        [("hello", True, "demo/hello")]
        if undeletes_first
        else [("hello", False, f"demo/hello@{release}"), ("hello", True, "demo/hello")]
    )


def _told(url, statement, values):
    """The code of the refusal; None: done."""
    with psycopg.connect(url, application_name="meets") as session:
        try:
            session.execute(statement.encode(), values)
        except psycopg.Error as error:
            return error.sqlstate
    return None


def _waiting(url, number):
    """True once so many sessions wait."""
    _until(url, number)
    return True


def _until(url, number):
    deadline = time.monotonic() + WITHIN_SECONDS
    with psycopg.connect(url, autocommit=True) as eye:
        while one(eye, WAITING) < number:
            assert time.monotonic() < deadline, "nobody waits"
            time.sleep(0.01)

"""Waiting from SQL: for the generation of the call, seeing what others commit, never for what cannot come."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.state.fleet import INSERT, SEAL, condition, fleet, generation, one, owner, record, rows, write

WAIT = "SELECT armillary.wait('demo/hello', %s, %s)"
SOON = "300 ms"
LATER = "20 s"
PAUSE = "SELECT armillary.pause('demo/hello', now() + interval '1 h', 'x')"


@pytest.fixture
def sql(database_url):
    with fleet(database_url) as sql:
        sql.execute("SELECT core.acquire_lease('cluster/local', 'me', '1 minute')")
        yield sql


@pytest.fixture
def admin(database_url, sql):
    options = "-c role=armillary_admin"
    with psycopg.connect(database_url, autocommit=True, options=options) as session:
        yield session


def reach(
    sql, number, ready="True", *, ready_reason="Healthy", synced="True", why="Converged", message="", again=None
):
    """What a pass concludes about demo/hello."""
    conditions = [
        condition("Synced", synced, why) | {"message": message},
        condition("Ready", ready, ready_reason) | {"message": message},
    ]
    status = {"observed_generation": number, "conditions": conditions, "next_attempt_at": again}
    assert write(sql, record(owner(sql), status=status)) == [None]


def refusal(session, until, timeout=LATER):
    began = time.monotonic()
    with pytest.raises(psycopg.Error) as caught:
        session.execute(WAIT, (until, timeout))
    return caught.value.diag, time.monotonic() - began


def waiting(session, until, timeout=LATER):
    """A thread that waits, and is known to have begun."""
    pool = ThreadPoolExecutor(1)
    begun = threading.Event()

    def wait():
        begun.set()
        return session.execute(WAIT, (until, timeout)).fetchone()[0]

    answer = pool.submit(wait)
    begun.wait(5)
    pool.shutdown(wait=False)
    return answer


def sleeping(sql):
    """Until a session stands in armillary.wait."""
    deadline = time.monotonic() + 10
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    while one(sql, query) == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_there_already_is_not_waited_for(sql, admin):
    reach(sql, 1)

    assert one(admin, WAIT, "ready", SOON) == "demo/hello is ready at generation 1"
    assert one(admin, "SELECT armillary.wait('demo/hello')") == "demo/hello is ready at generation 1"
    assert one(admin, WAIT, "synced", SOON) == "demo/hello is synced at generation 1"


def test_what_others_commit_meanwhile_is_seen(sql, admin):
    answer = waiting(admin, "ready")
    sleeping(sql)
    reach(sql, 1, "False", ready_reason="NotHealthy")
    assert not answer.done()
    reach(sql, 1)

    assert answer.result(5) == "demo/hello is ready at generation 1"


def test_it_is_the_generation_of_the_call_that_is_waited_for(sql, admin):
    reach(sql, 1)
    admin.execute("UPDATE armillary.deployments SET dags_folder = '/other'")
    answer = waiting(admin, "ready")
    sleeping(sql)
    assert not answer.done()
    # somebody wishes something else meanwhile, which is not waited for
    reach(sql, 2)
    sql.execute("UPDATE armillary.deployments SET dags_folder = '/third'")

    assert answer.result(5) == "demo/hello is ready at generation 2"


def test_a_call_in_the_transaction_of_others_changes_sees_their_commits_too(sql, admin):
    with admin.transaction():
        admin.execute("SELECT count(*) FROM armillary.fleet")
        answer = waiting(admin, "synced")
        sleeping(sql)
        reach(sql, 1)
        assert answer.result(5) == "demo/hello is synced at generation 1"


def test_a_snapshot_that_never_moves_is_refused_with_what_to_do(sql, admin):
    admin.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with admin.transaction():
        diag, seconds = refusal(admin, "ready")

    assert diag.constraint_name == "waiting_is_read_committed"
    assert "COMMIT first" in diag.message_hint
    assert seconds < 2


def test_who_has_not_committed_waits_for_nothing(sql, admin):
    with admin.transaction(force_rollback=True):
        admin.execute("UPDATE armillary.deployments SET dags_folder = '/other'")
        diag, _ = refusal(admin, "ready")

    assert diag.constraint_name == "what_is_waited_for_is_committed"
    assert "nothing happens before it commits" in diag.message_primary
    assert generation(sql) == 1


@pytest.mark.parametrize(
    ("change", "until", "message", "hint"),
    [
        (PAUSE, "ready", "is paused until", "armillary.resume('demo/hello')"),
        ("SELECT armillary.hibernate('demo/hello')", "ready", "is hibernated", "armillary.wake('demo/hello')"),
        ("SELECT 1", "stopped", "is asked to run", "armillary.hibernate('demo/hello')"),
        ("DELETE FROM armillary.deployments", "ready", "is being deleted", "armillary.undelete('demo/hello')"),
        ("DELETE FROM armillary.deployments", "gone", "is kept until", "retain_until"),
        ("SELECT 1", "gone", "Nobody asked for the deletion", "DELETE FROM armillary.deployments"),
    ],
)
def test_what_contradicts_the_wish_ends_the_wait_at_once(admin, change, until, message, hint):
    admin.execute(change)
    diag, seconds = refusal(admin, until)

    assert (diag.sqlstate, diag.constraint_name) == ("AR004", "what_is_waited_for_can_come")
    assert message in diag.message_primary
    assert hint in diag.message_hint
    assert seconds < 2


@pytest.mark.parametrize("reason", ["Held", "InvalidSpec"])
def test_what_only_a_person_can_end_ends_the_wait_and_says_why(sql, admin, reason):
    answer = waiting(admin, "ready")
    sleeping(sql)
    reach(sql, 1, "False", ready_reason="NotHealthy", synced="False", why=reason, message="the database is gone")

    with pytest.raises(psycopg.Error, match=f"does not go on by itself. {reason}: the database is gone"):
        answer.result(5)


def test_what_is_tried_again_by_itself_is_waited_for(sql, admin):
    again = one(sql, "SELECT (now() + interval '10 s')::text")
    reach(sql, 1, "False", synced="False", why="Held", message="failed: it is tried again", again=again)
    diag, _ = refusal(admin, "ready", SOON)

    assert diag.sqlstate == "AR006"


def test_a_restored_database_is_held_and_says_so_at_once(sql, admin):
    sql.execute("UPDATE core.installation SET restored_at = now()")
    diag, seconds = refusal(admin, "ready")

    assert "armillary.takeover" in diag.message_primary
    assert seconds < 2


def test_after_its_time_a_wait_says_what_it_still_waits_for(sql, admin):
    reach(sql, 1, "False", ready_reason="NotHealthy", message="api-server: does not answer")
    diag, seconds = refusal(admin, "ready", SOON)

    assert (diag.sqlstate, diag.constraint_name) == ("AR006", "a_wait_ends")
    assert "Ready=False (NotHealthy): api-server: does not answer." in diag.message_primary
    assert "armillary.why('demo/hello')" in diag.message_hint
    assert 0.3 <= seconds < 3


def test_when_nobody_acts_that_is_what_is_said(sql, admin):
    sql.execute("UPDATE core.leases SET expires_at = now()")
    diag, _ = refusal(admin, "ready", SOON)

    assert "No daemon acts on cluster local now" in diag.message_primary
    assert "Generation 1 was not looked at yet" in diag.message_primary


def test_a_deployment_that_goes_is_gone_for_who_waits_for_that_and_an_error_for_others(sql, admin, database_url):
    sql.execute("DELETE FROM armillary.deployments")
    sql.execute("UPDATE armillary.deployments SET delete_after = now(), retain_until = now()")
    whom = owner(sql)
    with psycopg.connect(database_url, autocommit=True) as second:
        gone, synced = waiting(admin, "gone"), waiting(second, "synced")
        sleeping(sql)
        sql.execute("SELECT core.remove_owner(%s)", (whom,))
        assert gone.result(5) == "demo/hello is gone"
        with pytest.raises(psycopg.Error, match="was removed meanwhile"):
            synced.result(5)


def test_a_namesake_is_another_one(sql, admin):
    reach(sql, 1)
    sql.execute("DELETE FROM armillary.deployments")
    sql.execute(INSERT, ("demo", "hello"))

    diag, _ = refusal(admin, "ready", SOON)
    assert "Generation 1 was not looked at yet" in diag.message_primary


@pytest.mark.parametrize(
    ("until", "timeout", "rule"),
    [
        ("done", "1 s", "waits_are_known"),
        (None, "1 s", "waits_are_known"),
        ("ready", "0", "a_wait_ends"),
        ("ready", "2 h", "a_wait_ends"),
        ("ready", None, "a_wait_ends"),
    ],
)
def test_a_wait_that_makes_no_sense_is_refused(admin, until, timeout, rule):
    assert refusal(admin, until, timeout)[0].constraint_name == rule


def test_an_unknown_name_is_told_with_what_may_have_been_meant(admin):
    with pytest.raises(psycopg.Error, match="no deployment 'demo/helo'") as caught:
        admin.execute("SELECT armillary.wait('demo/helo')")

    assert "Did you mean demo/hello?" in caught.value.diag.message_hint


def test_who_waits_writes_nothing_and_holds_nobody_up(sql, admin):
    before = rows(sql, "SELECT count(*), max(id) FROM armillary.audit")
    answer = waiting(admin, "ready", "5 s")
    sleeping(sql)
    sql.execute("SET lock_timeout = '1 s'")
    sql.execute("UPDATE armillary.deployments SET dags_folder = '/other'")
    reach(sql, 2)

    assert answer.result(5) == "demo/hello is ready at generation 2"
    assert rows(sql, "SELECT count(*) FROM armillary.audit") == [(before[0][0] + 1,)]


def test_conditions_are_told_to_who_listens_when_they_change_and_only_then(sql, database_url):
    with psycopg.connect(database_url, autocommit=True) as ears:
        ears.execute("LISTEN armillary_conditions")
        reach(sql, 1)
        assert [one.payload for one in ears.notifies(timeout=5, stop_after=1)] == [""]
        reach(sql, 1)
        sql.execute(SEAL)
        assert list(ears.notifies(timeout=0.3)) == []

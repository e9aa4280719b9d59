"""A deletion is a request with stages, by the database's clock: it can be undone, and data goes last."""

from __future__ import annotations

import psycopg
import pytest

from tests.state.fleet import INSERT, audited, fleet, generation, one, owner, places, record, rows, thing, write

STAGE = "SELECT stage FROM armillary.fleet WHERE deployment = 'demo/hello'"
PURGE = "UPDATE armillary.deployments SET delete_after = now(), retain_until = now()"
UNDELETE = "UPDATE armillary.deployments SET deletion_requested_at = NULL WHERE release = 'demo-hello'"


@pytest.fixture
def sql(database_url):
    with fleet(database_url) as sql:
        yield sql


def test_delete_is_a_request_that_answers_delete_1(sql):
    deleted = sql.execute("DELETE FROM armillary.deployments WHERE deployment = 'demo/hello' RETURNING name")

    assert (deleted.statusmessage, deleted.fetchall()) == ("DELETE 1", [("hello",)])
    assert one(sql, STAGE) == "stopping"
    times = "SELECT delete_after - deletion_requested_at, retain_until - delete_after FROM armillary.deployments"
    ((grace, retention),) = rows(sql, times)
    assert (grace.total_seconds(), retention.days) == (900, 30)


def test_asking_again_answers_delete_0_and_changes_nothing(sql):
    sql.execute("DELETE FROM armillary.deployments")
    before = places(sql, ("deployments", "audit"))

    assert sql.execute("DELETE FROM armillary.deployments").statusmessage == "DELETE 0"
    sql.execute("UPDATE armillary.deployments SET deletion_requested_at = now()")
    assert (generation(sql), places(sql, ("audit",))) == (2, {"audit": before["audit"]})


def test_the_defaults_say_how_long_things_are_kept(sql):
    sql.execute("UPDATE armillary.defaults SET grace_seconds = 60, retention_seconds = 0")
    sql.execute("DELETE FROM armillary.deployments")

    times = "SELECT delete_after - deletion_requested_at, retain_until = delete_after FROM armillary.deployments"
    ((grace, same),) = rows(sql, times)
    assert (grace.total_seconds(), same) == (60, True)


def test_setting_the_request_alone_is_the_same_as_delete(sql):
    sql.execute("UPDATE armillary.deployments SET deletion_requested_at = '2020-01-01'")

    when = "SELECT now() - deletion_requested_at < interval '1 min', delete_after > now() FROM core.deployments"
    assert rows(sql, when) == [(True, True)]


def test_the_stages_follow_the_clock(sql):
    sql.execute("DELETE FROM armillary.deployments")
    sql.execute("UPDATE armillary.deployments SET delete_after = now()")
    assert one(sql, STAGE) == "retaining"
    loaded = one(sql, "SELECT core.load(%s)", owner(sql))
    assert (loaded["stage"], loaded["stage_ends_at"] is not None) == ("retaining", True)

    sql.execute(PURGE)
    assert one(sql, STAGE) == "purging"
    assert one(sql, "SELECT core.load(%s)->'stage_ends_at'", owner(sql)) is None


def test_undelete_within_the_grace_restores_it_and_a_second_one_says_so(sql):
    sql.execute("DELETE FROM armillary.deployments")

    assert one(sql, "SELECT armillary.undelete('demo/hello')") == "undeleted"
    assert one(sql, STAGE) == "active"
    assert rows(sql, "SELECT delete_after, retain_until FROM armillary.deployments") == [(None, None)]
    assert one(sql, "SELECT armillary.undelete('demo/hello')") == "was not being deleted"
    assert generation(sql) == 3


def test_null_in_the_request_undeletes_while_only_data_is_left(sql):
    sql.execute("DELETE FROM armillary.deployments")
    sql.execute("UPDATE armillary.deployments SET delete_after = now()")
    sql.execute(UNDELETE)

    assert rows(sql, "SELECT delete_after, retain_until FROM armillary.deployments") == [(None, None)]


@pytest.mark.parametrize(
    "statement",
    [
        UNDELETE,
        "SELECT armillary.undelete('demo/hello')",
        "UPDATE armillary.deployments SET retain_until = now() + interval '1 day'",
    ],
)
def test_what_is_being_purged_cannot_be_kept_any_more(sql, statement):
    sql.execute("DELETE FROM armillary.deployments")
    sql.execute(PURGE)

    with pytest.raises(psycopg.Error, match="too late") as caught:
        sql.execute(statement)
    assert (caught.value.sqlstate, "new deployment" in caught.value.diag.message_hint) == ("AR004", True)
    assert one(sql, STAGE) == "purging"


def test_the_name_is_free_while_the_old_one_is_kept_and_then_undelete_is_refused(sql):
    sql.execute("DELETE FROM armillary.deployments")
    sql.execute(INSERT, ("demo", "hello"))
    before = audited(sql)

    with pytest.raises(psycopg.Error, match="was given to a new deployment") as caught:
        sql.execute(UNDELETE)
    assert "name = '…' WHERE release = 'demo-hello'" in caught.value.diag.message_hint
    assert audited(sql) == before

    sql.execute(UNDELETE.replace("= NULL", "= NULL, name = 'old'"))
    names = "SELECT deployment, release FROM armillary.deployments ORDER BY 1"
    assert rows(sql, names) == [("demo/hello", "demo-hello-2"), ("demo/old", "demo-hello")]


def test_a_path_means_the_one_that_is_not_being_deleted(sql):
    sql.execute("DELETE FROM armillary.deployments")
    old = owner(sql)
    sql.execute(INSERT, ("demo", "hello"))

    assert owner(sql) != old
    sql.execute("SELECT armillary.hibernate('demo/hello')")
    assert rows(sql, "SELECT release FROM armillary.deployments WHERE hibernated") == [("demo-hello-2",)]


def test_a_release_is_never_given_twice(sql):
    sql.execute("DELETE FROM armillary.deployments")
    sql.execute(PURGE)
    assert one(sql, "SELECT core.remove_owner(%s)", owner(sql)) is True
    sql.execute(INSERT, ("demo", "hello"))

    assert one(sql, "SELECT release FROM armillary.deployments") == "demo-hello-2"


def test_the_row_goes_only_after_its_time_when_nothing_is_left_and_only_through_the_daemon(sql):
    of = owner(sql)
    write(sql, record(of))
    assert one(sql, "SELECT core.remove_owner(%s)", of) is False
    sql.execute("DELETE FROM armillary.deployments")
    assert one(sql, "SELECT core.remove_owner(%s)", of) is False
    sql.execute(PURGE)
    assert one(sql, "SELECT core.remove_owner(%s)", of) is False  # an object is left
    with pytest.raises(psycopg.Error, match="when nothing of the deployment is left"):
        sql.execute("DELETE FROM core.deployments")

    gone = record(of, status={"observed_generation": 3}, objects=[], forget=[["Process", "x"]], remove_owner=True)
    assert write(sql, gone) == [None]
    for table in ("deployments", "components", "variables", "ports", "status", "conditions", "units", "objects"):
        assert one(sql, f"SELECT count(*) FROM core.{table}") == 0
    assert one(sql, "SELECT count(*) FROM core.audit WHERE relation = 'deployments' AND operation = 'DELETE'") == 1


def test_an_undelete_that_came_first_keeps_the_row(sql):
    sql.execute("DELETE FROM armillary.deployments")
    sql.execute("SELECT armillary.undelete('demo/hello')")
    status = {"observed_generation": 3}
    write(sql, record(owner(sql), status=status, objects=[], milestones=[], remove_owner=True))

    assert one(sql, STAGE) == "active"


def test_a_workspace_goes_when_its_last_deployment_is_gone(sql):
    sql.execute("DELETE FROM armillary.deployments")
    with pytest.raises(psycopg.Error, match=r"still has deployments: hello \(kept until"):
        sql.execute("DELETE FROM armillary.workspaces")
    sql.execute(PURGE)
    sql.execute("SELECT core.remove_owner(%s)", (owner(sql),))

    assert sql.execute("DELETE FROM armillary.workspaces").statusmessage == "DELETE 1"


def test_a_deployment_made_while_its_workspace_goes_stops_one_of_the_two(sql, database_url):
    sql.execute("INSERT INTO armillary.workspaces (name) VALUES ('brief')")
    with psycopg.connect(database_url) as maker:
        maker.execute(INSERT, ("brief", "x"))
        sql.execute("SET lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            sql.execute("DELETE FROM armillary.workspaces WHERE name = 'brief'")

    assert one(sql, "SELECT count(*) FROM armillary.deployments WHERE workspace = 'brief'") == 1


def test_components_and_inventory_survive_a_rejected_purge(sql):
    before = places(sql, ("components", "ports"))

    assert write(sql, record(owner(sql), objects=[thing()], remove_owner=True)) == [None]
    assert places(sql, ("components", "ports")) == before

"""The audit is one row for each changed row, nobody but the owner alters it, and history goes by months."""
# ruff: noqa: E501 - statements are easier to compare on one line each

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.state.fleet import PLAIN, audited, fleet, one, owner, record, rows, write

DESIRED = {
    "workspaces": ("id",),
    "deployments": ("id",),
    "components": ("deployment_id", "component"),
    "variables": ("deployment_id", "key"),
    "defaults": ("only_one",),
}
BOOKKEEPING = ("generation", "changed_in", "changed_at", "changed_by", "owner", "path")
ROLES = ("armillary_daemon", "armillary_api", "armillary_admin", "armillary_viewer", "armillary_auditor")


@pytest.fixture
def sql(database_url):
    with fleet(database_url, others=2) as sql:
        sql.execute(PLAIN, ("GREETING", "good morning"))
        yield sql


def snapshot(sql):
    """Every row of desired state by its table and key, as the audit tells rows."""
    found = {}
    for table, keys in DESIRED.items():
        for (row,) in rows(sql, f"SELECT to_jsonb(t) FROM core.{table} t"):
            for name in BOOKKEEPING:
                row.pop(name, None)
            if row.get("secret"):
                row["value"] = "(sealed)"
            found[
                table,
                "/".join(str(row[key]).lower() if isinstance(row[key], bool) else str(row[key]) for key in keys),
            ] = row
    return found


names = st.sampled_from(["demo/hello", "demo/other0", "demo/other1", "demo/none"])
components = st.sampled_from(["scheduler", "triggerer", "api-server", "none"])
keys = st.sampled_from(["GREETING", "A", "B", "AIRFLOW_HOME"])
texts = st.sampled_from(["", "x", "good morning", "y" * 2000])
few = st.integers(-1, 3)

statements = st.one_of(
    st.builds(lambda d, n, c: ("UPDATE armillary.components SET replicas = %s WHERE deployment = %s AND component = %s", (n, d, c)), names, few, components),
    st.builds(lambda n: ("UPDATE armillary.components SET grace_seconds = 20 + %s", (n,)), few),
    st.builds(lambda d, k, v, s: ("INSERT INTO armillary.variables (deployment, key, value, secret) VALUES (%s, %s, %s, %s)", (d, k, v, s)), names, keys, texts, st.booleans()),
    st.builds(lambda k, v: ("UPDATE armillary.variables SET value = %s WHERE key = %s", (v, k)), keys, texts),
    st.builds(lambda k, v: ("UPDATE armillary.variables SET key = %s WHERE key = %s", (v, k)), keys, keys),
    st.builds(lambda k: ("DELETE FROM armillary.variables WHERE key = %s", (k,)), keys),
    st.builds(lambda d, h: ("UPDATE armillary.deployments SET hibernated = %s WHERE deployment = %s", (h, d)), names, st.booleans()),
    st.builds(lambda d: ("UPDATE armillary.deployments SET dags_folder = %s", (d,)), st.sampled_from(["/dags", "/new", "relative"])),
    st.builds(lambda d: ("DELETE FROM armillary.deployments WHERE deployment = %s", (d,)), names),
    st.builds(lambda d: ("SELECT armillary.undelete(%s)", (d,)), names),
    st.builds(lambda d: ("SELECT armillary.pause(%s, now() + interval '1 hour', 'why')", (d,)), names),
    st.builds(lambda d: ("SELECT armillary.resume(%s)", (d,)), names),
    st.builds(lambda d: ("SELECT armillary.restart(%s)", (d,)), names),
    st.builds(lambda d, n: ("SELECT armillary.rollback(%s, %s)", (d, n)), names, few),
    st.builds(lambda d: ("UPDATE armillary.workspaces SET description = %s", (d,)), texts),
    st.builds(lambda d: ("INSERT INTO armillary.workspaces (name) VALUES (%s)", (d,)), st.sampled_from(["ads", "demo", "Bad"])),
    st.builds(lambda n: ("UPDATE armillary.defaults SET grace_seconds = 900 + %s", (n,)), few),
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(statements, st.booleans()), min_size=1, max_size=8))
def test_there_is_exactly_one_audit_row_for_each_row_that_a_statement_changed(sql, made):
    """Each statement is a transaction; some are undone, and then nothing is kept."""
    for (statement, values), is_undone in made:
        before, newest = snapshot(sql), one(sql, "SELECT coalesce(max(id), 0) FROM core.audit")
        try:
            with sql.transaction(force_rollback=is_undone):
                sql.execute(statement, values)
        except psycopg.Error:
            pass
        after = snapshot(sql)

        kept = rows(sql, "SELECT relation, key, operation, before, after FROM core.audit WHERE id > %s", newest)
        told = {(table, key): (what, old, new) for table, key, what, old, new in kept}
        changed = {place for place in before.keys() | after.keys() if before.get(place) != after.get(place)}
        # of a secret only its version is told, of its value only that there was one
        unseen = {place for place in told if place[0] == "variables" and place not in changed}
        assert len(kept) == len(told)
        assert told.keys() - unseen == changed
        assert not unseen
        for place in changed:
            what, old, new = told[place]
            assert what == ("INSERT" if place not in before else "DELETE" if place not in after else "UPDATE")
            assert (old, new) == (before.get(place), after.get(place))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE core.audit SET actor = 'x'",
        "DELETE FROM core.audit",
        "TRUNCATE core.audit",
        "DROP TABLE core.audit",
        "ALTER TABLE core.audit DISABLE TRIGGER ALL",
        "UPDATE history.{month} SET actor = 'x'",
        "DELETE FROM history.{month}",
        "TRUNCATE history.{month}",
        "DROP TABLE history.{month}",
        "ALTER TABLE core.audit DETACH PARTITION history.{month}",
        "SELECT * FROM core.forget_history('audit', now() + interval '1 year')",
        "UPDATE core.retention SET days = 7",
        "INSERT INTO core.retention VALUES ('audit', 7) ON CONFLICT (relation) DO UPDATE SET days = 7",
        "DELETE FROM core.retention",
        "SET session_replication_role = replica",
    ],
)
def test_no_role_of_ours_can_alter_what_was(sql, database_url, role, statement):
    before = audited(sql)
    month = one(sql, "SELECT core.month_of('audit', now())")
    # `forget_history` runs with the caller's rights: it forgets what the caller may drop, which is nothing
    past = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'core.audit'::regclass"
    months = one(sql, past)
    with (
        psycopg.connect(database_url, autocommit=True, options=f"-c role={role}") as other,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        other.execute(statement.format(month=month))

    assert audited(sql) == before
    assert one(sql, past) == months


def test_the_owner_may_alter_the_audit_only_by_disabling_a_trigger_on_purpose(sql):
    month = one(sql, "SELECT core.month_of('audit', now())")
    for table in ("core.audit", f"history.{month}"):
        with pytest.raises(psycopg.Error, match="never changed"):
            sql.execute(f"UPDATE {table} SET actor = 'x'")
        with pytest.raises(psycopg.Error, match="never changed"):
            sql.execute(f"DELETE FROM {table}")


def months(sql, relation="audit"):
    return [
        name
        for (name,) in rows(
            sql,
            "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = %s::regclass ORDER BY 1",
            f"core.{relation}",
        )
    ]


def month(offset, relation="audit"):
    """The name of the month so many months from now."""
    now = datetime.now(UTC)
    count = now.year * 12 + now.month - 1 + offset
    return f"{relation}_{count // 12}_{count % 12 + 1:02d}"


def old_month(sql, offset, relation="audit"):
    """A month of long ago with one row in it, as time alone makes it."""
    begin = (
        f"(date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => {offset})) AT TIME ZONE 'UTC'"
    )
    name = month(offset, relation)
    (bounds,) = rows(sql, f"SELECT quote_literal({begin}), quote_literal({begin} + interval '1 month')")
    sql.execute(
        f"CREATE TABLE history.{name} PARTITION OF core.{relation} FOR VALUES FROM ({bounds[0]}) TO ({bounds[1]})"
    )
    if relation == "audit":
        sql.execute(
            "INSERT INTO core.audit (id, at, relation, key, operation, actor, actor_is_claimed) OVERRIDING SYSTEM VALUE"
            f" VALUES (-1, {begin}, 'x', 'x', 'UPDATE', 'x', false)"
        )
    else:
        sql.execute(f"INSERT INTO core.events (at, owner, reason, message) VALUES ({begin}, 'o', 'Old', 'm')")
    return name


def test_months_are_made_ahead(sql):
    sql.execute("SELECT core.tend()")

    for relation in ("audit", "events"):
        assert months(sql, relation) == [month(offset, relation) for offset in range(4)]


def test_what_no_daemon_made_ahead_the_first_change_of_a_month_makes(sql):
    for relation in ("audit", "events"):
        for name in months(sql, relation):
            sql.execute("SET session_replication_role = replica")
            sql.execute(f"DROP TABLE history.{name}")
            sql.execute("RESET session_replication_role")

    sql.execute("UPDATE armillary.deployments SET hibernated = true WHERE deployment = 'demo/hello'")
    told = [{"reason": "Created", "message": "m", "cause": "generation", "object": ""}]
    assert write(sql, record(owner(sql), events=told)) == [None]

    assert months(sql) == [month(offset) for offset in range(4)]
    assert months(sql, "events") == [month(offset, "events") for offset in range(4)]
    assert rows(sql, "SELECT operation FROM armillary.audit") == [("UPDATE",)]
    assert rows(sql, "SELECT reason FROM armillary.events") == [("Created",)]


def test_two_sessions_that_open_a_month_at_once_make_it_once(sql, database_url):
    sql.execute(f"DROP TABLE history.{month(3)}")
    with psycopg.connect(database_url) as first, psycopg.connect(database_url) as second:
        first.execute("SELECT core.make_months('audit')")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            second.execute("SET LOCAL lock_timeout = '100ms'; SELECT core.make_months('audit')")
        second.rollback()
        # who only writes is not locked out meanwhile
        sql.execute("UPDATE armillary.deployments SET hibernated = true WHERE deployment = 'demo/hello'")
        first.commit()
        second.execute("SELECT core.make_months('audit')")

    assert month(3) in months(sql)


def test_a_month_goes_when_all_of_it_is_older_than_is_kept_and_that_is_audited(sql):
    gone, kept = old_month(sql, -15), old_month(sql, -12)
    lost, stays = old_month(sql, -3, "events"), old_month(sql, -1, "events")

    sql.execute("SELECT core.tend()")

    assert gone not in months(sql)
    assert kept in months(sql)
    assert lost not in months(sql, "events")
    assert stays in months(sql, "events")
    told = rows(
        sql, "SELECT relation, key, operation, reason FROM armillary.audit WHERE reason LIKE 'older%' ORDER BY id"
    )
    assert told == [
        ("audit", gone, "DELETE", "older than 400 days"),
        ("events", lost, "DELETE", "older than 30 days"),
    ]


def test_the_newest_change_is_kept_however_old_it_is(sql):
    """Clusters know the database by it: without it everything would be held."""
    sql.execute("ALTER TABLE core.audit DISABLE TRIGGER USER")
    sql.execute("DELETE FROM core.audit")
    sql.execute("ALTER TABLE core.audit ENABLE TRIGGER USER")
    old = old_month(sql, -24)
    number, token = one(sql, "SELECT core.newest_change()")

    sql.execute("SELECT core.tend()")

    assert old in months(sql)
    assert one(sql, "SELECT core.knows(%s, %s)", number, token)


def test_the_owner_forgets_what_he_says(sql):
    gone, kept = old_month(sql, -3), old_month(sql, -2)

    forgotten = rows(sql, "SELECT core.forget_history('audit', now() - interval '2 months')")

    assert forgotten == [(gone,)]
    assert kept in months(sql)

"""Each revision on a filled database of the one before: nothing is lost, and nobody can tell how it came to be."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path

import psycopg
import pytest

from state import dumps
from state.errors import Refused, SchemaMismatch
from state.migrate import Patience, migrate
from state.revisions import require_current, revisions
from tests.state.fleet import INSERT, PLAIN, condition, one, record, rows, thing, write

RELEASED = Path(__file__).parents[2] / "migrations" / "released"
BEFORE = [one for one in reversed(revisions()) if one != revisions()[0]]
"""Every revision but the head."""
OLD_MONTHS = """
DO $$
DECLARE month timestamp;
BEGIN
    FOR month IN SELECT date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => n)
                   FROM generate_series(1, 5) n LOOP
        EXECUTE format('CREATE TABLE history.%I PARTITION OF core.events FOR VALUES FROM (%L) TO (%L)',
            core.month_of('events', month AT TIME ZONE 'UTC'),
            month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
    END LOOP;
END $$
"""
OF_A_RELEASE = {
    *(
        "airflow_versions",
        "component_catalogue",
        "setting_catalogue",
        "port_catalogue",
        "reserved_variables",
        "ports",
    ),
}
"""What there is to choose from, and the ports that are leased for it: a release may have more of it."""
NAMES = {"version", "executor", "component", "key", "unit", "port", "deployment_id", "number"}
RANDOM = re.compile(r"^\\(un)?restrict .*$", re.MULTILINE)


def filled(url):
    """What two months of use leave behind, also in tables that only the daemon writes."""
    with psycopg.connect(url, autocommit=True) as sql:
        sql.execute("INSERT INTO armillary.workspaces (name) VALUES ('demo'), ('ads')")
        for workspace, name in (("demo", "hello"), ("demo", "other"), ("ads", "prod")):
            sql.execute(INSERT, (workspace, name))
        sql.execute(PLAIN, ("GREETING", "good morning"))
        sql.execute(
            "INSERT INTO armillary.variables (deployment, key, value, secret)"
            " VALUES ('demo/hello', 'S', 'x', true)"
        )
        sql.execute("SELECT core.seal(id, 'k1', '\\x00') FROM core.inbox_take(100)")
        sql.execute(
            "UPDATE armillary.components SET replicas = 0"
            " WHERE component = 'triggerer' AND deployment = 'demo/hello'"
        )
        sql.execute("DELETE FROM armillary.deployments WHERE deployment = 'demo/other'")
        sql.execute("SELECT core.acquire_lease('cluster/local', 'me', '1 minute')")
        whom = one(sql, "SELECT owner FROM core.deployments WHERE name = 'hello'")
        told = {"reason": "Created", "message": "m", "cause": "generation", "object": "Process/x"}
        status = {"observed_generation": 2, "conditions": [condition("Synced"), condition("Ready")]}
        assert write(sql, record(whom, status=status, events=[told], objects=[thing(), thing("y")])) == [None]
        sql.execute("SELECT core.mint(%s, 'fernet', 'k1', '\\x01')", (whom,))
        sql.execute("SELECT armillary.approve('ads/prod', 'rollout', 'go')")


def aged(url):
    """What older months left behind: such rows, and the months that hold them, are made by time alone."""
    with psycopg.connect(url, autocommit=True) as sql:
        if one(sql, "SELECT to_regnamespace('history') IS NOT NULL"):
            sql.execute(OLD_MONTHS)
        sql.execute(
            "INSERT INTO core.events (owner, at, reason, message)"
            " SELECT 'deployment/1', now() - n * interval '20 days', 'Old', 'm' FROM generate_series(1, 5) n"
        )


def contents(url):
    """Every row of every table, and what clusters know the database by."""
    with psycopg.connect(url, autocommit=True) as sql:
        names = rows(sql, "SELECT tablename FROM pg_tables WHERE schemaname = 'core'")
        tables = {name: rows(sql, f"SELECT to_jsonb(t) FROM core.{name} t ORDER BY t::text") for (name,) in names}
        return tables, one(sql, "SELECT core.newest_change()"), rows(sql, "SELECT core.owners()")


def schema(url):
    """What pg_dump says of everything but the rows, and but the months, which depend on the day."""
    command = [str(dumps.program("pg_dump")), "--schema-only", "--exclude-table=history.*"]
    done = subprocess.run(command, env=dumps.environment(url), capture_output=True, text=True, check=True)
    return RANDOM.sub("", done.stdout)


def test_from_empty_to_the_head_to_the_base_to_the_head(empty_database_url):
    asyncio.run(migrate(empty_database_url))
    first = schema(empty_database_url)
    asyncio.run(migrate(empty_database_url, revision="base"))
    with psycopg.connect(empty_database_url) as sql:
        left = rows(sql, "SELECT nspname FROM pg_namespace WHERE nspname IN ('core', 'armillary', 'history')")
        assert left == []
    asyncio.run(migrate(empty_database_url))

    assert schema(empty_database_url) == first


@pytest.mark.parametrize("before", BEFORE)
def test_a_filled_database_loses_nothing_and_is_like_a_fresh_one(empty_database_url, make_database, before):
    asyncio.run(migrate(empty_database_url, revision=before))
    filled(empty_database_url)
    aged(empty_database_url)
    tables, change, owners = contents(empty_database_url)

    asyncio.run(migrate(empty_database_url))

    after, change_after, owners_after = contents(empty_database_url)
    for name, kept in tables.items():
        if name in OF_A_RELEASE:
            assert names_of(kept) <= names_of(after[name]), name
            continue
        as_before = [{key: row[key] for key in old} for (old,), (row,) in zip(kept, after[name], strict=True)]
        assert as_before == [old for (old,) in kept], name
    assert (change_after, owners_after) == (change, owners)
    with make_database() as fresh:
        asyncio.run(migrate(fresh))
        assert schema(empty_database_url) == schema(fresh)
    with psycopg.connect(empty_database_url, autocommit=True) as sql:
        assert rows(sql, "SELECT core.untold()") == []
        highest = one(sql, "SELECT max(id) FROM core.audit")
        sql.execute("UPDATE armillary.deployments SET hibernated = true WHERE deployment = 'demo/hello'")
        assert one(sql, "SELECT max(id) FROM core.audit") == highest + 1


def names_of(found):
    """What tells rows of a catalogue, or ports, from each other."""
    return {tuple(sorted((key, value) for key, value in row.items() if key in NAMES)) for (row,) in found}


@pytest.mark.parametrize("before", BEFORE)
def test_the_way_back_to_a_release_loses_nothing_either(empty_database_url, before):
    asyncio.run(migrate(empty_database_url, revision=before))
    filled(empty_database_url)
    aged(empty_database_url)
    kept = contents(empty_database_url)
    asyncio.run(migrate(empty_database_url))

    asyncio.run(migrate(empty_database_url, revision=before))

    assert contents(empty_database_url) == kept


@pytest.mark.parametrize("before", BEFORE)
def test_daemons_of_the_release_before_are_answered_as_before(empty_database_url, database_url, before):
    """Every statement of their code: the same parameters, and the same columns of the same types come back."""
    asyncio.run(migrate(empty_database_url, revision=before))
    calls = json.loads((RELEASED / f"{before}.json").read_text())

    assert len(calls) > 20
    for call in calls:
        assert described(database_url, call) == described(empty_database_url, call), call


def described(url, call):
    """What PostgreSQL says about a statement without running it: its parameters' and its columns' types."""
    names = list(dict.fromkeys(re.findall(r"%(?:\((?:\w+)\))?s", call)))
    for number, name in enumerate(names, 1):
        call = call.replace(name, f"${number}")
    with psycopg.connect(url, autocommit=True, options="-c role=armillary_daemon") as sql:
        prepared = sql.pgconn.prepare(b"call", call.encode())
        assert prepared.status == psycopg.pq.ExecStatus.COMMAND_OK, prepared.error_message.decode()
        answer = sql.pgconn.describe_prepared(b"call")
        return (
            [answer.param_type(number) for number in range(answer.nparams)],
            [(answer.fname(number), answer.ftype(number)) for number in range(answer.nfields)],
        )


@pytest.mark.parametrize("before", BEFORE)
def test_what_daemons_of_the_release_before_read_has_every_field_that_they_know(
    empty_database_url, database_url, before
):
    asyncio.run(migrate(empty_database_url, revision=before))
    read = []
    for url in (empty_database_url, database_url):
        filled(url)
        with psycopg.connect(url, autocommit=True) as sql:
            read.append(shape(one(sql, "SELECT core.load(owner) FROM core.deployments WHERE name = 'hello'")))

    assert read[0] <= read[1]


def shape(value, place=""):
    """Every place in a document, with the type of what is there; members of a list are one place."""
    here = {(place, type(value).__name__)}
    match value:
        case dict():
            return here.union(*(shape(one, f"{place}/{key}") for key, one in value.items()))
        case list():
            return here.union(*(shape(one, f"{place}/-") for one in value))
    return here


def test_a_released_revision_s_definitions_are_never_changed():
    """A change of definitions needs a revision: databases that are at the head would keep the old ones."""
    head = revisions()[0]

    assert {path.stem for path in RELEASED.glob("*.sql")} >= set(BEFORE)
    assert not (RELEASED / f"{head}.sql").exists(), "the head was released: make a new revision for what changes"


def test_a_way_back_that_would_lose_an_executor_is_refused_and_says_what_to_do(empty_database_url):
    asyncio.run(migrate(empty_database_url))
    filled(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as sql:
        sql.execute("UPDATE armillary.deployments SET executor = 'CeleryExecutor' WHERE deployment = 'ads/prod'")

        with pytest.raises(Exception, match="ads/prod"):
            asyncio.run(migrate(empty_database_url, revision="0003"))

        assert one(sql, "SELECT version_num FROM schema_version") == revisions()[0]


def test_deployments_from_before_celery_lease_its_ports_in_the_block_they_have(empty_database_url):
    asyncio.run(migrate(empty_database_url, revision="0003"))
    filled(empty_database_url)
    asyncio.run(migrate(empty_database_url))

    with psycopg.connect(empty_database_url, autocommit=True) as sql:
        distances = rows(
            sql,
            "SELECT DISTINCT p.unit, p.number - a.number FROM core.ports p JOIN core.ports a USING (deployment_id)"
            " WHERE a.unit = 'api-server' AND p.unit IN ('redis', 'flower') ORDER BY 1",
        )
        assert distances == [("flower", 5), ("redis", 4)]
        assert one(sql, "SELECT count(*) FROM core.ports WHERE unit = 'redis'") == 3


def test_what_others_were_granted_is_granted_again(empty_database_url):
    asyncio.run(migrate(empty_database_url, revision=BEFORE[-1]))
    with psycopg.connect(empty_database_url, autocommit=True) as sql:
        sql.execute("CREATE ROLE grafana")
        try:
            sql.execute("GRANT SELECT ON armillary.fleet TO grafana")
            sql.execute("GRANT SELECT (deployment, message) ON armillary.events TO grafana")
            sql.execute("GRANT EXECUTE ON FUNCTION armillary.why(text) TO grafana WITH GRANT OPTION")
            asyncio.run(migrate(empty_database_url))
            may = rows(
                sql,
                "SELECT has_table_privilege('grafana', 'armillary.fleet', 'SELECT'),"
                " has_column_privilege('grafana', 'armillary.events', 'message', 'SELECT'),"
                " has_column_privilege('grafana', 'armillary.events', 'reason', 'SELECT'),"
                " has_function_privilege('grafana', 'armillary.why(text)', 'EXECUTE WITH GRANT OPTION')",
            )
        finally:
            sql.execute("DROP OWNED BY grafana")
            sql.execute("DROP ROLE grafana")

    assert may == [(True, True, False, True)]


def test_somebody_s_own_view_is_not_dropped_but_named(empty_database_url):
    asyncio.run(migrate(empty_database_url, revision=BEFORE[-1]))
    with psycopg.connect(empty_database_url, autocommit=True) as sql:
        sql.execute("CREATE VIEW public.mine AS SELECT deployment FROM armillary.fleet")

    with pytest.raises(Refused, match=r"view public\.mine depends on view armillary\.fleet") as caught:
        asyncio.run(migrate(empty_database_url))

    assert "armillary migrate" in caught.value.hint
    with psycopg.connect(empty_database_url, autocommit=True) as sql:
        assert one(sql, "SELECT version_num FROM schema_version") == BEFORE[-1]
        assert rows(sql, "SELECT * FROM public.mine") == []


def test_who_is_in_the_way_is_named_and_the_migration_can_be_run_again(empty_database_url):
    asyncio.run(migrate(empty_database_url, revision=BEFORE[-1]))
    with psycopg.connect(empty_database_url, application_name="alice's psql") as other:
        other.execute("SELECT count(*) FROM core.audit")
        pid = other.info.backend_pid
        with pytest.raises(Refused) as caught:
            asyncio.run(migrate(empty_database_url, patience=Patience(tables=1.0)))
        assert f'process {pid} (role postgres, "alice\'s psql", idle in transaction' in str(caught.value)
        assert f"pg_terminate_backend({pid})" in caught.value.hint
        assert one(other, "SELECT version_num FROM schema_version") == BEFORE[-1]

    assert asyncio.run(migrate(empty_database_url)).after == revisions()[0]


def test_a_migration_waits_for_tables_no_longer_than_others_bear(empty_database_url):
    """Whoever asks for a table behind a waiting migration waits too: a daemon's statements give up after 5 s."""
    assert Patience().tables <= 5.0


def test_a_statement_that_takes_too_long_is_given_up(empty_database_url):
    """0002 copies every event."""
    asyncio.run(migrate(empty_database_url, revision="0001"))
    with psycopg.connect(empty_database_url, autocommit=True) as sql:
        sql.execute(
            "INSERT INTO core.events (owner, reason, message)"
            " SELECT 'o', 'r', repeat('x', 200) FROM generate_series(1, 300000)"
        )

    with pytest.raises(Refused, match="took longer than"):
        asyncio.run(migrate(empty_database_url, patience=Patience(statement=0.05)))

    with psycopg.connect(empty_database_url) as sql:
        assert one(sql, "SELECT version_num FROM schema_version") == "0001"
        assert one(sql, "SELECT count(*) FROM core.events") == 300000


def test_two_migrators_of_a_filled_database_migrate_it_once(empty_database_url):
    asyncio.run(migrate(empty_database_url, revision=BEFORE[-1]))
    filled(empty_database_url)

    async def both():
        return await asyncio.gather(migrate(empty_database_url), migrate(empty_database_url))

    head = revisions()[0]
    assert sorted(result.before for result in asyncio.run(both())) == [BEFORE[-1], head]


@pytest.mark.parametrize(
    ("found", "said"),
    [("9999", "a newer release migrated it. Install that release"), ("0001", "Run: armillary migrate")],
)
def test_a_daemon_refuses_any_other_schema_and_says_what_to_run(database_url, found, said):
    asyncio.run(require_current(database_url))
    with psycopg.connect(database_url, autocommit=True) as sql:
        sql.execute("UPDATE schema_version SET version_num = %s", (found,))

    with pytest.raises(SchemaMismatch) as caught:
        asyncio.run(require_current(database_url))
    assert said in str(caught.value)


def test_a_daemon_refuses_a_database_that_was_never_migrated(empty_database_url):
    with pytest.raises(SchemaMismatch, match=r"revision none.*armillary migrate"):
        asyncio.run(require_current(empty_database_url))

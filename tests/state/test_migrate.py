"""Migrations: from nothing to the head and back, once however many start, and never an unknown schema."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from state.errors import Refused, SchemaMismatch, StateError, Unreachable
from state.migrate import migrate
from state.revisions import require_server


async def test_an_empty_database_is_brought_to_the_head_and_a_second_time_changes_nothing(empty_database_url):
    first = await migrate(empty_database_url)
    second = await migrate(empty_database_url)

    assert first.before is None
    assert second.before == second.after == first.after


async def test_two_starters_migrate_once(empty_database_url):
    results = await asyncio.gather(migrate(empty_database_url), migrate(empty_database_url))

    assert sorted(one.before is None for one in results) == [False, True]


async def test_down_to_base_and_up_again(empty_database_url):
    await migrate(empty_database_url)
    down = await migrate(empty_database_url, revision="base")
    with psycopg.connect(empty_database_url) as connection:
        left = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname IN ('core', 'armillary')"
        ).fetchall()
    up = await migrate(empty_database_url)

    assert down.after == "base"
    assert left == []
    assert up.before is None


async def test_a_newer_schema_is_refused_and_left_alone(empty_database_url):
    await migrate(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("UPDATE schema_version SET version_num = '9999'")

    with pytest.raises(SchemaMismatch, match=r"9999.*newer release"):
        await migrate(empty_database_url)

    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT version_num FROM schema_version").fetchone() == ("9999",)


async def test_an_unreachable_database_is_said_to_be(empty_database_url):
    nowhere = empty_database_url.rpartition(":")[0] + ":1/nowhere"

    with pytest.raises(Unreachable):
        await migrate(nowhere)


async def test_databases_of_one_server_migrate_at_once_although_roles_are_the_server_s(make_database):
    with make_database() as first, make_database() as second:
        results = await asyncio.gather(migrate(first), migrate(second))

    assert [one.before for one in results] == [None, None]


async def test_a_migration_that_fails_leaves_nothing(empty_database_url):
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA armillary")
        with pytest.raises(StateError, match="already exists"):
            await migrate(empty_database_url)
        left = connection.execute("SELECT to_regnamespace('core'), to_regclass('schema_version')").fetchone()

    assert left == (None, None)


async def test_a_role_that_may_not_migrate_is_told_what_it_needs(empty_database_url):
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE weak LOGIN PASSWORD 'x'")
        try:
            url = psycopg.conninfo.conninfo_to_dict(empty_database_url)
            weak = f"postgresql://weak:x@{url['host']}:{url['port']}/{url['dbname']}"
            with pytest.raises(Refused, match="may not migrate it") as caught:
                await migrate(weak)
        finally:
            connection.execute("DROP ROLE weak")

    assert "ALTER DATABASE … OWNER TO" in caught.value.hint


async def test_an_ordinary_owner_of_the_database_can_migrate_and_use_it(empty_database_url, template_database):
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(
            "CREATE ROLE plain LOGIN PASSWORD 'x'"
        )  # the roles of ours exist: the template made them
        connection.execute(f"ALTER DATABASE {name} OWNER TO plain")
        try:
            url = psycopg.conninfo.conninfo_to_dict(empty_database_url)
            plain = f"postgresql://plain:x@{url['host']}:{url['port']}/{name}"
            await migrate(plain)
            with psycopg.connect(plain) as session:
                session.execute("SELECT core.put_workspace('demo', '{}')")
                document = '{"airflow_version": "3.3.2", "dags_folder": "/d"}'
                made = session.execute("SELECT core.put_deployment('demo', 'x', %s)", (document,)).fetchone()
        finally:
            connection.execute("REASSIGN OWNED BY plain TO CURRENT_USER")
            connection.execute("DROP OWNED BY plain")
            connection.execute("DROP ROLE plain")

    assert made is not None
    assert made[0]["release"] == "demo-x"


def test_a_server_that_is_too_old_is_refused():
    require_server(140012)
    with pytest.raises(SchemaMismatch, match="PostgreSQL 13; Armillary needs 14"):
        require_server(130009)


async def test_a_url_that_cannot_be_used_is_not_repeated():
    with pytest.raises(Unreachable) as caught:
        await migrate("postgresql://user:hush-4711@host:no-port/x")

    assert "hush-4711" not in str(caught.value)


async def test_a_lock_held_by_another_migrator_is_waited_for(empty_database_url):
    with psycopg.connect(empty_database_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (0x41726D696C,))
        waiting = asyncio.create_task(migrate(empty_database_url))
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        assert not done
        other.rollback()
        assert (await waiting).before is None

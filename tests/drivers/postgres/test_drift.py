"""Changes behind our back: each is seen, told in a sentence, and repaired; nothing else is."""

import psycopg
import pytest

from model.names import Ref
from tests.drivers.postgres.world import World

OUTSIDE = {
    "ALTER ROLE {user} SUPERUSER": "was given SUPERUSER",
    "ALTER ROLE {user} CREATEDB": "was given CREATEDB",
    "ALTER ROLE {owner} CREATEROLE": "was given CREATEROLE",
    "ALTER ROLE {user} REPLICATION": "was given REPLICATION",
    "ALTER ROLE {user} BYPASSRLS": "was given BYPASSRLS",
    "ALTER ROLE {user} NOLOGIN": "may not log in",
    "ALTER ROLE {user} CONNECTION LIMIT 3": "limited to 3 connections",
    "ALTER ROLE {user} VALID UNTIL '2020-01-01'": "was given an end",
    "ALTER ROLE {user} NOINHERIT": "does not inherit",
    "ALTER ROLE {user} PASSWORD 'other'": "password of role",
    "ALTER ROLE {user} PASSWORD NULL": "password of role",
    "GRANT pg_read_all_data TO {user}": "made a member of 'pg_read_all_data'",
    "GRANT {owner} TO {user}": "made a member of",
    "ALTER DATABASE {db} OWNER TO postgres": "belongs to 'postgres'",
    "ALTER DATABASE {db} WITH ALLOW_CONNECTIONS false": "allows no connections",
    "ALTER DATABASE {db} WITH CONNECTION LIMIT 5": "limited to 5 connections",
    "ALTER DATABASE {db} WITH IS_TEMPLATE true": "made a template",
    "GRANT CONNECT ON DATABASE {db} TO PUBLIC": "PUBLIC was granted CONNECT",
    "GRANT CONNECT ON DATABASE {db} TO pg_monitor": "pg_monitor was granted CONNECT",
    "GRANT TEMPORARY ON DATABASE {db} TO {user}": "was granted TEMPORARY",
    "REVOKE CONNECT ON DATABASE {db} FROM {user}": "lacks CONNECT",
    "REVOKE CONNECT ON DATABASE {db} FROM {owner}": "lacks CONNECT",
}
INSIDE = {
    "REVOKE DELETE ON job FROM {user}": "may not read and write job",
    "REVOKE USAGE ON SEQUENCE numbers FROM {user}": "may not use numbers",
    "REVOKE USAGE ON SCHEMA public FROM PUBLIC, {user}": "may not use schema public",
    "GRANT CREATE ON SCHEMA public TO PUBLIC": "may create in schema public",
    "ALTER SCHEMA public OWNER TO postgres": "belongs to 'postgres'",
    "ALTER TABLE job OWNER TO postgres": "public.job in",
    "ALTER TYPE mood OWNER TO postgres": "public.mood in",
    "ALTER FUNCTION one(int) OWNER TO postgres": "public.one(a integer) in",
    "CREATE TABLE report ()": "public.report in",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public REVOKE UPDATE ON TABLES FROM {user}": "new tables",
    "REASSIGN OWNED BY {owner} TO postgres": "belongs to 'postgres'",
}
SCHEMA = (
    "CREATE TABLE job (id bigserial, state text); CREATE SEQUENCE numbers; CREATE TYPE mood AS ENUM ('good'); "
    "CREATE FUNCTION one(a int) RETURNS int LANGUAGE sql RETURN 1; INSERT INTO job (state) VALUES ('kept')"
)


async def made(world: World) -> None:
    await world.put()
    with world.logged_in(as_owner=True) as owner:
        owner.execute(SCHEMA)
    assert await world.drift() == []


async def test_each_change_of_a_role_or_database_is_seen_and_repaired(world: World):
    await made(world)
    for statement, told in OUTSIDE.items():
        world.do(statement)

        drift = await world.drift()
        await world.repair()

        assert any(told in one for one in drift), (statement, drift)
        assert await world.drift() == [], statement
        with world.logged_in() as user:
            assert user.execute("SELECT state FROM job").fetchall() == [("kept",)], statement


async def test_each_change_inside_a_database_is_seen_and_repaired(world: World):
    await made(world)
    for statement, told in INSIDE.items():
        world.inside(statement)

        drift = await world.drift()
        await world.repair()

        assert any(told in one for one in drift), (statement, drift)
        assert await world.drift() == [], statement
        with world.logged_in() as user:
            user.execute("INSERT INTO job (state) VALUES ('more')")
    with world.logged_in(as_owner=True) as owner:
        owner.execute("ALTER TABLE job ADD note text; DROP FUNCTION one; ALTER TYPE mood ADD VALUE 'bad'")


async def test_all_at_once_is_repaired_in_one_go(world: World):
    await made(world)
    for statement in INSIDE:
        world.inside(statement)
    for statement in OUTSIDE:
        world.do(statement)

    await world.repair()

    assert await world.drift() == []


@pytest.mark.parametrize("role", ["user", "owner"])
async def test_a_dropped_role_comes_back_with_what_it_owned_and_might_do(world: World, role: str):
    await made(world)
    world.inside(f"REASSIGN OWNED BY {{{role}}} TO postgres")
    world.inside(f"DROP OWNED BY {{{role}}}")
    world.do(f"DROP ROLE {{{role}}}")

    observed = await world.observe()
    name = world.release if role == "user" else world.owner_role
    assert Ref("Role", name) not in observed.seen
    await world.repair()

    assert await world.drift() == []
    with world.logged_in() as user:
        assert user.execute("SELECT state FROM job").fetchall() == [("kept",)]
    with world.logged_in(as_owner=True) as owner:
        owner.execute("ALTER TABLE job ADD note text")


async def test_sessions_of_a_dropped_role_are_ended_since_they_may_do_nothing_any_more(world: World):
    await made(world)
    with world.logged_in() as left_over:
        world.inside("DROP OWNED BY {user}")
        world.do("DROP ROLE {user}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            left_over.execute("SELECT state FROM job")

        await world.repair()

        with pytest.raises(psycopg.errors.AdminShutdown):
            left_over.execute("SELECT state FROM job")
    with world.logged_in() as user:
        assert user.execute("SELECT state FROM job").fetchall() == [("kept",)]


async def test_a_dropped_schema_is_made_again(world: World):
    await made(world)
    world.inside("DROP SCHEMA public CASCADE")

    observed = await world.observe()
    await world.repair()

    assert Ref("Grant", world.release) not in observed.seen
    assert await world.drift() == []


async def test_a_dropped_database_is_seen_as_gone_and_not_made_by_an_update(world: World):
    await made(world)
    await world.drop()

    observed = await world.observe()

    assert {ref.kind for ref in observed.seen} == {"Role"}
    assert next(one for one in world.objects() if one.ref.kind == "Database").irreplaceable


async def test_a_restored_backup_without_comments_is_taken_for_ours(world: World):
    await made(world)
    await world.drop()
    world.do("CREATE DATABASE {db} OWNER {owner} TEMPLATE template0")

    assert (await world.see("Database")).digest is None
    await world.repair()

    assert await world.drift() == []


async def test_things_in_other_schemas_and_of_extensions_are_left_alone(world: World):
    await made(world)
    world.inside("CREATE SCHEMA reports; CREATE TABLE reports.mine (); CREATE EXTENSION pg_trgm")

    assert await world.drift() == []


async def test_settings_of_a_role_are_an_administrators_business(world: World):
    await made(world)
    world.do("ALTER ROLE {user} SET statement_timeout = '1h'")

    assert await world.drift() == []

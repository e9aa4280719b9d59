"""What the postgres driver makes, and what its roles can do with it."""

import psycopg
import pytest
from psycopg import errors

from drivers.base import Conflict, Refused, Unavailable
from model.names import Ref
from model.plan import Cause, Create, Replace, Update
from model.units import Volume
from tests.drivers.postgres.world import World

TABLE = "CREATE TABLE job (id bigint GENERATED ALWAYS AS IDENTITY, state text); CREATE SEQUENCE numbers"


async def test_the_owner_migrates_and_the_user_reads_and_writes_rows_alone(world: World):
    await world.put()

    with world.logged_in(as_owner=True) as owner:
        owner.execute(TABLE)
    with world.logged_in() as user:
        user.execute("INSERT INTO job (state) VALUES ('new')")
        user.execute("UPDATE job SET state = 'old'")
        user.execute("SELECT nextval('numbers'), setval('numbers', 7)")
        assert user.execute("SELECT id, state FROM job").fetchall() == [(1, "old")]
        user.execute("DELETE FROM job")
        for forbidden in ("CREATE TABLE mine ()", "ALTER TABLE job ADD x int", "DROP TABLE job", "TRUNCATE job"):
            with pytest.raises(errors.InsufficientPrivilege):
                user.execute(forbidden)


async def test_what_was_made_is_seen_with_its_digests_and_without_drift(world: World):
    await world.put()

    observed = await world.observe()

    assert {ref: one.digest for ref, one in observed.seen.items()} == {
        one.ref: one.digest for one in world.objects()
    }
    assert await world.drift() == []
    assert not observed.foreign
    assert not observed.blind


async def test_a_table_that_the_migration_makes_is_no_drift(world: World):
    await world.put()
    with world.logged_in(as_owner=True) as owner:
        owner.execute(TABLE)
        owner.execute("CREATE TYPE mood AS ENUM ('good'); CREATE VIEW jobs AS SELECT * FROM job")
        owner.execute("CREATE FUNCTION one() RETURNS int LANGUAGE sql RETURN 1")

    assert await world.drift() == []


async def test_nobody_else_may_connect(world: World):
    other = World(url=world.url)
    await world.put()
    await other.put()
    try:
        with other.logged_in() as session:
            facts = session.info.get_parameters() | {"dbname": world.release, "password": session.info.password}
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(**facts)
    finally:
        await other.driver.close()
        other.clean()


async def test_a_password_is_never_sent(world: World):
    await world.put()

    verifiers = world.do(
        "SELECT rolpassword FROM pg_authid WHERE rolname IN (%(u)s, %(o)s)", u=world.release, o=world.owner_role
    )

    assert len(verifiers) == 2
    assert all(one.startswith("SCRAM-SHA-256$") for (one,) in verifiers)


async def test_a_new_version_of_a_password_takes_effect_and_the_old_one_does_not(world: World):
    await world.put()
    for one in world.objects(version=2):
        await world.driver.apply(world.owner, Update(object=one, cause=Cause.GENERATION, why="rotated"))

    with world.logged_in(version=2) as user:
        user.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"), world.logged_in():
        pass


async def test_the_second_apply_reveals_and_writes_nothing(world: World):
    await world.put()
    before = world.do(
        "SELECT oid, xmin::text FROM pg_authid UNION ALL SELECT oid, xmin::text FROM pg_database ORDER BY 1"
    )
    reveals = world.reveals

    await world.put()

    after = world.do(
        "SELECT oid, xmin::text FROM pg_authid UNION ALL SELECT oid, xmin::text FROM pg_database ORDER BY 1"
    )
    assert after == before
    assert world.reveals == reveals


async def test_a_role_that_was_not_made_yet_is_waited_for(world: World):
    database = world.objects()[2]
    with pytest.raises(Unavailable, match="comes before"):
        await world.driver.apply(world.owner, Create(object=database, cause=Cause.GENERATION, why="asked"))

    assert world.do("SELECT FROM pg_database WHERE datname = %(d)s", d=world.release) == []


async def test_a_role_of_somebody_else_is_a_conflict_and_is_left_as_it_is(world: World):
    world.do("CREATE ROLE {user} NOLOGIN; COMMENT ON ROLE {user} IS 'the accountants'")

    observed = await world.observe()
    with pytest.raises(Conflict, match="carries no mark"):
        await world.put()

    assert "Rename or drop it" in observed.foreign[Ref("Role", world.release)]
    query = "SELECT rolcanlogin, shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = %(u)s"
    assert world.do(query, u=world.release) == [(False, "the accountants")]


async def test_the_hint_of_a_foreign_role_makes_it_ours(world: World):
    world.do("CREATE ROLE {user} NOLOGIN")
    hint = (await world.observe()).foreign[Ref("Role", world.release)].partition("run: ")[2]

    world.do(hint.replace("{", "{{").replace("}", "}}"))
    await world.repair()

    assert await world.drift() == []


async def test_a_mark_copied_from_another_object_is_no_mark(world: World):
    await world.put()
    other = World(url=world.url, release=f"{world.release}-copy")
    try:
        comment = "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = %(u)s"
        ((mark,),) = world.do(comment, u=world.release)
        other.do("CREATE ROLE {user}")
        other.do("COMMENT ON ROLE {user} IS '" + mark.replace("{", "{{").replace("}", "}}") + "'")

        observed = await world.driver.observe(world.owner, frozenset({Ref("Role", other.release)}))

        assert Ref("Role", other.release) not in observed.seen
        assert Ref("Role", other.release) in observed.foreign
    finally:
        await other.driver.close()
        other.clean()


async def test_an_interrupted_creation_is_finished_by_the_next_one(world: World):
    await world.put()
    # what is left when the connection is cut between CREATE DATABASE and its mark
    world.do("COMMENT ON DATABASE {db} IS NULL")
    world.inside("COMMENT ON SCHEMA public IS NULL")

    unfinished = await world.see("Database")
    await world.repair()

    assert unfinished.digest is None
    assert await world.drift() == []


async def test_a_database_is_never_replaced(world: World):
    await world.put()
    (database,) = [one for one in world.objects() if one.ref.kind == "Database"]

    with pytest.raises(Refused, match="never replaced"):
        await world.driver.apply(world.owner, Replace(object=database, cause=Cause.GENERATION, why="?"))


@pytest.mark.parametrize("name", ["", "pg_mine", "postgres", "ä" * 32, "x" * 64])
async def test_names_that_postgresql_cannot_hold_are_refused(world: World, name: str):
    from dataclasses import replace

    with pytest.raises(Refused, match="cannot name a role or database"):
        world.driver.translate(replace(world.unit, database=name), world.site)


async def test_other_units_are_refused(world: World):
    with pytest.raises(Refused, match="another driver must"):
        world.driver.translate(Volume(name="logs", component="logs"), world.site)

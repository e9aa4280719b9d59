"""Deletion: gradual, repeatable, only of what was seen, and never of what is somebody else's."""

import asyncio
import contextlib

import psycopg
import pytest

from drivers.base import Conflict, Refused, Unavailable
from model.names import Ref
from tests.drivers.postgres.world import World


async def test_everything_of_an_owner_can_be_removed(world: World):
    await world.put()

    await world.delete_all()

    assert (await world.observe()).seen == {}
    assert (
        world.do("SELECT FROM pg_roles WHERE rolname IN (%(u)s, %(o)s)", u=world.release, o=world.owner_role) == []
    )


async def test_deleting_what_is_gone_is_done(world: World):
    for ref in world.refs:
        assert await world.delete(ref, "1") == ""


async def test_another_object_of_that_name_is_not_deleted(world: World):
    await world.put()

    with pytest.raises(Conflict, match="not the object that was seen"):
        await world.delete(Ref("Database", world.release), "1")
    with pytest.raises(Conflict, match="without saying which"):
        await world.delete(Ref("Database", world.release), "")

    assert await world.drift() == []


async def test_our_own_sessions_are_ended_for_a_drop(world: World):
    await world.put()
    with contextlib.suppress(psycopg.OperationalError), world.logged_in() as session:
        await world.delete_all()
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")

    assert (await world.observe()).seen == {}


async def test_somebody_elses_session_is_named_and_left_alone(world: World):
    await world.put()
    database = await world.see("Database")
    with psycopg.connect(world.url_of(world.release, application_name="backup")) as stranger:
        with pytest.raises(Unavailable, match=r"still used by postgres \(backup\)"):
            await world.delete(database.ref, database.uid)
        stranger.execute("SELECT 1")

    await world.delete(database.ref, database.uid)
    assert Ref("Database", world.release) not in (await world.observe()).seen


async def test_a_deletion_that_was_taken_back_half_way_is_repaired(world: World):
    await world.put()
    database = await world.see("Database")
    with (
        psycopg.connect(world.url_of(world.release)),
        pytest.raises(Unavailable, match="still used by"),
    ):
        await world.delete(database.ref, database.uid)

    assert any("lacks CONNECT" in one for one in await world.drift())
    await world.repair()

    assert await world.drift() == []
    with world.logged_in() as user:
        user.execute("SELECT 1")


async def test_a_half_dropped_database_is_told_and_can_be_dropped(world: World):
    await world.put()
    # what PostgreSQL itself leaves when a DROP DATABASE is cut off
    world.do("UPDATE pg_database SET datconnlimit = -2 WHERE datname = %(d)s", d=world.release)

    database = await world.see("Database")
    assert "half dropped" in database.drift[0].what
    with pytest.raises(Refused, match="restore it from a backup"):
        await world.repair()
    await world.delete_all()

    assert (await world.observe()).seen == {}


async def test_a_role_goes_without_what_it_owned(world: World):
    await world.put()
    with world.logged_in(as_owner=True) as owner:
        owner.execute("CREATE TABLE job (state text); INSERT INTO job VALUES ('kept')")

    role = await world.see("Role", world.owner_role)
    await world.delete(role.ref, role.uid)

    assert world.inside("SELECT state FROM job") == [("kept",)]
    await world.repair()
    assert await world.drift() == []


async def test_a_role_that_owns_things_elsewhere_is_kept_and_the_reason_told(world: World):
    await world.put()
    other = World(url=world.url, release=f"{world.release}-copy")
    other.do("CREATE DATABASE {db}")
    try:
        world.do(f'CREATE TABLE "{world.release}" ()', database=other.release)
        world.do(f'ALTER TABLE "{world.release}" OWNER TO {{owner}}', database=other.release)

        with pytest.raises(Refused, match="cannot be dropped because some objects depend on it"):
            await world.delete_all()
    finally:
        await other.driver.close()
        other.clean()

    await world.delete_all()
    assert (await world.observe()).seen == {}


async def test_taking_grants_back_keeps_the_rows(world: World):
    await world.put()
    with world.logged_in(as_owner=True) as owner:
        owner.execute("CREATE TABLE job (state text); INSERT INTO job VALUES ('kept')")
    grant = await world.see("Grant")

    await world.delete(grant.ref, grant.uid)

    assert Ref("Grant", world.release) not in (await world.observe()).seen
    with pytest.raises(psycopg.OperationalError, match="permission denied"), world.logged_in():
        pass
    await world.repair()
    with world.logged_in() as user:
        assert user.execute("SELECT state FROM job").fetchall() == [("kept",)]


async def test_a_cancelled_write_leaves_what_the_next_one_finishes(world: World):
    """Cut off ever later, until the write wins the race."""
    objects = world.objects()
    for one in objects[:2]:
        await world.driver.apply(world.owner, world.create(one))
    for share in range(22):
        try:
            async with asyncio.timeout(0.001 * 1.4**share):
                await world.driver.apply(world.owner, world.create(objects[2]))
                break
        except TimeoutError:
            observed = await world.observe()
            assert not observed.foreign, observed
    await world.repair()

    assert await world.drift() == []

"""The server itself: not there, restarted, hung, owned by an administrator with fewer rights; and hints."""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from drivers.base import Refused, Unavailable
from drivers.postgres.driver import PostgresDriver
from model.names import Owner
from state.embedded import Embedded
from tests.drivers.postgres.relay import Relay
from tests.drivers.postgres.world import World

KINDS = {"Role", "Database", "Grant"}


@contextlib.contextmanager
def administrator(world: World, attributes: str) -> Iterator[str]:
    """A role with these attributes; gives its URL. Its things are removed at the end."""
    name = sql.Identifier(f"{world.release}-admin")
    with psycopg.connect(world.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'adm1n-s3cret' " + attributes).format(name))
        try:
            yield world.url_of("postgres", user=f"{world.release}-admin", password="adm1n-s3cret")
        finally:
            world.clean()
            connection.execute(sql.SQL("DROP OWNED BY {}").format(name))
            connection.execute(sql.SQL("DROP ROLE {}").format(name))


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def test_a_server_that_is_not_there_is_blind_and_its_password_is_not_told(world: World):
    driver = world.make_driver(f"postgresql://adm:t0psecret@127.0.0.1:{free_port()}/x")

    observed = await driver.observe(world.owner, world.refs)
    errors = []
    for attempt in (driver.open(), driver.owners(), anext(driver.watch())):
        with pytest.raises(Unavailable, match="cannot be reached") as caught:
            await attempt
        errors.append(repr(caught.value))
    await driver.close()

    assert observed.blind.keys() == KINDS
    assert not observed.seen
    assert "t0psecret" not in "".join([*errors, *observed.blind.values()])


async def test_a_server_that_hangs_is_blind_in_time(world: World):
    """Accepts connections and never answers, like a stopped process."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        driver = world.make_driver(f"postgresql://adm@127.0.0.1:{silent.getsockname()[1]}/x")
        began = time.monotonic()
        observed = await driver.observe(world.owner, world.refs)
        took = time.monotonic() - began
        await driver.close()

    assert observed.blind.keys() == KINDS
    assert took < 8


async def test_a_connection_that_is_given_up_is_closed_at_once(world: World):
    """PostgreSQL waits a minute for whoever does not log in, and until then lets nobody drop a database."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        driver = world.make_driver(f"postgresql://adm@127.0.0.1:{silent.getsockname()[1]}/x")
        looking = asyncio.ensure_future(driver.observe(world.owner, world.refs))
        accepted, _ = await asyncio.to_thread(silent.accept)
        accepted.settimeout(5)
        first = await asyncio.to_thread(accepted.recv, 1000)
        looking.cancel()
        with pytest.raises(asyncio.CancelledError) as kept:
            await looking
        with accepted:
            assert await asyncio.to_thread(accepted.recv, 1000) == b""
        await driver.close()

    assert first
    assert kept.value.__traceback__  # somebody may hold the error for long


async def test_a_session_that_hangs_in_the_middle_is_blind_in_time(world: World):
    await world.put()
    ((pid,),) = world.do(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'armillary-databases' AND state = 'idle' "
        "AND datname = current_database() ORDER BY backend_start DESC LIMIT 1"
    )
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        async with asyncio.timeout(15):
            observed = await world.observe()
        took = time.monotonic() - began
    finally:
        os.kill(pid, signal.SIGCONT)

    assert observed.blind.keys() == KINDS
    assert took < 15
    assert (await world.observe()).seen.keys() == world.refs


async def test_sessions_ended_by_somebody_are_made_again(world: World):
    await world.put()
    world.do(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'armillary-databases'"
    )

    assert (await world.observe()).seen.keys() == world.refs


async def test_a_database_that_cannot_be_entered_blinds_the_grants_alone(world: World):
    with administrator(world, "CREATEROLE CREATEDB") as url:
        await world.driver.close()
        world.driver = world.make_driver(url)
        await world.put()
        world.do("ALTER DATABASE {db} WITH CONNECTION LIMIT 0")
        world.end_sessions()

        observed = await world.observe()
        await world.repair()

        assert "too many connections" in observed.blind["Grant"]
        assert {ref.kind for ref in observed.seen} == {"Role", "Database"}
        assert await world.drift() == []


async def test_createrole_and_createdb_are_enough_for_everything(world: World):
    with administrator(world, "CREATEROLE CREATEDB") as url:
        await world.driver.close()
        world.driver = world.make_driver(url)
        await world.put()
        with world.logged_in(as_owner=True) as owner:
            owner.execute("CREATE TABLE job (state text)")
        with world.logged_in() as user:
            user.execute("INSERT INTO job VALUES ('kept')")
        assert await world.drift() == []

        world.do("ALTER ROLE {user} NOLOGIN; GRANT CONNECT ON DATABASE {db} TO PUBLIC")
        world.inside("REVOKE DELETE ON job FROM {user}")
        assert len(await world.drift()) == 3
        await world.repair()
        assert await world.drift() == []

        with world.logged_in():  # which only pg_signal_backend could end
            world.inside("DROP OWNED BY {user}")
            world.do("DROP ROLE {user}")
            await world.repair()
            assert await world.drift() == []

        await world.delete_all()
        assert (await world.observe()).seen == {}


@pytest.mark.parametrize("attributes", ["", "CREATEROLE", "CREATEDB"])
async def test_a_missing_right_is_told_with_the_statement_that_grants_it(world: World, attributes: str):
    with administrator(world, attributes) as url:
        await world.driver.close()
        world.driver = world.make_driver(url)

        with pytest.raises(Refused, match=r"ALTER ROLE .* CREATEROLE CREATEDB"):
            await world.put()


async def test_owners_are_those_of_this_installation_alone(world: World):
    other = World(url=world.url, installation="another")
    await world.put()
    await other.put()
    try:
        owners = await world.driver.owners()
    finally:
        await other.driver.close()
        other.clean()

    assert world.owner in owners
    assert other.owner not in owners


async def test_changes_are_hinted_at_and_nothing_else_is(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("drivers.postgres.driver._WATCH_SECONDS", 0.05)
    await world.put()
    watching = world.driver.watch()
    assert await asyncio.wait_for(anext(watching), 5) == world.owner

    waiting = asyncio.ensure_future(anext(watching))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    world.do("ALTER ROLE {user} NOLOGIN")

    assert await asyncio.wait_for(waiting, 5) == world.owner
    await world.driver.close()
    assert [owner async for owner in watching] == []


async def test_after_an_outage_everybody_is_worth_a_look(world: World, postgres_server: Embedded):
    await world.put()
    relay = Relay("127.0.0.1", postgres_server.port)
    await relay.open()
    driver = world.make_driver(world.url_of("postgres", port=str(relay.port)))
    await driver.open()
    with relay.cut(), pytest.raises(Unavailable):
        await anext(driver.watch())

    watching = driver.watch()
    first = await asyncio.wait_for(anext(watching), 5)
    await watching.aclose()
    await driver.close()
    await relay.close()

    assert first == world.owner


async def test_a_url_that_cannot_be_read_is_refused_without_repeating_it(world: World):
    with pytest.raises(ValueError, match="cannot be read") as caught:
        PostgresDriver(admin_url="postgresql://adm:t0p secret@h:port:x/", installation="x", reveal=world.reveal)

    assert "t0p" not in repr(caught.value)
    assert caught.value.__context__ is None


async def test_of_an_owner_that_has_nothing_nothing_is_seen(world: World):
    observed = await world.driver.observe(Owner("deployment", "none"), frozenset())

    assert (observed.seen, observed.foreign, observed.blind) == ({}, {}, {})

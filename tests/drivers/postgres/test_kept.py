"""Connections kept inside databases: used again, few, and in the way of nobody and nothing."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from drivers.postgres import kept, server
from state.embedded import prepare
from tests.conftest import Start
from tests.drivers.postgres.world import World

SECONDS_MAX = 10.0


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while not is_so():  # noqa: ASYNC110 - the world tells nobody
            await asyncio.sleep(0.02)


async def kept_of(world: World) -> int:
    """The one session that looking leaves in the database."""
    await world.observe()
    (pid,) = world.sessions()
    return pid


async def test_a_second_look_goes_through_the_same_connection(world: World):
    await world.put()
    first = await kept_of(world)

    assert await kept_of(world) == first
    assert await world.drift() == []


@pytest.mark.parametrize(
    "statement",
    [
        "DROP DATABASE {db}",
        "ALTER DATABASE {db} RENAME TO {other}",
        "CREATE DATABASE {other} TEMPLATE {db}",
    ],
)
async def test_whoever_wants_a_database_for_himself_gets_it(world: World, statement: str):
    await world.put()
    await kept_of(world)
    other = World(url=world.url)
    try:
        await asyncio.to_thread(world.do, statement.replace("{other}", f'"{other.release}"'))
    finally:
        await other.driver.close()
        other.clean()

    assert world.sessions() == []
    assert not (await world.observe()).blind


async def test_our_own_drop_does_not_wait_for_our_own_connection(world: World):
    await world.put()
    database = await world.see("Database")
    assert world.sessions()

    began = time.monotonic()
    await world.delete(database.ref, database.uid)

    assert time.monotonic() - began < server._MAKE_WAY_SECONDS
    assert database.ref not in (await world.observe()).seen


async def test_a_kept_connection_that_was_ended_is_made_again(world: World):
    await world.put()
    first = await kept_of(world)
    world.end_sessions()

    assert await world.drift() == []
    assert world.sessions() not in ([], [first])


async def test_a_kept_connection_that_hangs_blinds_the_grants_alone_and_is_given_up(world: World):
    await world.put()
    pid = await kept_of(world)
    os.kill(pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(15):
            observed = await world.observe()
        again = await world.observe()
    finally:
        os.kill(pid, signal.SIGCONT)

    assert observed.blind.keys() == {"Grant"}
    assert "did not answer" in observed.blind["Grant"]
    assert again.seen.keys() == world.refs


async def test_a_look_that_is_cut_off_keeps_nothing(world: World):
    await world.put()
    await kept_of(world)
    with psycopg.connect(world.url_of(world.release)) as blocker:
        blocker.execute("LOCK TABLE pg_namespace IN ACCESS EXCLUSIVE MODE")
        looking = asyncio.ensure_future(world.observe())
        waiting = "SELECT FROM pg_stat_activity WHERE datname = %(d)s AND wait_event_type = 'Lock'"
        await until(lambda: bool(world.do(waiting, d=world.release)))
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking

    await until(lambda: world.sessions() == [])
    assert await world.drift() == []


async def test_what_nobody_looks_into_is_left(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server, "_MAKE_WAY_SECONDS", 0.05)
    monkeypatch.setattr(kept, "IDLE_SECONDS_MAX", 0.1)
    await world.put()
    await kept_of(world)

    await until(lambda: world.sessions() == [])


async def test_only_the_databases_looked_into_last_are_kept(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kept, "MOST", 1)
    other = World(url=world.url)
    try:
        await world.put()
        await other.put()
        await other.driver.close()
        for one in (world, other):
            await world.driver.observe(one.owner, one.refs)

        await until(lambda: (len(world.sessions()), len(other.sessions())) == (0, 1))
    finally:
        other.clean()


async def test_a_server_that_was_restarted_is_seen_again(start_server: Start, scratch: Path):
    home = scratch / "restarted"
    embedded = prepare(home)
    process = start_server(embedded, scratch / "restarted.log")
    world = World(url=embedded.url_of("postgres"))
    await world.put()
    await kept_of(world)

    process.send_signal(signal.SIGINT)
    await asyncio.to_thread(process.wait, SECONDS_MAX)
    gone = await world.observe()
    await asyncio.to_thread(start_server, embedded, scratch / "restarted.log")

    assert gone.blind.keys() == {"Role", "Database", "Grant"}
    assert await world.drift() == []
    assert len(world.sessions()) == 1
    await world.driver.close()


async def test_a_closed_driver_leaves_nothing(world: World):
    await world.put()
    await kept_of(world)
    await world.driver.close()

    await until(lambda: world.sessions() == [])

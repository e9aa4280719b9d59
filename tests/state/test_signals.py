"""Signals come quickly, survive a killed connection, and end when told."""

import asyncio
import contextlib
import time

import psycopg
import pytest

from model.status import Record, Status
from state.signals import Changed, Connected, signals

WAIT_SECONDS = 10.0


@pytest.fixture
async def listen(empty_database_url):
    """The stream of signals, already connected, and the event that stops it."""
    stop = asyncio.Event()
    async with contextlib.aclosing(signals(empty_database_url, stop=stop, heartbeat_seconds=0.2)) as stream:
        assert await _next(stream) == Connected()
        yield stream, stop


async def _next(stream):
    async with asyncio.timeout(WAIT_SECONDS):
        return await anext(stream)


def _execute(url, statement):
    with psycopg.connect(url, autocommit=True) as connection:
        return (
            connection.execute(statement).fetchone()
            if statement.startswith("SELECT")
            else connection.execute(statement)
        )


async def test_a_notification_arrives_at_once(listen, empty_database_url):
    stream, _ = listen
    waiting = asyncio.create_task(_next(stream))
    await asyncio.sleep(0)
    async with await psycopg.AsyncConnection.connect(empty_database_url, autocommit=True) as other:
        began = time.monotonic()
        await other.execute("NOTIFY armillary")
        assert await waiting == Changed()
        seconds = time.monotonic() - began

    assert seconds < 0.5


async def test_many_notifications_are_few_signals(listen, empty_database_url):
    stream, stop = listen
    for _ in range(5):
        _execute(empty_database_url, "NOTIFY armillary")
    assert await _next(stream) == Changed()
    asyncio.get_running_loop().call_later(0.5, stop.set)
    more = [one async for one in stream]

    assert len(more) < 5
    assert all(one == Changed() for one in more)


async def test_a_quiet_channel_gives_no_signal_and_stays_connected(listen, empty_database_url):
    stream, stop = listen
    asyncio.get_running_loop().call_later(0.7, stop.set)

    assert [one async for one in stream] == []


async def test_no_notification_is_lost_beside_heartbeats(empty_database_url):
    stop = asyncio.Event()
    stream = signals(empty_database_url, stop=stop, heartbeat_seconds=0.001)
    async with (
        contextlib.aclosing(stream),
        await psycopg.AsyncConnection.connect(empty_database_url, autocommit=True) as other,
    ):
        assert await _next(stream) == Connected()
        for _ in range(100):
            await other.execute("NOTIFY armillary")
            assert await _next(stream) == Changed()


async def test_a_killed_connection_is_made_again_and_listens_again(listen, empty_database_url):
    stream, _ = listen
    _execute(
        empty_database_url,
        "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity"
        " WHERE application_name = 'armillary signals' AND datname = current_database()",
    )
    assert await _next(stream) == Connected()
    _execute(empty_database_url, "NOTIFY armillary")

    assert await _next(stream) == Changed()


async def test_a_server_that_is_not_there_is_asked_until_stopped():
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.5, stop.set)
    async with asyncio.timeout(WAIT_SECONDS):
        seen = [one async for one in signals("postgresql://u:p@127.0.0.1:9/d", stop=stop)]

    assert seen == []


async def test_a_stopped_stream_leaves_no_connection_behind(listen, empty_database_url):
    stream, stop = listen
    stop.set()
    assert [one async for one in stream] == []
    deadline = time.monotonic() + WAIT_SECONDS
    counted = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'armillary signals'"
    while _execute(empty_database_url, counted) != (0,) and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.02)

    assert _execute(empty_database_url, counted) == (0,)


async def test_a_change_in_psql_is_signalled_and_the_daemons_own_record_is_not(
    database_url, store, owner, execute
):
    stop = asyncio.Event()
    async with contextlib.aclosing(signals(database_url, stop=stop)) as stream:
        assert await _next(stream) == Connected()
        execute("UPDATE armillary.components SET replicas = 0 WHERE component = 'triggerer'")
        assert await _next(stream) == Changed()
        await store.record(Record(owner=owner, epoch=1, status=Status(observed_generation=2)))
        asyncio.get_running_loop().call_later(0.3, stop.set)

        assert [one async for one in stream] == []

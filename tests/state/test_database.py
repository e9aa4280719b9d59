"""The pool heals broken connections, bounds every wait and keeps values out of errors."""

import time

import psycopg
import pytest

from state.database import connect
from state.errors import StateError, Unreachable


@pytest.fixture
async def database(empty_database_url):
    database = await connect(empty_database_url, application_name="armillary test")
    yield database
    await database.close()


async def store(database, statement, parameters=None):
    async def work(connection):
        await connection.execute(statement, parameters)

    await database.write(work)


def _terminate_all(url):
    with psycopg.connect(url, autocommit=True) as connection:
        (count,) = connection.execute(
            "SELECT count(pg_terminate_backend(pid, 2000)) FROM pg_stat_activity"
            " WHERE application_name = 'armillary test' AND datname = current_database()"
        ).fetchone()
    return count


async def test_connections_say_who_they_are_and_bound_their_waits(database):
    ((name, statement, lock),) = await database.read(
        "SELECT current_setting('application_name'), current_setting('statement_timeout'),"
        " current_setting('lock_timeout')"
    )

    assert (name, statement, lock) == ("armillary test", "5s", "2s")


async def test_after_a_pooled_connection_was_killed_the_next_call_works(database, empty_database_url):
    assert _terminate_all(empty_database_url) == 1

    assert await database.read_value("SELECT 41 + 1") == 42


async def test_a_connection_killed_in_the_middle_makes_the_work_be_done_again(database, empty_database_url):
    await store(database, "CREATE TABLE rows (n int)")
    tries = []

    async def work(connection):
        tries.append(1)
        await connection.execute("INSERT INTO rows VALUES (1)")
        if len(tries) == 1:
            _terminate_all(empty_database_url)
        await connection.execute("SELECT 1")

    await database.write(work)

    assert len(tries) == 2
    assert await database.read_value("SELECT count(*) FROM rows") == 1


async def test_a_commit_whose_fate_is_unknown_is_not_tried_again(database, empty_database_url):
    await store(database, "CREATE TABLE rows (n int)")
    tries = []

    async def work(connection):
        tries.append(1)
        await connection.execute("INSERT INTO rows VALUES (1)")
        _terminate_all(empty_database_url)

    with pytest.raises(Unreachable, match="may or may not be"):
        await database.write(work)

    assert len(tries) == 1


async def test_a_server_that_is_not_there_is_unreachable_in_bounded_time():
    began = time.monotonic()
    with pytest.raises(Unreachable, match="cannot be reached") as caught:
        await connect("postgresql://u:pass-4711@127.0.0.1:9/armillary", application_name="test")

    assert "pass-4711" not in str(caught.value)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("url", ["", "mysql://u:pass-4711@h/d", "not a url pass-4711"])
async def test_a_url_that_cannot_be_used_is_told_without_its_password(url):
    with pytest.raises(Unreachable, match="postgresql://user") as caught:
        await connect(url, application_name="test")

    assert "pass-4711" not in str(caught.value)


async def test_values_never_show_in_errors(database):
    await store(database, "CREATE TABLE kept (v text CHECK (v = 'no'))")
    with pytest.raises(StateError) as caught:
        await store(database, "INSERT INTO kept VALUES (%(v)s)", {"v": "hush-4711"})

    chain = [caught.value, caught.value.__cause__]
    assert "hush-4711" not in "".join(f"{one!s}{one!r}" for one in chain)


async def test_a_lock_held_by_somebody_else_is_an_error_within_its_timeout(database, empty_database_url):
    await store(database, "CREATE TABLE kept (v int)")
    with psycopg.connect(empty_database_url) as other:
        other.execute("LOCK TABLE kept")
        began = time.monotonic()
        with pytest.raises(StateError):
            await database.read("SELECT * FROM kept")

    assert time.monotonic() - began < 4

"""Where a new fleet's ports begin."""

import socket

import psycopg
import pytest

from cli import portrange
from cli.errors import Failed

RANGE = "SELECT port_first, port_last FROM core.clusters WHERE name = 'local'"


def one(url, statement):
    with psycopg.connect(url) as connection:
        return connection.execute(statement).fetchone()


@pytest.fixture
def taken(database_url):
    """A port of the first block that somebody listens on; the range begins there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with psycopg.connect(database_url) as connection:
            connection.execute("ALTER TABLE core.clusters DROP CONSTRAINT cluster_ports_are_a_range")
            connection.execute("UPDATE core.clusters SET port_first = %s, port_last = 65535", (port,))
        yield port


async def test_the_first_deployments_ports_begin_after_what_is_taken(database_url, taken):
    await portrange.settle(database_url)

    first, _ = one(database_url, RANGE)
    assert first >= taken + 16
    assert (first - taken) % 16 == 0


async def test_a_range_that_begins_with_a_free_block_stays_as_it_is(database_url):
    free = portrange.free_block(portrange.blocks(26000, 32000))
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE core.clusters SET port_first = %s", (free,))

    await portrange.settle(database_url)

    assert one(database_url, RANGE)[0] == free


async def test_nothing_moves_once_there_is_a_deployment(database_url, taken):
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO armillary.workspaces (name) VALUES ('demo')")
        connection.execute(
            "INSERT INTO armillary.deployments (workspace, name, airflow_version, dags_folder)"
            " VALUES ('demo', 'hello', '3.3.2', '/tmp')"
        )

    await portrange.settle(database_url)

    assert one(database_url, RANGE)[0] == taken


def test_a_block_is_free_only_when_all_its_ports_are():
    assert portrange.free_block([100, 116, 132], lambda port: port not in {107, 131}) == 132


def test_no_free_block_is_an_error_that_says_so():
    with pytest.raises(Failed, match="16 ports"):
        portrange.free_block([100], lambda _: False)


def test_every_block_lies_within_the_range_also_when_scattered():
    found = portrange.blocks(20000, 20063)

    assert found == [20000, 20016, 20032, 20048]
    assert sorted(portrange.blocks(20000, 20063, scattered=True)) == found

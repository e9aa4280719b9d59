"""A connected state store on a fresh database, and what is needed to ask for deployments in it."""

import psycopg
import pytest

from model.names import Owner
from state.database import connect
from state.keyring import Keyring
from state.store import Store


@pytest.fixture
async def database(database_url):
    database = await connect(database_url, application_name="armillary test")
    yield database
    await database.close()


@pytest.fixture
def keyring():
    return Keyring.in_memory()


@pytest.fixture
async def store(database, keyring):
    store = Store(database, keyring)
    yield store
    await store.close()


@pytest.fixture
def execute(database_url):
    """Runs one statement as an administrator in psql would, and returns its rows."""

    def run(statement, parameters=None):
        with psycopg.connect(database_url, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    return run


@pytest.fixture
def owner(execute):
    """The owner of a deployment demo/hello."""
    execute("INSERT INTO armillary.workspaces (name) VALUES ('demo')")
    execute(
        "INSERT INTO armillary.deployments (workspace, name, airflow_version, dags_folder)"
        " VALUES ('demo', 'hello', '3.3.2', '/srv/dags')"
    )
    ((identifier,),) = execute("SELECT id FROM core.deployments")
    return Owner("deployment", str(identifier))

"""psql and token: the administrator's way in, on a real PostgreSQL."""

import json
import shutil

import psycopg
import pytest
import yaml

from cli import psql, store
from cli.errors import ExitCode, Refused, Unreachable
from cli.installation import credentials, identify, remember_database
from cli.main import run
from state.database import connect
from state.tokens import Tokens


@pytest.fixture
def installed(home, database_url, monkeypatch):
    """A home whose state is in a real, migrated database."""
    monkeypatch.delenv("ARMILLARY_DATABASE", raising=False)
    home.path.mkdir()
    remember_database(home, database_url)
    return home


@pytest.fixture
def armillary(installed, capfd):
    """Run a command on that home: exit code, stdout, stderr."""

    def call(*arguments):
        code = run([*arguments, "--home", str(installed.path)])
        printed = capfd.readouterr()
        return code, printed.out, printed.err

    return call


def test_sql_is_run_as_the_administrator_and_no_more(armillary):
    code, shown, _ = armillary("psql", "-o", "json", "-c", "SELECT current_user AS who")
    assert (code, json.loads(shown)) == (0, [{"who": store.ADMINISTRATOR}])

    code, _, told = armillary("psql", "-o", "json", "-c", "SELECT * FROM core.secrets")
    assert code == ExitCode.FAILED
    assert "permission denied" in told
    assert "SELECT * FROM core.secrets" in told


def test_a_change_by_sql_is_stored(armillary):
    armillary("psql", "-o", "json", "-c", "INSERT INTO armillary.workspaces (name) VALUES ('demo')")

    _, shown, _ = armillary("psql", "-o", "yaml", "-c", "SELECT name FROM armillary.workspaces")

    assert yaml.safe_load(shown) == [{"name": "demo"}]


@pytest.mark.skipif(shutil.which("psql") is None, reason="the home of this test has no embedded psql")
def test_psql_itself_is_the_administrator_too(armillary):
    code, shown, _ = armillary("psql", "-c", "SELECT current_user")

    assert code == ExitCode.OK
    assert store.ADMINISTRATOR in shown


@pytest.mark.skipif(shutil.which("psql") is None, reason="the home of this test has no embedded psql")
def test_a_refusal_says_what_and_what_to_do_and_not_where_in_our_functions(armillary):
    code, _, told = armillary("psql", "-c", "SELECT armillary.wake('demo/none')")

    assert code == ExitCode.FAILED
    assert "There is no deployment 'demo/none'" in told
    assert "HINT" in told
    assert "CONTEXT" not in told


def test_an_error_of_psql_is_the_commands(armillary):
    code, _, _ = armillary("psql", "-c", "SELECT nonsense")

    assert code == ExitCode.FAILED


def test_the_password_is_in_the_environment_and_not_in_the_arguments():
    environment = psql.environment("postgresql://postgres:s3cret@127.0.0.1:5555/armillary?options=-c%20a%3Db", {})

    assert environment["PGPASSWORD"] == "s3cret"
    assert environment["PGPORT"] == "5555"
    assert environment["PGOPTIONS"] == f"-c a=b -c role={store.ADMINISTRATOR}"


async def test_the_first_token_is_accepted_and_private_and_made_once(installed, database_url):
    await credentials(installed, database_url)
    first = installed.token.read_text()
    await credentials(installed, database_url)

    database = await connect(database_url, application_name="test")
    try:
        assert await Tokens(database).verify(first.strip()) is not None
        assert len(await Tokens(database).list()) == 1
    finally:
        await database.close()
    assert installed.token.read_text() == first
    assert installed.token.stat().st_mode & 0o777 == 0o600
    assert installed.keyring.stat().st_mode & 0o777 == 0o600


async def test_a_token_of_another_database_is_replaced(installed, database_url):
    installed.token.write_text("arm_of-another-database\n")

    await credentials(installed, database_url)

    assert installed.token.read_text() != "arm_of-another-database\n"


def test_tokens_are_made_listed_and_revoked(armillary):
    code, plain, _ = armillary("token", "create", "ci")
    assert code == ExitCode.OK
    assert "\n" not in plain.strip()

    _, shown, _ = armillary("token", "list", "-o", "json")
    assert [one["name"] for one in json.loads(shown)] == ["ci"]
    assert plain.strip() not in shown

    assert armillary("token", "revoke", "ci")[0] == ExitCode.OK
    assert json.loads(armillary("token", "list", "-o", "json")[1]) == []
    assert armillary("token", "revoke", "ci")[0] == ExitCode.NOT_FOUND


def test_two_tokens_of_one_name_are_revoked_by_id_only(armillary):
    armillary("token", "create", "ci")
    armillary("token", "create", "ci")

    code, _, told = armillary("token", "revoke", "ci")

    assert code == ExitCode.REFUSED
    assert "by its id" in told


def test_migrate_on_a_current_database_changes_nothing_and_shows_no_password(armillary, database_url):
    with psycopg.connect(database_url) as connection:
        password = connection.info.password

    code, shown, _ = armillary("migrate")

    assert code == ExitCode.OK
    assert password not in shown


def test_a_home_that_never_had_a_database_says_how_to_make_one(home, monkeypatch):
    monkeypatch.delenv("ARMILLARY_DATABASE", raising=False)

    with pytest.raises(Unreachable) as caught:
        store.url_of(home)

    assert "armillary up" in caught.value.todo


def test_another_database_is_refused_where_the_fleet_is_in_the_embedded_one(home):
    (home.postgres / "data").mkdir(parents=True)

    with pytest.raises(Refused, match="forget the fleet"):
        remember_database(home, "postgresql://elsewhere/x")


def test_a_remembered_database_is_private(installed):
    assert installed.database.stat().st_mode & 0o777 == 0o600


def test_an_installation_is_identified_once(home):
    home.path.mkdir()

    first = identify(home)

    assert identify(home) == first

"""The statements that administrators are shown do what the page says: each is run, in order, as armillary_admin.

The fleet is the quickstart's, because that is what a reader of the page has in front of them.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import yaml

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```sql\n(.*?)^```", re.MULTILINE | re.DOTALL)
STATEMENT = re.compile(r";\s*(?:--[^\n]*)?$", re.MULTILINE)
CHANGES = ("INSERT", "UPDATE", "DELETE")
AS_ADMINISTRATOR = "-c role=armillary_admin"


def statements() -> Iterator[str]:
    for block in BLOCK.findall((ROOT / "docs" / "administrators.md").read_text()):
        for statement in STATEMENT.split(block):
            code = "\n".join(line for line in statement.splitlines() if not line.startswith("--")).strip()
            if code:
                yield code


@pytest.fixture
def fleet_url(database_url: str) -> str:
    """A database with the quickstart's deployment, demo/hello, in it."""
    asked = yaml.safe_load((ROOT / "examples" / "quickstart.yaml").read_text())["deployments"][0]
    with psycopg.connect(database_url, options=AS_ADMINISTRATOR) as connection:
        connection.execute("INSERT INTO armillary.workspaces (name) VALUES (%(workspace)s)", asked)
        connection.execute(
            "INSERT INTO armillary.deployments (workspace, name, airflow_version, dags_folder)"
            " VALUES (%(workspace)s, %(name)s, %(airflow_version)s, '/srv/dags')",
            asked,
        )
        for key, variable in asked["variables"].items():
            connection.execute(
                "INSERT INTO armillary.variables (deployment, key, value) VALUES ('demo/hello', %s, %s)",
                (key, variable["value"]),
            )
    return database_url


def test_every_statement_shown_to_administrators_works_and_changes_something(fleet_url: str) -> None:
    shown = list(statements())

    assert any(one.startswith(CHANGES) for one in shown)
    with psycopg.connect(fleet_url, autocommit=True, options=AS_ADMINISTRATOR) as connection:
        for statement in shown:
            cursor = connection.execute(statement.encode())
            if statement.startswith(CHANGES):
                assert cursor.rowcount > 0, statement


def test_the_errors_shown_to_administrators_are_the_ones_they_get(fleet_url: str) -> None:
    page = (ROOT / "docs" / "administrators.md").read_text()
    shown = re.findall(r"^=> (.+?);\nERROR:  (.+?)\n(?:DETAIL:  (.+?)\n)?HINT:  (.+?)$", page, re.MULTILINE)
    tried = [one for one in shown if "demo/hello" in one[0]]

    assert tried
    with psycopg.connect(fleet_url, autocommit=True, options=AS_ADMINISTRATOR) as connection:
        for statement, message, detail, hint in tried:
            with pytest.raises(psycopg.Error) as raised:
                connection.execute(statement.encode())
            assert raised.value.diag.message_primary == message
            assert (raised.value.diag.message_detail or "") == detail
            assert raised.value.diag.message_hint == hint

"""The table of operations: complete, as the page shows it, executable, and both of its columns do the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from api.app import ALL_ROUTES
from api.statements import OPERATIONS, Operation, table
from tests.conftest import MakeDatabase
from tests.sql.fleets import Fleets
from tests.sql.twins import Statement, Twin, make_deployment, make_workspace

PAGE = Path(__file__).parents[2] / "docs" / "administrators.md"
CHANGES = [one for one in OPERATIONS if one.is_change]


@pytest.fixture(scope="module")
def fleets(make_database: MakeDatabase, template_database: str) -> Iterator[Fleets]:
    with make_database(template_database) as by_http, make_database(template_database) as by_sql:
        both = Fleets(by_http, by_sql)
        try:
            yield both
        finally:
            both.close()


def test_every_route_of_the_api_has_its_statement_or_a_reason_why_not() -> None:
    told = {(one.method, one.path) for one in OPERATIONS}

    assert told == {(route.method, route.path) for route in ALL_ROUTES}
    assert [one for one in OPERATIONS if bool(one.statements) == bool(one.why_none)] == []


def test_the_page_shows_the_table_of_now() -> None:
    assert table() in PAGE.read_text(), "write it anew: .venv/bin/python -m api.statements"


def test_every_statement_that_looks_works(fleets: Fleets) -> None:
    fleets.play([make_workspace("demo", ""), make_deployment("demo", "hello", {}, {}, {})])
    looks = [statement for one in OPERATIONS if not one.is_change for statement in one.statements]

    with psycopg.connect(fleets.urls[1], autocommit=True, options="-c role=armillary_admin") as connection:
        for statement in looks:
            assert connection.execute(statement.encode()).description, statement


@pytest.mark.parametrize("one", CHANGES, ids=lambda one: f"{one.method} {one.example} {one.body or ''}"[:90])
def test_a_change_is_the_same_by_its_request_and_by_its_statements(fleets: Fleets, one: Operation) -> None:
    begin = [make_workspace("demo", "")]
    if one.path.endswith("{deployment}") or one.path.count("/") > 4:
        begin.append(make_deployment("demo", "hello", {}, {}, {}))
    fleets.play(begin)
    for url in fleets.urls:
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in one.before:
                connection.execute(statement.encode())
    before = fleets.desired()

    statements = tuple(Statement(statement.replace("%", "%%")) for statement in one.statements)
    fleets.take(
        Twin(method=one.method, path=one.example, body=one.body, headers=one.headers, statements=statements)
    )

    fleets.compare()
    assert fleets.desired() != before

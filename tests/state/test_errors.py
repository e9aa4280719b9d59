"""What PostgreSQL raises, as errors of ours: by SQLSTATE, never with the values of rows."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError

from state.errors import (
    Fenced,
    GenerationConflict,
    InvalidSpec,
    NotFound,
    Refused,
    SchemaMismatch,
    StateError,
    Unreachable,
    translate,
)

MEANINGS = {
    "SELECT core.raise('AR001', 'exists', '', 'Not there.', 'Look.')": NotFound,
    "SELECT core.raise('AR002', 'unchanged', '', 'Changed.', 'Look.')": GenerationConflict,
    "SELECT core.raise('AR003', 'x', '/a/b', 'Cannot be.', 'Look.')": InvalidSpec,
    "SELECT core.raise('AR004', 'x', '', 'No.', 'Look.')": Refused,
    "SELECT core.raise('AR005', 'x', '', 'Late.', 'Look.')": Fenced,
    "INSERT INTO core.airflow_versions VALUES ('3.3.2')": GenerationConflict,
    "UPDATE core.defaults SET bulk_percent = 101": InvalidSpec,
    "UPDATE core.defaults SET bulk_percent = NULL": InvalidSpec,
    "SELECT 'x'::integer": InvalidSpec,
    "SELECT * FROM core.nothing": SchemaMismatch,
    "SELECT core.nothing()": SchemaMismatch,
    "UPDATE armillary.deployments SET workspace = 'x'": Refused,
    "SET LOCAL ROLE armillary_viewer; SELECT * FROM core.secrets": Refused,
    "SET LOCAL statement_timeout = 1; SELECT pg_sleep(5)": Unreachable,
    "SELECT pg_terminate_backend(pg_backend_pid())": Unreachable,
    "DO $$ BEGIN RAISE serialization_failure; END $$": Unreachable,
    "DO $$ BEGIN RAISE deadlock_detected; END $$": Unreachable,
    "SELECT 1 +": StateError,
}


def error_of(database_url: str, statement: str) -> psycopg.Error:
    with psycopg.connect(database_url) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(statement.encode())
    return caught.value


@pytest.fixture(scope="module")
def url(make_database, template_database):
    with make_database(template_database) as url:
        yield url


@pytest.mark.parametrize("statement", MEANINGS)
def test_an_error_means_what_it_means(url, statement):
    error = translate(error_of(url, statement))

    assert type(error) is MEANINGS[statement]
    assert str(error)


def test_what_the_schema_says_is_passed_on(url):
    error = translate(error_of(url, "SELECT core.raise('AR003', 'x', '/a/b', 'Cannot be.', 'Look.')"))

    assert isinstance(error, InvalidSpec)
    assert (str(error), error.pointer, error.hint) == ("Cannot be.", "/a/b", "Look.")


def test_a_constraint_s_name_is_its_sentence(url):
    error = translate(error_of(url, "UPDATE core.clusters SET port_first = 1"))

    assert "cluster ports are a range" in str(error)


def test_details_that_quote_rows_are_left_out(url):
    statement = "INSERT INTO core.tokens (name, sha256) VALUES ('hush-4711', '')"
    raised = error_of(url, statement)
    assert "hush-4711" in str(raised)
    error = translate(raised)

    assert "hush-4711" not in f"{error}{vars(error)}"


def test_an_error_around_it_is_looked_through(url):
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.exec_driver_sql("SELECT core.raise('AR001', 'exists', '', 'Not there.', 'Look.')")
    engine.dispose()

    assert isinstance(translate(caught.value), NotFound)


def test_what_is_no_error_of_the_database_is_named_and_not_quoted():
    assert str(translate(ValueError("hush-4711"))) == "the state store failed: ValueError"


def test_a_server_that_is_not_there_is_unreachable():
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect("postgresql://nobody@127.0.0.1:1/x", connect_timeout=2)

    assert isinstance(translate(caught.value), Unreachable)

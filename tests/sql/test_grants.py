"""Who may do what: each role tries every verb on every object, and may do what this table says and nothing else."""

# ruff: noqa: E501 -- SQL, and what is said with it, reads better on one line

from __future__ import annotations

import psycopg
import pytest

from tests.sql.grants import ROLES, expected, tried
from tests.state.fleet import fleet, rows

# the last line that fits an object counts; letters: r SELECT, a INSERT, w UPDATE, d DELETE, X EXECUTE, U USAGE
MAY = """
                                  daemon   api     admin   viewer  auditor  everybody
schema armillary                  U        U       U       U       U        -
schema core                       U        U       -       -       -        -
schema history                    -        -       -       -       -        -
schema public                     U        U       U       U       U        U
public.schema_version             -        -       -       -       -        -

armillary.*                       r        r       rawd    r       r        -
armillary.audit                   r        r       rawd    -       r        -
armillary.history                 r        r       rawd    -       r        -

armillary.*(*)                    X        X       X       -       -        -
armillary.why(*)                  X        X       X       X       X        -
armillary.plan_of(*)              X        X       X       X       X        -
armillary.wait(*)                 X        X       X       X       -        -
armillary.diff(*)                 X        X       X       -       X        -

core.*                            rawd     r       -       -       -        -
core.documents                    r        r       -       -       -        -
core.*_id_seq                     -        -       -       -       -        -
core.workspaces                   rawd     rawd    -       -       -        -
core.deployments                  rawd     rawd    -       -       -        -
core.components                   rawd     rawd    -       -       -        -
core.variables                    rawd     rawd    -       -       -        -
core.default_variables            rawd     rawd    -       -       -        -
core.alert_emails                 rawd     rawd    -       -       -        -
core.tokens                       rawd     rawd    -       -       -        -
core.events                       rawd     ra      -       -       -        -
core.secret_inbox                 rawd     -       -       -       -        -
core.audit                        ra       r       -       -       -        -
core.releases                     ra       r       -       -       -        -
core.revisions                    rad      r       -       -       -        -
core.retention                    r        r       -       -       -        -
core.airflow_versions             r        r       -       -       -        -
core.*_catalogue                  r        r       -       -       -        -
core.reserved_variables           r        r       -       -       -        -

core.*(*)                         X        X       -       -       -        -
history.*                         -        -       -       -       -        -
"""


def test_every_role_may_do_what_the_table_says_and_nothing_else(database_url):
    heading, table = MAY.strip().split("\n", 1)
    with psycopg.connect(database_url, autocommit=True) as sql:
        may = tried(sql)
    should, idle = expected(table, list(may))

    told = [
        f"{one}: {who} may do {did!r}, and should {wanted!r}"
        for one in may
        for who, did, wanted in zip(
            heading.split(), may[one], should.get(one, ("(not in the table)",) * 6), strict=True
        )
        if did != wanted
    ]
    assert told == [], "\n" + "\n".join(told)
    assert idle == [], "lines that fit no object"


@pytest.mark.parametrize("role", ROLES[2:5])
def test_people_call_the_functions_that_the_table_lets_them_call_and_no_other(database_url, role):
    with fleet(database_url), psycopg.connect(database_url, autocommit=True) as sql:
        for name, arguments in rows(sql, _CALLS):
            usable = rows(sql, "SELECT has_function_privilege(%s, %s::regprocedure, 'EXECUTE')", role, name)
            assert _is_let(sql, role, f"SELECT {name.split('(')[0]}({arguments})") is usable[0][0], (role, name)


@pytest.mark.parametrize("role", ROLES[2:5])
def test_what_only_shows_answers_administrators_and_refuses_everybody_else(database_url, role):
    with fleet(database_url), psycopg.connect(database_url, options=f"-c role={role}", autocommit=True) as sql:
        for view in ("fleet", "audit", "conditions"):
            with pytest.raises(psycopg.Error) as said:
                sql.execute(f"DELETE FROM armillary.{view} WHERE false".encode())
            assert said.value.sqlstate == ("AR004" if role == "armillary_admin" else "42501")


def test_one_statement_makes_a_person_an_administrator_and_its_audit_shows_the_person(database_url):
    alice = "armillary_test_alice"
    with fleet(database_url) as sql:
        sql.execute(f"CREATE ROLE {alice} LOGIN PASSWORD 'a' IN ROLE armillary_admin".encode())
        try:
            with psycopg.connect(database_url, user=alice, password="a", autocommit=True) as person:
                person.execute("SELECT armillary.restart('demo/hello')")
                assert rows(
                    person, "SELECT session_role, actor FROM armillary.audit ORDER BY id DESC LIMIT 1"
                ) == [(alice, alice)]
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    person.execute("SET ROLE armillary_daemon")
        finally:
            sql.execute(f"DROP ROLE {alice}".encode())


_CALLS = """
SELECT p.oid::regprocedure::text, (SELECT string_agg('NULL::' || t::regtype::text, ', ') FROM unnest(p.proargtypes) AS t)
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'armillary' ORDER BY 1
"""


def _is_let(sql, role, call):
    with sql.transaction(force_rollback=True):
        sql.execute(f"SET LOCAL ROLE {role}".encode())
        try:
            with sql.transaction():
                sql.execute(call.encode())
        except psycopg.errors.InsufficientPrivilege:
            return False
        except psycopg.Error:
            return True
    return True

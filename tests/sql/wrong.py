"""A wrong statement, the answer that it must get, the fleet that it must not change, and how it is run.

Statements are run by people with logins of their own, each a member of one role. What they could change is compared
before and after: every table of ours, and who may do what in our schemas.
"""

# ruff: noqa: E501 -- SQL, and what is said with it, reads better on one line

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import make_conninfo

from tests.state.fleet import INSERT, Sql, one, owner, record, rows, write

ROLES = ("armillary_admin", "armillary_viewer", "armillary_auditor", "armillary_api", "armillary_daemon")
NAMES = ("hello", "taken", "other1", "other2", "other3", "other4", "going")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """Statements of one transaction, the last of which (or COMMIT) is refused. Patterns are searched for.

    `raw`: why PostgreSQL's own answer is the best there can be; then the code is PostgreSQL's, and there may be no hint.
    """

    name: str
    statements: tuple[str, ...]
    code: str
    message: str
    hint: str = ""
    detail: str = ""
    role: str = "armillary_admin"
    raw: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What PostgreSQL said."""

    code: str
    message: str
    detail: str
    hint: str
    rule: str

    @classmethod
    def of(cls, error: psycopg.Error) -> Answer:
        """What an error says to a person."""
        said = error.diag
        return cls(
            code=error.sqlstate or "",
            message=said.message_primary or str(error),
            detail=said.message_detail or "",
            hint=said.message_hint or "",
            rule=said.constraint_name or "",
        )


NOTHING = Answer(code="00000", message="(it was not refused)", detail="", hint="", rule="")


def wrong(
    name: str, statement: str | tuple[str, ...], code: str, message: str, hint: str = "", **more: str
) -> Wrong:
    """One line of the catalogue."""
    statements = (statement,) if isinstance(statement, str) else statement
    return Wrong(name=name, statements=statements, code=code, message=message, hint=hint, **more)


def faults(case: Wrong, answer: Answer) -> list[str]:
    """In what an answer falls short of what it must say."""
    short = [
        f"{part} {said!r} does not say {wanted!r}"
        for part, said, wanted in (
            ("message", answer.message, case.message),
            ("detail", answer.detail, case.detail),
            ("hint", answer.hint, case.hint),
        )
        if not re.search(wanted, said)
    ]
    if answer.code != case.code:
        short.append(f"code {answer.code}, not {case.code}: {answer.message}")
    if not case.raw and not (answer.code.startswith("AR") and answer.hint and answer.rule):
        short.append(
            "it is PostgreSQL's own, or names no rule, or does not say what to do, and the catalogue gives no reason"
        )
    if len(answer.message) > 400 or len(answer.hint) > 600:
        short.append("it quotes more than anybody reads")
    return short


@contextlib.contextmanager
def people(url: str, number: str) -> Iterator[dict[str, str]]:
    """For each role the URL of a person who has it; they are removed at the end."""
    logins = {role: f"{role}_{number}" for role in ROLES}
    with psycopg.connect(url, autocommit=True) as sql:
        for role, login in logins.items():
            sql.execute(f"CREATE ROLE {login} LOGIN PASSWORD 'wrong' IN ROLE {role}".encode())
        try:
            yield {role: make_conninfo(url, user=login, password="wrong") for role, login in logins.items()}
        finally:
            for login in logins.values():
                sql.execute(f"DROP ROLE {login}".encode())


def fill(url: str) -> None:
    """Seven deployments, one of them being deleted, with variables, a sealed secret and a token; all looked at."""
    with psycopg.connect(url, autocommit=True, options="-c role=armillary_admin") as admin:
        admin.execute("INSERT INTO armillary.workspaces (name) VALUES ('demo'), ('empty')")
        for name in NAMES:
            admin.execute(INSERT, ("demo", name))
        admin.execute(
            "INSERT INTO armillary.variables (deployment, key, value) VALUES"
            " ('demo/hello', 'PLAIN', 'x'), ('demo/hello', 'ALSO', 'y')"
        )
        admin.execute(
            "INSERT INTO armillary.variables (deployment, key, value, secret) VALUES ('demo/hello', 'HUSH', 'hush', true)"
        )
        admin.execute(
            "INSERT INTO armillary.default_variables (key, value) VALUES ('PROXY', 'p'), ('REGION', 'eu')"
        )
        admin.execute(
            "INSERT INTO armillary.alert_emails (deployment, email) VALUES"
            " ('demo/hello', 'ann@example.org'), ('demo/hello', 'bob@example.org')"
        )
        admin.execute("DELETE FROM armillary.deployments WHERE deployment = 'demo/going'")
    with psycopg.connect(url, autocommit=True) as sql:
        sql.execute("SELECT core.seal(id, 'k1', '\\x00') FROM core.inbox_take(100)")
        sql.execute(
            "INSERT INTO core.tokens (name, sha256, revoked_at) VALUES ('ci', sha256('c'), NULL), ('old', sha256('o'), now())"
        )
        for name in NAMES:
            of, at = owner(sql, name), one(sql, "SELECT generation FROM core.deployments WHERE name = %s", name)
            assert write(sql, record(of, status={"observed_generation": at})) == [None]


def answer_to(case: Wrong, urls: dict[str, str]) -> Answer:
    """Run a wrong statement as the person it is about, and undo it should nothing refuse it."""
    with psycopg.connect(urls[case.role], autocommit=True) as sql:
        try:
            with sql.transaction():
                for statement in case.statements:
                    sql.execute(statement.encode())
        except psycopg.Error as error:
            return Answer.of(error)
    return NOTHING


def digest(sql: Sql) -> dict[str, str]:
    """Of everything of ours: the rows of each table, and definitions and rights."""
    tables = [
        name
        for (name,) in rows(sql, "SELECT format('core.%I', tablename) FROM pg_tables WHERE schemaname = 'core'")
    ]
    asked = " UNION ALL ".join(
        f"SELECT '{t}', md5(coalesce(string_agg(t::text, ',' ORDER BY t::text), '')) FROM {t} t" for t in tables
    )
    return dict([*rows(sql, asked), *rows(sql, _DEFINED)])


_DEFINED = """
SELECT 'relations', md5(string_agg(concat_ws(' ', c.relname, c.relkind, c.relacl, c.relowner, c.reltriggers), ',' ORDER BY c.oid))
  FROM (SELECT r.*, (SELECT string_agg(concat(t.tgname, t.tgenabled), ' ' ORDER BY t.oid) FROM pg_trigger t WHERE t.tgrelid = r.oid) AS reltriggers
          FROM pg_class r) c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('core', 'armillary', 'history', 'public')
UNION ALL
SELECT 'functions', md5(string_agg(concat_ws(' ', p.proname, p.proacl, p.prosrc), ',' ORDER BY p.oid))
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname IN ('core', 'armillary', 'history', 'public')
UNION ALL
SELECT 'schemas', md5(string_agg(concat_ws(' ', n.nspname, n.nspacl, n.nspowner), ',' ORDER BY n.oid))
  FROM pg_namespace n WHERE n.nspname NOT LIKE 'pg\\_%'
"""

"""A small fleet in plain SQL, as an administrator in psql makes it, and short ways to ask about it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg

Sql = psycopg.Connection[tuple[Any, ...]]

INSERT = (
    "INSERT INTO armillary.deployments (workspace, name, airflow_version, dags_folder)"
    " VALUES (%s, %s, '3.3.2', '/dags')"
)
SECRET = "INSERT INTO armillary.variables (deployment, key, value, secret) VALUES ('demo/hello', %s, %s, true)"
PLAIN = "INSERT INTO armillary.variables (deployment, key, value) VALUES ('demo/hello', %s, %s)"
SEAL = "SELECT core.seal(id, 'k1', '\\x00') FROM core.inbox_take(100)"
DOCUMENT: Mapping[str, Any] = {"airflow_version": "3.3.2", "dags_folder": "/dags"}
WRITTEN = ("status", "conditions", "units", "objects", "milestones", "events", "leases")
LOCKED = ", t.xmax::text"


@contextlib.contextmanager
def fleet(database_url: str, *, role: str = "", others: int = 0) -> Iterator[Sql]:
    """A session in which each statement is a transaction, on demo/hello and as many others as wanted."""
    with psycopg.connect(database_url, autocommit=True, options=f"-c role={role}" if role else "") as sql:
        sql.execute("INSERT INTO armillary.workspaces (name) VALUES ('demo')")
        for name in ("hello", *(f"other{number}" for number in range(others))):
            sql.execute(INSERT, ("demo", name))
        yield sql


def one(sql: Sql, query: str, *values: Any) -> Any:
    """The first column of the first row."""
    row = sql.execute(query.encode(), values or None).fetchone()
    assert row is not None
    return row[0]


def rows(sql: Sql, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """All rows."""
    return sql.execute(query.encode(), values or None).fetchall()


def generation(sql: Sql, name: str = "hello") -> int:
    """The generation of demo/<name> that is not being deleted, or was deleted last."""
    return int(one(sql, "SELECT generation FROM core.deployments WHERE id = core.find('demo', %s)", name))


def owner(sql: Sql, name: str = "hello") -> str:
    """Whom the units of demo/<name> belong to."""
    return str(one(sql, "SELECT owner FROM core.deployments WHERE id = core.find('demo', %s)", name))


def audited(sql: Sql) -> int:
    """How many rows the audit has."""
    return int(one(sql, "SELECT count(*) FROM armillary.audit"))


def put(sql: Sql, document: Mapping[str, Any], name: str = "hello", expected: int | None = None) -> Any:
    """The document of demo/<name> after putting one."""
    return one(sql, "SELECT core.put_deployment('demo', %s, %s, %s)", name, json.dumps(document), expected)


def get(sql: Sql, name: str = "hello") -> Any:
    """The document of demo/<name>."""
    return one(sql, "SELECT core.get_deployment('demo', %s)", name)


def places(sql: Sql, tables: tuple[str, ...], more: str = "") -> dict[str, Any]:
    """Where every row lies and which transaction wrote it: whatever is written differs afterwards.

    With `more` LOCKED, what was only locked differs too.
    """
    place = f"array_agg((t.ctid::text, t.xmin::text{more})::text ORDER BY t.ctid)::text"
    return {table: one(sql, f"SELECT {place} FROM core.{table} t") for table in tables}


def everything(sql: Sql) -> dict[str, Any]:
    """What every table holds."""
    tables = rows(sql, "SELECT tablename FROM pg_tables WHERE schemaname = 'core' ORDER BY 1")
    return {table: rows(sql, f"SELECT t::text FROM core.{table} t ORDER BY 1") for (table,) in tables}


def record(of: str, **changes: Any) -> dict[str, Any]:
    """What a pass concludes about an owner, as `core.record` reads it."""
    status = {
        "observed_generation": 1,
        "conditions": [condition("Synced")],
        "units": [{"unit": "scheduler", "component": "scheduler", "state": "ready", "detail": ""}],
        "attempts": 0,
        "next_attempt_at": None,
    } | changes.pop("status", {})
    usual = {
        "owner": of,
        "epoch": 1,
        "status": status,
        "objects": [thing()],
        "forget": [],
        "milestones": [{"name": "migrate", "key": "schema/3.3.2", "begun": []}],
        "events": [],
        "remove_owner": False,
    }
    return usual | changes


def condition(kind: str, status: str = "True", reason: str = "Converged") -> dict[str, Any]:
    """A condition, since long ago."""
    return {"type": kind, "status": status, "reason": reason, "message": "", "since": "2026-11-22T12:00:00Z"}


def thing(name: str = "x", **changes: Any) -> dict[str, Any]:
    """A row of the inventory."""
    usual = {
        "kind": "Process",
        "name": name,
        "unit": "scheduler",
        "digest": "d",
        "needs": [["database", "present"]],
        "state": "present",
        "retain": False,
        "uid": "u",
    }
    return usual | changes


def write(sql: Sql, *records: Mapping[str, Any]) -> list[str | None]:
    """Record them; for each None, or why it was fenced."""
    return [answer["fenced"] for answer in one(sql, "SELECT core.record(%s)", json.dumps(records))]

"""The state store under load, in SQL alone: what triggers cost, the sweep, the fleet view, and status writes.

Everything is measured at 10,000 deployments, beside its own floor: the same UPDATE of the same rows in a table
without triggers, in turn with it, alone and with its audit and revisions written by hand; a count; the whole table. `ARMILLARY_BENCHMARK_MINUTES=10` writes statuses for
so long (usually one minute). Commit to first action is `benchmarks.sql_daemon`.
"""

# ruff: noqa: E501 - statements are easier to read on one line each

from __future__ import annotations

import itertools
import json
import os
import random
import sys
import time
from typing import Any

import psycopg

from benchmarks import sql_daemon
from benchmarks.floor import percentile
from benchmarks.sql_fleet import DEPLOYMENTS, Sql, database, fill, median_ms, milliseconds, server

_SINGLES = 400
_BULKS = 7
_BULK_ROWS = 1000
_WRITES_A_SECOND = 1000
_BATCH = 50
_COLUMNS = "workspace_id, name, release, cluster, airflow_version, executor, dags_folder, created_at, generation"
_WITHOUT_TRIGGERS = """
    CREATE SCHEMA {schema};
    CREATE TABLE {schema}.deployments (LIKE core.deployments INCLUDING ALL) WITH (fillfactor = 70);
    INSERT INTO {schema}.deployments (id, {columns}, path) OVERRIDING SYSTEM VALUE
    SELECT id, {columns}, path FROM core.deployments;
"""
_BY_HAND = """
    CREATE TABLE hand.audit (LIKE core.audit INCLUDING ALL);
    CREATE TABLE hand.revisions (LIKE core.revisions INCLUDING ALL, FOREIGN KEY (deployment_id) REFERENCES hand.deployments);
"""
_AUDIT_BY_HAND = """
    INSERT INTO hand.audit (relation, key, deployment, operation, before, after, actor, actor_is_claimed)
    SELECT 'deployments', d.id::text, d.path, 'UPDATE', j.row, j.row || '{{"dags_folder": "{folder}"}}', session_user, false
      FROM hand.deployments d, LATERAL (SELECT to_jsonb(x) AS row FROM (
           SELECT d.id, d.workspace_id, d.name, d.release, d.cluster, d.airflow_version, d.executor, d.dags_folder, d.hibernated,
                  d.drift_policy, d.paused_until, d.pause_reason, d.restarted_at, d.deletion_requested_at, d.delete_after,
                  d.retain_until, d.created_at) AS x) AS j
     WHERE {where}
"""
_REVISION_BY_HAND = """
    INSERT INTO hand.revisions (deployment_id, revision, spec, actor)
    SELECT d.id, (SELECT 1 + coalesce(max(revision), 1) FROM hand.revisions WHERE deployment_id = d.id), document, session_user
      FROM core.documents d WHERE {where}
"""
_MONTH_ROUNDS = 7
_AUDITED = """
    INSERT INTO {} (relation, key, operation, actor, actor_is_claimed, before, after)
    SELECT 'x', n::text, 'UPDATE', 'x', false, '{{"a": 1}}', '{{"a": 2}}' FROM generate_series(1, 20000) n
"""
_SIZES = """
    SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
     WHERE oid IN ('core.status'::regclass, 'core.conditions'::regclass, 'core.units'::regclass)
"""
_HOT = """
    SELECT sum(n_tup_upd)::bigint, sum(n_tup_hot_upd)::bigint FROM pg_stat_user_tables
     WHERE schemaname = 'core' AND relname IN ('status', 'conditions', 'units')
"""


def sql() -> dict[str, object]:
    """All numbers, on a server of their own."""
    minutes = float(os.environ.get("ARMILLARY_BENCHMARK_MINUTES", "1"))
    with server() as running:
        url = database(running, "fleet")
        with psycopg.connect(url, autocommit=True) as connection:
            fill(connection)
            result: dict[str, object] = {
                "deployments": DEPLOYMENTS,
                "triggers": triggers(connection),
                "sweep": sweep(connection),
                "fleet_view": fleet_view(connection),
                "under_the_triggers": under_the_triggers(connection),
                "months": months(connection),
                "status_writes": status_writes(connection, minutes * 60),
            }
        return result | {"commit_to_first_action": sql_daemon.commit_to_first_action(running)}


# --- triggers ---------------------------------------------------------------------------------------------


def triggers(connection: Sql) -> dict[str, object]:
    """An UPDATE of desired state beside the same UPDATE of the same rows where nothing watches it.

    And beside its floor: the same UPDATE with the audit row and the revision of each row inserted by hand.
    """
    for schema in ("bare", "hand"):
        connection.execute(_WITHOUT_TRIGGERS.format(schema=schema, columns=_COLUMNS).encode())
        connection.execute(f"VACUUM ANALYZE {schema}.deployments".encode())
    connection.execute(_BY_HAND)
    connection.execute("SET TimeZone = 'UTC'")
    single = _beside(connection, _SINGLES, _single)
    bulk = _beside(connection, _BULKS, _bulk)
    return {"single": single, "rows_1000": bulk, "target": {"ratio": 1.5}}


def _beside(connection: Sql, rounds: int, work: Any) -> dict[str, float]:
    """In turn, so that both meet the same load of the machine."""
    times: dict[str, list[float]] = {"bare": [], "hand": [], "core": []}
    for number, schema in itertools.product(range(rounds), times):
        times[schema].append(work(connection, schema, number))
    bare, hand, ours = (percentile(times[schema], 50) for schema in times)
    return {
        "bare_p50_ms": round(bare, 2),
        "floor_by_hand_p50_ms": round(hand, 2),
        "with_triggers_p50_ms": round(ours, 2),
        "ratio": round(ours / bare, 2),
        "ratio_to_floor": round(ours / hand, 2),
    }


def _single(connection: Sql, schema: str, number: int) -> float:
    return milliseconds(lambda: _change(connection, schema, f"id = {1 + number * 7 % 9000}", f"/srv/{number}"))


def _bulk(connection: Sql, schema: str, number: int) -> float:
    first = 1 + number * _BULK_ROWS
    where = f"id BETWEEN {first} AND {first + _BULK_ROWS - 1}"
    return milliseconds(lambda: _change(connection, schema, where, "/srv/bulk"))


def _change(connection: Sql, schema: str, where: str, folder: str) -> None:
    """One round trip each: by hand the statements are sent together, too."""
    statements = [f"UPDATE {schema}.deployments SET dags_folder = '{folder}' WHERE {where}"]
    if "BETWEEN" in where:
        statements.insert(0, "SET LOCAL armillary.allow_bulk = 'benchmark'")
    if schema == "hand":
        statements += [_AUDIT_BY_HAND.format(where=where, folder=folder), _REVISION_BY_HAND.format(where=where)]
    connection.execute(";".join(statements).encode())


# --- reading ----------------------------------------------------------------------------------------------


def sweep(connection: Sql) -> dict[str, object]:
    """The queue's source when nothing is due, and its floor: a count of the deployments."""
    # what was changed above is looked at now
    connection.execute(
        "UPDATE core.status s SET observed_generation = d.generation FROM core.deployments d"
        " WHERE d.owner = s.owner AND s.observed_generation <> d.generation"
    )
    connection.execute("VACUUM ANALYZE")
    took = median_ms(lambda: connection.execute("SELECT * FROM core.due()").fetchall(), 50)
    floor = median_ms(lambda: connection.execute("SELECT count(*) FROM core.deployments").fetchall(), 50)
    return {"p50_ms": took, "floor_count_p50_ms": floor, "target": {"p50_ms": 10}}


def fleet_view(connection: Sql) -> dict[str, object]:
    """Every line of the fleet as an administrator fetches it, and one line of it."""
    connection.execute("SET ROLE armillary_admin")
    whole = median_ms(lambda: connection.execute("SELECT * FROM armillary.fleet").fetchall(), 15)
    one = "SELECT * FROM armillary.fleet WHERE deployment = 'team7/d7'"
    single = median_ms(lambda: connection.execute(one).fetchall(), 15)
    change = (
        "UPDATE armillary.components SET replicas = {} WHERE deployment = 'team7/d7' AND component = 'triggerer'"
    )
    rounds = itertools.cycle((0, 1))
    named = median_ms(lambda: connection.execute(change.format(next(rounds)).encode()), 16)
    connection.execute("RESET ROLE")
    floor = median_ms(lambda: connection.execute("SELECT * FROM core.deployments").fetchall(), 15)
    return {
        "rows": DEPLOYMENTS,
        "p50_ms": whole,
        "one_by_name_p50_ms": single,
        "update_of_one_component_by_name_p50_ms": named,
        "floor_whole_table_p50_ms": floor,
        "target": {"p50_ms": 100},
    }


def under_the_triggers(connection: Sql) -> dict[str, object]:
    """The search for what was changed behind the triggers, which `core.tend` makes each minute, and one whole read."""
    took = median_ms(lambda: connection.execute("SELECT core.count_missed()").fetchall(), 5)
    floor = median_ms(lambda: connection.execute("SELECT * FROM core.documents").fetchall(), 5)
    return {"p50_ms": took, "floor_all_documents_p50_ms": floor, "target": {"p50_ms": 1000}}


# --- the audit --------------------------------------------------------------------------------------------


def months(connection: Sql) -> dict[str, object]:
    """An INSERT of many audit rows into its months, beside the same into one plain table, in turn."""
    connection.execute("CREATE TABLE public.plain (LIKE core.audit INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    connection.execute("ALTER TABLE public.plain ALTER id ADD GENERATED ALWAYS AS IDENTITY, ADD PRIMARY KEY (id)")
    times: dict[str, list[float]] = {"core.audit": [], "public.plain": []}
    for _, table in itertools.product(range(_MONTH_ROUNDS), times):
        times[table].append(milliseconds(lambda table=table: connection.execute(_AUDITED.format(table).encode())))  # type: ignore[misc]
    ours, plain = (percentile(one, 50) for one in times.values())
    return {
        "p50_ms": round(ours, 1),
        "floor_plain_table_p50_ms": round(plain, 1),
        "ratio": round(ours / plain, 2),
        "target": {"ratio": 1.25},
    }


# --- status writes ----------------------------------------------------------------------------------------


def status_writes(connection: Sql, seconds: float) -> dict[str, object]:
    """So many statuses a second, each a real change of status, condition and unit, in batches as the daemon's."""
    connection.execute("SELECT pg_stat_reset()")
    before, written, late, batches = _size(connection), 0, 0, []
    begun = time.perf_counter()
    while (now := time.perf_counter() - begun) < seconds:
        due = written / _WRITES_A_SECOND
        if due > now:
            time.sleep(due - now)
        late += now - due > 1.0
        records = json.dumps([_record(written + number) for number in range(_BATCH)])
        batches.append(milliseconds(lambda: connection.execute("SELECT core.record(%s::jsonb)", (records,))))  # noqa: B023
        written += _BATCH
    took = time.perf_counter() - begun
    time.sleep(1.5)  # statistics arrive within a second
    updated, hot = connection.execute(_HOT).fetchone() or (0, 0)
    after = _size(connection)
    return {
        "seconds": round(took, 1),
        "changes_a_second": round(written / took),
        "batch_of_50_p50_ms": round(percentile(batches, 50), 2),
        "batch_of_50_p99_ms": round(percentile(batches, 99), 2),
        "batches_more_than_a_second_late": late,
        "rows_updated": updated,
        "hot_percent": round(100 * hot / max(1, updated), 1),
        "size_mib": {"before": _mib(before), "after": _mib(after)},
        "growth_percent": round(100 * (after - before) / before, 1),
        "target": {"changes_a_second": _WRITES_A_SECOND, "hot_percent": 95, "growth": "none"},
    }


def _record(number: int) -> dict[str, object]:
    owner = f"deployment/{1 + random.randrange(DEPLOYMENTS)}"
    word = f"Looked at {number}."
    return {
        "owner": owner,
        "epoch": 1,
        "status": {
            "observed_generation": 1_000_000,
            "attempts": number % 7,
            "next_attempt_at": None,
            "converged_generation": 1,
            "converged_defaults": "",
            "rolling_since": None,
            "conditions": [
                _condition("Synced", word),
                _condition("Ready", "All is as asked for."),
            ],
            "units": [
                {
                    "unit": name,
                    "component": name,
                    "state": "ready",
                    "detail": word if name == "scheduler" else "It runs.",
                }
                for name in ("api-server", "dag-processor", "scheduler", "triggerer")
            ],
        },
        "objects": [],
        "forget": [],
        "milestones": [],
        "events": [],
        "remove_owner": False,
    }


def _condition(kind: str, message: str) -> dict[str, str]:
    said = {"type": kind, "status": "True", "reason": "Converged", "message": message}
    return said | {"since": "2026-01-01T00:00:00Z"}


def _size(connection: Sql) -> int:
    return int((connection.execute(_SIZES).fetchone() or (0,))[0])


def _mib(size: int) -> float:
    return round(size / 2**20, 1)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(sql(), indent=2) + "\n")

"""The daemon's own numbers beside a real Airflow: adopting after a kill, SQL commit to first action, and at rest.

Adopting: `kill -9` of the daemon; from its successor's first instruction until it has concluded a pass of every
deployment and says Synced. No Airflow process may have another pid afterwards and no row may have been written.

Latency: an administrator's UPDATE of the scheduler's parallelism, from the COMMIT's return until the first file
of the deployment differs on disk. The deployment hibernates meanwhile, so that what is measured is the way from
SQL to the first write and not how a busy Airflow shares two cores.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from typing import Any

import psutil
import psycopg

from benchmarks.floor import percentile
from benchmarks.installation import DEPLOYMENT, Installation, installation, until
from drivers.local import supervise

_ADOPTIONS = 5
_CHANGES = 200
_REST_SECONDS = 60.0
_SETTLE_SECONDS = 15.0
_TABLES_SQL = """
    SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint
      FROM pg_stat_user_tables WHERE schemaname = 'core' AND relname <> 'leases'
"""


def adoption() -> dict[str, object]:
    """Start a real deployment and measure; then remove it all."""
    with installation() as here, here.connect() as connection:
        until(here.is_synced, "Synced", seconds=120)
        return {
            "at_rest": at_rest(here, connection),
            "adopting": adopting(here, connection),
            "commit_to_first_action": commit_to_first_action(here, connection),
        }


# --- at rest ----------------------------------------------------------------------------------------------


def at_rest(here: Installation, connection: psycopg.Connection[Any]) -> dict[str, object]:
    """What the daemon takes and writes while nobody asks for anything."""
    time.sleep(_SETTLE_SECONDS)
    daemon = here.daemon()
    before, begun, written = _cpu(daemon), time.perf_counter(), _rows_written(connection)
    time.sleep(_REST_SECONDS)
    percent = 100 * (_cpu(daemon) - before) / (time.perf_counter() - begun)
    memory = daemon.memory_full_info()
    return {
        "seconds": _REST_SECONDS,
        "cpu_percent_of_a_core": round(percent, 2),
        "rss_mib": round(memory.rss / 2**20, 1),
        "pss_mib": round(memory.pss / 2**20, 1),
        "rows_written": _rows_written(connection) - written,
        "target": {"cpu_percent_of_a_core": 1.0, "rss_mib": 120},
    }


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _rows_written(connection: psycopg.Connection[Any]) -> int:
    """Rows of the state written so far, the lease's renewals left out. Statistics arrive within a second."""
    time.sleep(1.5)
    row = connection.execute(_TABLES_SQL).fetchone()
    assert row is not None
    return int(row[0])


# --- adopting ---------------------------------------------------------------------------------------------


def adopting(here: Installation, connection: psycopg.Connection[Any]) -> dict[str, object]:
    """Kill the daemon some times and time its successors."""
    rounds, pids, written = [], here.airflow_pids(), _rows_written(connection)
    for _ in range(_ADOPTIONS):
        rounds.append(_adopted(here))
    return {
        "rounds": rounds,
        "from_its_start_seconds_max": max(one["from_its_start_seconds"] for one in rounds),
        "processes_restarted": sum(here.airflow_pids()[name] != pid for name, pid in pids.items()),
        "rows_written": _rows_written(connection) - written,
        "target": {"from_its_start_seconds_max": 2.0, "processes_restarted": 0, "rows_written": 0},
    }


def _adopted(here: Installation) -> dict[str, float]:
    old = here.daemon().pid
    killed = time.perf_counter()
    os.kill(old, signal.SIGKILL)
    started = until(lambda: _daemon_pid(here) not in (old, None), "the next daemon", every_seconds=0.001)
    until(lambda: _has_concluded(here, old), "the next daemon's first passes", seconds=120)
    synced = until(here.is_synced, "Synced", seconds=60)
    return {
        "from_the_kill_seconds": round(synced - killed, 2),
        "from_its_start_seconds": round(synced - started, 2),
    }


def _daemon_pid(here: Installation) -> int | None:
    """The process that the daemon's shim keeps now; None between two."""
    return supervise.look(here.home.daemon_run).child_pid


def _has_concluded(here: Installation, old: int) -> bool:
    """True when another daemon than the old one has ended a pass of every deployment."""
    try:
        if here.daemon().pid == old:
            return False
        lines = str(here.get("/metrics")).splitlines()
        deployments = len(here.get("/v1/deployments"))
    except (OSError, ValueError, KeyError, psutil.Error):
        return False
    passes = [line for line in lines if line.startswith('armillary_passes_total{result="done"}')]
    return bool(passes) and float(passes[0].split()[-1]) >= deployments


# --- SQL commit to first action ---------------------------------------------------------------------------


def commit_to_first_action(here: Installation, connection: psycopg.Connection[Any]) -> dict[str, object]:
    """Change a setting some hundred times, as an administrator in psql would, and time the first write."""
    config = next(here.home.deployments.glob("*/settings/settings/airflow.cfg"))
    connection.execute("SELECT armillary.hibernate(%s)", [DEPLOYMENT])
    until(here.is_synced, "hibernation", seconds=180)
    connection.execute("SET ROLE armillary_admin")
    milliseconds = []
    for number in range(_CHANGES):
        time.sleep(random.uniform(0.1, 0.5))  # not in step with any timer of the daemon
        before = config.stat().st_mtime_ns
        connection.execute(
            "UPDATE armillary.components SET settings = jsonb_build_object('parallelism', %s::integer) "
            "WHERE deployment = %s AND component = 'scheduler'",
            [8 - number % 2 * 4, DEPLOYMENT],  # 4 is the default, so the first is a change
        )
        committed = time.perf_counter()
        seen = until(lambda: config.stat().st_mtime_ns != before, "the first write", every_seconds=0.0002)  # noqa: B023
        milliseconds.append((seen - committed) * 1000)
        until(here.is_synced, "Synced", every_seconds=0.02)
    connection.execute("RESET ROLE")
    return {
        "changes": len(milliseconds),
        **{f"p{percent}_ms": round(percentile(milliseconds, percent), 1) for percent in (50, 90, 99, 100)},
        "floor_notify_to_listener_p50_ms": _notify_floor(here, connection),
        "target": {"p99_ms": 50},
    }


def _notify_floor(here: Installation, connection: psycopg.Connection[Any]) -> float:
    """What PostgreSQL itself needs from a NOTIFY's return until a listener on this machine holds it."""
    times = []
    with here.connect() as listener:
        listener.execute("LISTEN benchmark")
        for _ in range(50):
            connection.execute("NOTIFY benchmark")
            begun = time.perf_counter()
            for _heard in listener.notifies(timeout=1.0, stop_after=1):
                times.append((time.perf_counter() - begun) * 1000)
    return round(percentile(times, 50), 2)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(adoption(), indent=2) + "\n")

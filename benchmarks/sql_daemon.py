"""From COMMIT to the first action: the real daemon on the real store, over a simulated world that takes no time.

So what is measured is the way from SQL to the first write: notification, queue, snapshot, rendering, plan, and the
inventory written ahead. Changes come from another process, 50 a second, each to the next of 200 deployments. The
pace that spares a cluster (20 writes a second) is lifted: this world takes no time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import psycopg
import structlog

from benchmarks.floor import percentile
from benchmarks.sql_fleet import database as new_database
from cli import garbage
from drivers.simulation.driver import SimulationDriver
from drivers.simulation.world import World
from model.objects import Site
from model.spec import Snapshot
from reconciler.bulkhead import Bulkhead, BulkheadLimits
from reconciler.daemon import Daemon
from reconciler.leadership import Leadership
from reconciler.pace import PaceLimits
from reconciler.parts import Parts
from reconciler.reconcile import Tools
from reconciler.render import site_of
from reconciler.settings import Settings
from state.database import Database, connect
from state.embedded import Embedded
from state.errors import StateError
from state.keyring import Keyring
from state.leases import Leases
from state.secrets import Secrets
from state.signals import signals
from state.store import Store

_DEPLOYMENTS = 200
_CHANGES_A_SECOND = 50
_SECONDS = 20.0
_CONVERGE_SECONDS = 240.0
_SECRETS = 40
_SEALED_SECONDS_MAX = 30.0
_IS_SEALED = "SELECT 1 FROM core.variables WHERE key = %s AND version > 0"
_PACE = PaceLimits(applies_per_second_max=1000.0)
"""The usual pace spares a cluster with 20 writes a second; beyond it every change would wait for its turn."""
_CHANGER = """
import json, sys, time, psycopg
url, deployments, rate, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
told = []
with psycopg.connect(url, autocommit=True, options="-c role=armillary_admin") as sql:
    begun = time.monotonic()
    for number in range(int(rate * seconds)):
        time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        release = f"demo-d{1 + number % deployments}"
        sql.execute(
            "UPDATE armillary.components SET settings = jsonb_build_object('parallelism', %s::integer)"
            " WHERE deployment = %s AND component = 'scheduler'",
            (8 + number // deployments, f"demo/d{1 + number % deployments}"),
        )
        told.append((release, time.monotonic()))
print(json.dumps(told))
"""


def commit_to_first_action(running: Embedded) -> dict[str, object]:
    """Change deployments from another process and time the daemon's first write to each."""
    url = new_database(running, "daemon")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("INSERT INTO armillary.workspaces (name) VALUES ('demo')")
        connection.execute(
            "INSERT INTO armillary.deployments (workspace, name, airflow_version, dags_folder)"
            f" SELECT 'demo', 'd' || n, '3.3.2', '/srv/dags' FROM generate_series(1, {_DEPLOYMENTS}) n".encode()
        )
        connection.execute("VACUUM ANALYZE")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    return asyncio.run(_measured(url))


async def _measured(url: str) -> dict[str, object]:
    world, stop = World(clock=time.monotonic), asyncio.Event()
    database = await connect(url, application_name="armillary-daemon")
    with tempfile.TemporaryDirectory() as home:
        daemon, store = _daemon(url, Path(home), world, database, stop)
        paced = contextlib.ExitStack()
        paced.enter_context(garbage.paced())
        running = asyncio.create_task(daemon.run(stop))
        try:
            await _converged(database)
            # as autovacuum does within a minute: plans of the first moments take tables to be empty
            await asyncio.to_thread(_analyze, url)
            changes = await _changed(url)
            await asyncio.sleep(5.0)
            sealed = await asyncio.to_thread(_sealed, url)
        finally:
            stop.set()
            paced.close()
            await asyncio.wait({running}, timeout=30.0)
            await store.close()
            await database.close()
    return _told(changes, world) | {"sealing": sealed}


def _daemon(url: str, home: Path, world: World, database: Database, stop: asyncio.Event) -> tuple[Daemon, Store]:
    keyring = Keyring.in_memory()
    secrets, store = Secrets(database, keyring), Store(database, keyring)
    leadership = Leadership(Leases(database), name="cluster/local", holder="benchmark")

    def site(before: Snapshot) -> Site | None:
        return site_of(before, installation="simulated", home="/home", database=("127.0.0.1", 5432))

    driver = Bulkhead(
        SimulationDriver(world=world, reveal=secrets.reveal),
        limits=BulkheadLimits(pace=_PACE),
        may_write=lambda: leadership.epoch is not None,
    )
    parts = Parts(
        tools=Tools(store=store, secrets=secrets, drivers=(driver,), site_of=site),
        index=store,
        seals=secrets,
        leadership=leadership,
        signals=lambda: signals(url, stop=stop),
        store_errors=(StateError,),
        settings=Settings(home=home),
        installation="simulated",
    )
    return Daemon(parts), store


async def _converged(database: Database) -> None:
    asked = "SELECT count(*) FROM core.conditions WHERE type = 'Ready' AND status = 'True'"
    deadline = time.monotonic() + _CONVERGE_SECONDS
    while (ready := await database.read_value(asked)) < _DEPLOYMENTS:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{ready} of {_DEPLOYMENTS} deployments are Ready after {_CONVERGE_SECONDS:.0f} s")
        await asyncio.sleep(0.5)
    await asyncio.sleep(5.0)


def _analyze(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


async def _changed(url: str) -> list[tuple[str, float]]:
    arguments = (url, str(_DEPLOYMENTS), str(_CHANGES_A_SECOND), str(_SECONDS))
    changer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _CHANGER, *arguments, stdout=subprocess.PIPE
    )
    output, _ = await changer.communicate()
    return [(release, at) for release, at in json.loads(output)]


def _sealed(url: str) -> dict[str, object]:
    """From the INSERT of a secret in plain SQL until its value is sealed, one after the other."""
    took: list[float] = []
    with psycopg.connect(url, autocommit=True) as connection:
        for number in range(_SECRETS):
            began = time.monotonic()
            connection.execute(
                "INSERT INTO armillary.variables (deployment, key, value, secret)"
                " VALUES ('demo/d1', %s, 'a value', true)",
                (f"SECRET_{number}",),
            )
            while not connection.execute(_IS_SEALED, (f"SECRET_{number}",)).fetchone():
                time.sleep(0.005)
                if time.monotonic() - began > _SEALED_SECONDS_MAX:
                    raise TimeoutError(f"secret {number} is not sealed after {_SEALED_SECONDS_MAX:.0f} s")
            took.append((time.monotonic() - began) * 1000)
    return {
        "secrets": _SECRETS,
        **{f"p{percent}_ms": round(percentile(took, percent), 1) for percent in (50, 100)},
        "target": {"p100_ms": 1000},
    }


def _told(changes: list[tuple[str, float]], world: World) -> dict[str, object]:
    writes: dict[str, list[float]] = defaultdict(list)
    for write in world.writes:
        writes[write.ref.name.partition(".")[0]].append(write.at)
    first = changes[0][1]
    took, lost = [], 0
    for release, at in changes:
        # the daemon may be faster than the answer to the COMMIT
        after = [one for one in writes[release] if one >= at - 0.5 and one >= first - 0.5]
        took.append((after[0] - at) * 1000 if after else float("inf"))
        lost += not after
    seconds = changes[-1][1] - first
    return {
        "deployments": _DEPLOYMENTS,
        "changes": len(changes),
        "changes_a_second": round(len(changes) / seconds, 1),
        **{f"p{percent}_ms": round(percentile(took, percent), 1) for percent in (50, 90, 99, 100)},
        "never_acted_upon": lost,
        "target": {"p50_ms": 10, "p99_ms": 50},
    }

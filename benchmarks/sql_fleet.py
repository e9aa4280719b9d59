"""A durable server of its own with a fleet of 10,000 deployments, which exists only for a benchmark."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.floor import percentile
from state.embedded import Embedded, prepare
from state.migrate import migrate

Sql = psycopg.Connection[Any]
DEPLOYMENTS = 10_000
READY_SECONDS = 60.0

# past the triggers: a local cluster has ports for some hundreds only, and how they are made is not measured here
_FILL = """
    SET session_replication_role = replica;
    INSERT INTO core.workspaces (name) SELECT 'team' || n FROM generate_series(0, 99) n;
    INSERT INTO core.releases (release) SELECT 'r' || n FROM generate_series(1, {0}) n;
    INSERT INTO core.deployments (workspace_id, name, release, airflow_version, dags_folder, created_at)
    SELECT w.id, 'd' || n, 'r' || n, '3.3.2', '/srv/dags', now() - interval '1 day'
      FROM generate_series(1, {0}) n JOIN core.workspaces w ON w.name = 'team' || n % 100 ORDER BY n;
    INSERT INTO core.components (deployment_id, component)
    SELECT d.id, c.component FROM core.deployments d JOIN core.component_catalogue c ON c.executor = d.executor;
    INSERT INTO core.variables (deployment_id, key, value)
    SELECT d.id, 'V' || n, 'value' FROM core.deployments d, generate_series(1, 3) n;
    INSERT INTO core.revisions (deployment_id, revision, spec, actor)
    SELECT d.id, 1, core.document(d.id), 'fill' FROM core.deployments d;
    INSERT INTO core.status (owner, observed_generation, epoch, converged_generation)
    SELECT d.owner, 1, 1, 1 FROM core.deployments d;
    INSERT INTO core.conditions (owner, type, status, reason, message, since)
    SELECT d.owner, t, 'True', 'Converged', 'All is as asked for.', now()
      FROM core.deployments d, unnest('{{Synced,Ready}}'::text[]) t;
    INSERT INTO core.units (owner, unit, position, component, state, detail)
    SELECT d.owner, c.component, row_number() OVER (PARTITION BY d.id ORDER BY c.component), c.component,
           'ready', 'It runs.'
      FROM core.deployments d JOIN core.components c ON c.deployment_id = d.id;
    SET session_replication_role = origin;
"""


@contextmanager
def server() -> Iterator[Embedded]:
    """A running server with the durability of the product; removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="armillary-benchmark-"))
    folder.chmod(0o755)
    prepared = prepare(folder / "home")
    with (folder / "postgres.log").open("ab") as output:
        process = subprocess.Popen(
            prepared.command,
            env=prepared.env,
            cwd=prepared.folder,
            stdout=output,
            stderr=output,
            user=prepared.user[0] if prepared.user else None,
            group=prepared.user[1] if prepared.user else None,
            extra_groups=[] if prepared.user else None,
        )
    try:
        asyncio.run(prepared.wait_ready(READY_SECONDS))
        yield prepared
    finally:
        process.terminate()
        process.wait(READY_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)


def database(of: Embedded, name: str) -> str:
    """The superuser's URL of a new migrated database."""
    with psycopg.connect(of.url_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    url = of.url_of(name)
    asyncio.run(migrate(url))
    return url


def fill(sql: Sql) -> None:
    """10,000 deployments, observed and well."""
    sql.execute(_FILL.format(DEPLOYMENTS).encode())
    sql.execute("VACUUM ANALYZE")


def milliseconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


def median_ms(work: Callable[[], object], rounds: int) -> float:
    """The median of some rounds."""
    return round(percentile([milliseconds(work) for _ in range(rounds)], 50), 3)

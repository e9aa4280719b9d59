"""A whole installation as its user has it: driven by the command line, HTTP and SQL, looked at from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib import request
from urllib.error import HTTPError

import psutil
import psycopg

from cli import store
from cli.home import Home
from drivers.local import supervise

ARMILLARY = str(Path(sys.executable).with_name("armillary"))
DEPLOYMENT = "/v1/workspaces/demo/deployments/hello"
AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer")


def until(what: str, holds: Callable[[], Any], *, seconds: float = 60.0, every: float = 0.05) -> Any:
    """The first true answer, or a failure that says what was waited for."""
    deadline = time.monotonic() + seconds
    while not (answer := holds()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(every)
    return answer


@dataclass(frozen=True)
class World:
    """One installation in its home."""

    home: Home
    port: int

    # --- as its user -------------------------------------------------------------------------------------

    def armillary(
        self, *arguments: str, seconds: float = 300.0, check: bool = True
    ) -> subprocess.CompletedProcess:
        """Run the command on this home."""
        environment = {**os.environ, "ARMILLARY_HOME": str(self.home.path)}
        return subprocess.run(
            [ARMILLARY, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=check,
            stdin=subprocess.DEVNULL,
        )

    def http(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """One call of the API: status and JSON."""
        call = request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.home.token.read_text().strip()}", **headers},
        )
        try:
            with request.urlopen(call, timeout=10) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")

    @contextmanager
    def session(self) -> Iterator[psycopg.Connection]:
        """A session on the state database."""
        with psycopg.connect(store.url_of(self.home), autocommit=True) as connection:
            yield connection

    def sql(self, statement: str, *values: Any) -> list[tuple]:
        """One statement on the state database; its rows."""
        with self.session() as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    # --- as an onlooker ----------------------------------------------------------------------------------

    @property
    def root(self) -> Path:
        """The folder of the deployment demo/hello."""
        return self.home.deployments / "demo-hello"

    def state(self, unit: str) -> supervise.State:
        """What the shim of one Airflow process says."""
        return supervise.look(self.root / "run" / f"{unit}-0")

    def pids(self) -> dict[str, int]:
        """The processes that Airflow consists of."""
        return {unit: pid for unit in AIRFLOW if (pid := self.state(unit).child_pid)}

    def condition(self, kind: str) -> str:
        """The status of one condition of demo/hello, Unknown while it is not looked at."""
        column = kind.lower()
        rows = self.sql(
            f"SELECT {column} FROM armillary.fleet"
            " WHERE deployment = 'demo/hello' AND generation = observed_generation"
        )
        return rows[0][0] if rows else "Unknown"

    def is_settled(self) -> bool:
        """Synced and Ready at the newest generation."""
        return self.condition("Synced") == "True" and self.condition("Ready") == "True"

    def settle(self, seconds: float = 120.0) -> None:
        """Wait until everything is as asked and works."""
        until("demo/hello to be Synced and Ready", self.is_settled, seconds=seconds, every=0.2)

    def events(self, after: int) -> list[dict[str, Any]]:
        """Events of demo/hello after one, oldest first."""
        rows = self.sql(
            "SELECT id, reason, coalesce(cause, ''), object, message FROM armillary.events"
            " WHERE id > %s ORDER BY id",
            after,
        )
        return [dict(zip(("id", "reason", "cause", "object", "message"), row, strict=True)) for row in rows]

    def last_event(self) -> int:
        """The id of the newest event."""
        return self.sql("SELECT coalesce(max(id), 0) FROM armillary.events")[0][0]

    def rows(self) -> dict[str, str]:
        """Every row version of the state, leases excepted: they are renewed for ever. Any write changes it."""
        tables = "SELECT relname FROM pg_class WHERE relnamespace = 'core'::regnamespace AND relkind = 'r'"
        versions = (
            "SELECT coalesce(string_agg(t.ctid::text || t.xmin::text, ' ' ORDER BY t.ctid), '') FROM core.{} t"
        )
        with self.session() as connection:
            names = [name for (name,) in connection.execute(tables).fetchall() if name != "leases"]
            return {name: connection.execute(versions.format(name)).fetchone()[0] for name in names}

    def files(self) -> dict[str, tuple[int, int]]:
        """Every file that Armillary wrote for the deployment: inode and time of change."""
        kinds = ("settings", "credentials", "objects", "run")
        paths = [path for kind in kinds for path in (self.root / kind).rglob("*") if path.is_file()]
        return {
            str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths if path.name != "output.log"
        }

    def airflow(self) -> AirflowApi:
        """Airflow's own API, logged in."""
        login = self.http("GET", f"{DEPLOYMENT}/login")[1]
        status = self.http("GET", f"{DEPLOYMENT}/status")[1]
        return AirflowApi(status["addresses"]["airflow"], login["username"], login["password"])


class AirflowApi:
    """What a DAG's author does with Airflow."""

    def __init__(self, url: str, username: str, password: str) -> None:
        self.url = url
        self._token = self._ask("POST", "/auth/token", {"username": username, "password": password})[
            "access_token"
        ]

    def trigger(self, dag: str, run: str, logical_date: str | None = None) -> None:
        """Start a run."""
        until(f"{dag} to be known", lambda: self._known(dag), seconds=90, every=0.5)
        self._ask("PATCH", f"/api/v2/dags/{dag}?update_mask=is_paused", {"is_paused": False})
        self._ask(
            "POST", f"/api/v2/dags/{dag}/dagRuns", {"dag_run_id": run, "logical_date": logical_date, "conf": {}}
        )

    def run(self, dag: str, run: str) -> str:
        """A run's state."""
        return self._ask("GET", f"/api/v2/dags/{dag}/dagRuns/{run}")["state"]

    def task(self, dag: str, run: str, task: str) -> dict[str, Any]:
        """A task instance."""
        return self._ask("GET", f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}")

    def get(self, path: str) -> Any:
        """The answer to a GET."""
        return self._ask("GET", path)

    def _known(self, dag: str) -> bool:
        try:
            self._ask("GET", f"/api/v2/dags/{dag}")
        except HTTPError as error:
            error.close()
            return False
        return True

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if hasattr(self, "_token"):
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        call = request.Request(f"{self.url}{path}", method=method, data=data, headers=headers)
        with request.urlopen(call, timeout=20) as answer:
            return json.loads(answer.read() or b"null")


def kill(pid: int) -> None:
    """kill -9."""
    os.kill(pid, signal.SIGKILL)


def below(folder: Path) -> list[psutil.Process]:
    """Processes whose command line names a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(folder) in argument for argument in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found

"""Airflow 2.11 beside Airflow 3, for real: a run and its log, kills, upgrade and downgrade, and a deletion.

Run by `make test-airflow`: it takes some minutes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib import request
from urllib.error import HTTPError, URLError

import psutil
import pytest

from drivers.local import supervise

from .world import AIRFLOW, AirflowApi, World, kill, until

pytestmark = [pytest.mark.whole_airflow, pytest.mark.timeout(900)]

PATIENCE_SECONDS = 300.0
"""For anything that needs Airflow to start: other things may run here, and a runtime may be made first."""
TWO = "/v1/workspaces/demo/deployments/two"
DAG = '''"""Valid for both generations. Its task says something, and takes its time."""

import time
from datetime import datetime, timedelta

from airflow.decorators import dag, task


AGAIN = {"retries": 5, "retry_delay": timedelta(seconds=1)}


@dag(schedule=None, start_date=datetime(2026, 1, 1), default_args=AGAIN)
def both():
    @task
    def tell():
        print("Hello from either generation")
        time.sleep(8)

    tell()


both()
'''


@dataclass(frozen=True)
class Second:
    """The deployment demo/two."""

    world: World

    def ask_for(self, statement: str, *values: Any) -> None:
        """Say something by SQL, and wait until it is so."""
        self.world.sql(f"{statement} WHERE deployment = 'demo/two'", *values)
        self.settle()

    def settle(self) -> None:
        until("demo/two to be as asked, and well", self._is_settled, seconds=PATIENCE_SECONDS, every=0.5)

    def _is_settled(self) -> bool:
        fleet = (
            "SELECT synced = 'True' AND ready = 'True' AND generation = observed_generation"
            " FROM armillary.fleet WHERE deployment = 'demo/two'"
        )
        return bool(rows := self.world.sql(fleet)) and bool(rows[0][0])

    @property
    def pids(self) -> dict[str, int]:
        """The processes of its units that run."""
        folders = (self.world.home.deployments / "demo-two" / "run").glob("*-0")
        states = {one.name.removesuffix("-0"): supervise.look(one) for one in folders}
        return {unit: state.child_pid for unit, state in states.items() if state.child_pid}

    def login(self) -> Mapping[str, str]:
        return self.world.http("GET", f"{TWO}/login")[1]

    def api(self, method: str, path: str, body: Any = None, *, accept: str = "application/json") -> Any:
        """One call of Airflow 2's own API."""
        login = self.login()
        token = base64.b64encode(f"{login['username']}:{login['password']}".encode()).decode()
        headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json", "Accept": accept}
        data = None if body is None else json.dumps(body).encode()
        call = request.Request(f"{login['url']}/api/v1{path}", method=method, data=data, headers=headers)
        with request.urlopen(call, timeout=20) as answer:
            content = answer.read()
        return json.loads(content or b"null") if accept == "application/json" else content.decode()

    def trigger(self, run: str) -> None:
        until("the DAG to be known", self._knows, seconds=90, every=0.5)
        self.api("PATCH", "/dags/both", {"is_paused": False})
        self.api("POST", "/dags/both/dagRuns", {"dag_run_id": run})

    def _knows(self) -> bool:
        try:
            self.api("GET", "/dags/both")
        except HTTPError as error:
            error.close()
            return False
        return True

    def state(self, run: str) -> str:
        try:
            return self.api("GET", f"/dags/both/dagRuns/{run}")["state"]
        except HTTPError as error:
            with error:
                return f"{run}: {error.code}"
        except (TimeoutError, URLError):  # its webserver was just killed
            return ""

    def succeeds(self, run: str) -> None:
        ended = until(f"{run} to end", lambda: self._ended(run), seconds=PATIENCE_SECONDS, every=0.5)
        assert ended == "success"

    def _ended(self, run: str) -> str:
        state = self.state(run)
        return state if state in ("success", "failed") else ""


@pytest.fixture(scope="module")
def two(world: World) -> Second:
    """Airflow 2.11.2 beside the first deployment, and a variable in it."""
    world.settle(PATIENCE_SECONDS)
    dags = world.home.path / "both"
    dags.mkdir()
    dags.joinpath("both.py").write_text(DAG)
    world.sql(
        "INSERT INTO armillary.deployments (workspace, name, airflow_version, dags_folder)"
        " VALUES ('demo', 'two', '2.11.2', %s)",
        str(dags),
    )
    for key in (
        "SCHEDULER_ZOMBIE_TASK_THRESHOLD",
        "ZOMBIE_DETECTION_INTERVAL",
    ):  # else five minutes for what was killed
        world.sql(
            "INSERT INTO armillary.variables (deployment, key, value) VALUES ('demo/two', %s, '10')",
            f"AIRFLOW__SCHEDULER__{key}",
        )
    second = Second(world)
    second.settle()
    second.api("POST", "/variables", {"key": "kept", "value": "through all"})
    return second


def test_a_run_succeeds_and_its_log_is_read(two: Second):
    two.trigger("first")
    two.succeeds("first")

    log = two.api("GET", "/dags/both/dagRuns/first/taskInstances/tell/logs/1", accept="text/plain")
    assert "Hello from either generation" in log


def test_everything_of_it_listens_on_loopback_alone(two: Second):
    processes = [psutil.Process(pid) for pid in two.pids.values()]
    family = [one for process in processes for one in (process, *process.children(recursive=True))]
    listening = {one.laddr.ip for each in family for one in each.net_connections("inet") if one.status == "LISTEN"}

    assert listening == {"127.0.0.1"}


def test_nobody_gets_in_without_the_login(two: Second):
    call = request.Request(
        f"{two.login()['url']}/api/v1/dags", headers={"Authorization": "Basic YWRtaW46YWRtaW4="}
    )
    with pytest.raises(HTTPError) as refused:
        request.urlopen(call, timeout=20)

    with refused.value as answer:
        assert answer.code in (401, 403)


@pytest.mark.parametrize("unit", AIRFLOW)
def test_a_killed_process_alone_is_replaced_and_the_run_succeeds(two: Second, unit: str):
    before, beside = two.pids, two.world.pids()
    two.trigger(f"without-{unit}")
    until("the task to run", lambda: two.state(f"without-{unit}") == "running", seconds=60, every=0.2)

    kill(before[unit])

    until("another one", lambda: two.pids.get(unit) not in (None, before[unit]))
    two.settle()
    two.succeeds(f"without-{unit}")
    after = two.pids
    assert {name for name in before if after.get(name) != before[name]} == {unit}
    assert two.world.pids() == beside


def test_celery_runs_the_second_generation_too_and_a_worker_ends_when_told(two: Second):
    two.ask_for("UPDATE armillary.deployments SET executor = 'CeleryExecutor'")
    two.trigger("celery")
    two.succeeds("celery")

    log = two.api("GET", "/dags/both/dagRuns/celery/taskInstances/tell/logs/1", accept="text/plain")
    assert "Hello from either generation" in log
    two.ask_for("UPDATE armillary.deployments SET executor = 'LocalExecutor'")
    until("the worker to be gone", lambda: "worker" not in two.pids, seconds=60)


def test_an_upgrade_and_the_way_back_keep_history_and_variables_and_touch_nobody_else(two: Second):
    beside = two.world.pids()
    login = two.login()

    two.ask_for("UPDATE armillary.deployments SET airflow_version = '3.3.2'")
    newer = AirflowApi(login["url"], login["username"], login["password"])
    assert newer.run("both", "first") == "success"
    assert newer._ask("GET", "/api/v2/variables/kept")["value"] == "through all"
    # with a logical date: Airflow's own way back deletes runs that have none
    newer.trigger("both", "upgraded", logical_date="2026-01-02T00:00:00Z")
    until("a run", lambda: newer.run("both", "upgraded") == "success", seconds=PATIENCE_SECONDS, every=0.5)

    two.ask_for("UPDATE armillary.deployments SET airflow_version = '2.11.2'")
    assert two.api("GET", "/variables/kept")["value"] == "through all"
    assert [two.state(run) for run in ("first", "upgraded")] == ["success", "success"]
    two.trigger("back")
    two.succeeds("back")
    assert two.login() == login
    assert two.world.pids() == beside


def test_deleting_it_ends_all_of_it_and_nothing_of_the_other(two: Second):
    beside, before = two.world.pids(), two.pids
    assert before.keys() == set(AIRFLOW)
    two.world.sql("DELETE FROM armillary.deployments WHERE deployment = 'demo/two'")

    until("all of it to end", lambda: not two.pids, seconds=120)
    assert [pid for pid in before.values() if psutil.pid_exists(pid)] == []
    assert two.world.pids() == beside

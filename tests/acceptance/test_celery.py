"""The CeleryExecutor for real: a broker, two workers, Flower; kills, drains, and switches of executors.

Run by `make test-airflow`: it takes some minutes.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path
from urllib import request

import psutil
import pytest

from drivers.local import supervise

from .world import AIRFLOW, DEPLOYMENT, AirflowApi, World, kill, until

pytestmark = [pytest.mark.whole_airflow, pytest.mark.timeout(900)]

PATIENCE_SECONDS = 300.0
"""For anything that needs Airflow to start: other things may run on the machine."""
UNITS = (*AIRFLOW, "redis", "flower", "worker")
DAGS = '''"""Many short tasks, and a few that take their time. Each returns the name of the worker that ran it."""

import os
import time
from datetime import timedelta

from airflow.sdk import dag, task


def dag_of(name, tasks, seconds):
    @dag(dag_id=name, schedule=None, default_args={"retries": 5, "retry_delay": timedelta(seconds=1)})
    def made():
        @task
        def work(number):
            time.sleep(seconds)
            return os.environ["ARMILLARY_REPLICA"]

        work.expand(number=list(range(tasks)))

    return made()


many, busy = dag_of("many", 20, 1), dag_of("busy", 4, 25)
'''
SOONER = {
    # else the scheduler waits five and ten minutes for what a killed worker had
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": {"value": "30"},
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": {"value": "5"},
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": {"value": "60"},
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": {"value": "10"},
}
CELERY = {
    "executor": "CeleryExecutor",
    "components": {"worker": {"replicas": 2, "settings": {"concurrency": 2}}},
    "variables": SOONER,
}


@pytest.fixture(scope="module")
def celery(world: World) -> World:
    """The world, its deployment switched to Celery by one PATCH."""
    world.settle(PATIENCE_SECONDS)
    dags = world.home.path / "many"
    dags.mkdir()
    dags.joinpath("many.py").write_text(DAGS)
    change(world, {**CELERY, "dags_folder": str(dags)})
    return world


def change(world: World, patch: dict) -> None:
    """Ask for something by HTTP, and wait until it is so."""
    status, answer = world.http("PATCH", DEPLOYMENT, patch, **{"Content-Type": "application/merge-patch+json"})
    assert status == 200, answer
    world.settle(PATIENCE_SECONDS)


def pids(world: World) -> dict[str, int]:
    """The processes of every replica that runs."""
    folders = [one for one in (world.root / "run").iterdir() if one.name.rpartition("-")[0] in UNITS]
    return {one.name: pid for one in folders if (pid := supervise.look(one).child_pid)}


def instances(airflow: AirflowApi, dag: str, run: str) -> list[dict]:
    """The tasks of a run."""
    return airflow._ask("GET", f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances?limit=100")["task_instances"]


def ran_on(airflow: AirflowApi, dag: str, run: str) -> Counter[str]:
    """How many tasks of a run each worker ran."""
    place = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/work/xcomEntries/return_value?map_index="
    return Counter(airflow._ask("GET", f"{place}{number}")["value"] for number in range(len_of(airflow, dag, run)))


def len_of(airflow: AirflowApi, dag: str, run: str) -> int:
    return len(instances(airflow, dag, run))


def ends_well(airflow: AirflowApi, dag: str, run: str) -> None:
    ended = until("the run to end", lambda: _ended(airflow, dag, run), seconds=PATIENCE_SECONDS, every=0.5)
    assert ended == "success", Counter((one["state"], one["try_number"]) for one in instances(airflow, dag, run))


def _ended(airflow: AirflowApi, dag: str, run: str) -> str:
    try:
        state = airflow.run(dag, run)
    except TimeoutError:  # twenty tasks that start on two cores leave an api-server little
        return ""
    return state if state in ("success", "failed") else ""


def running(airflow: AirflowApi, dag: str, run: str) -> int:
    """How many tasks of a run are running now."""
    return sum(one["state"] == "running" for one in instances(airflow, dag, run))


def flowers_workers(world: World) -> set[str]:
    """The workers that Flower calls online."""
    login = world.http("GET", f"{DEPLOYMENT}/login")[1]
    address = world.http("GET", f"{DEPLOYMENT}/status")[1]["addresses"]["flower"]
    token = base64.b64encode(f"{login['username']}:{login['password']}".encode()).decode()
    call = request.Request(f"{address}/workers?json=1", headers={"Authorization": f"Basic {token}"})
    with request.urlopen(call, timeout=20) as answer:
        return {one["hostname"] for one in json.loads(answer.read())["data"] if one["status"]}


def test_twenty_tasks_run_on_both_workers_and_flower_lists_both(celery: World):
    airflow = celery.airflow()
    airflow.trigger("many", "first")
    ends_well(airflow, "many", "first")

    assert {one["try_number"] for one in instances(airflow, "many", "first")} == {1}
    assert set(ran_on(airflow, "many", "first")) == {"worker-0", "worker-1"}
    both = {"worker-0@demo-hello", "worker-1@demo-hello"}
    until("Flower to list both", lambda: flowers_workers(celery) == both, seconds=60, every=1.0)


def test_the_broker_s_password_is_in_no_command_and_the_broker_listens_on_loopback_alone(celery: World):
    configuration = celery.root / "credentials" / "broker" / "valkey.conf"
    password = configuration.read_text().partition('requirepass "')[2].partition('"')[0]
    broker = psutil.Process(pids(celery)["redis-0"])
    listening = {one.laddr.ip for one in broker.net_connections("inet") if one.status == psutil.CONN_LISTEN}

    assert len(password) > 40
    assert configuration.stat().st_mode & 0o777 == 0o600
    assert [pid for pid in psutil.pids() if password.encode() in _command(pid)] == []
    assert listening == {"127.0.0.1"}


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_killed_worker_alone_is_replaced_and_the_run_succeeds(celery: World):
    airflow, before = celery.airflow(), pids(celery)
    airflow.trigger("busy", "killed")
    until("all workers to be busy", lambda: running(airflow, "busy", "killed") == 4, seconds=150, every=0.5)

    kill(before["worker-0"])

    until("another worker", lambda: pids(celery).get("worker-0") not in (None, before["worker-0"]))
    ends_well(airflow, "busy", "killed")
    celery.settle(PATIENCE_SECONDS)
    after = pids(celery)
    assert {name for name in before if after.get(name) != before[name]} == {"worker-0"}
    assert after.keys() == before.keys()


def test_scaling_down_while_both_are_busy_loses_no_task(celery: World):
    airflow, before = celery.airflow(), pids(celery)
    airflow.trigger("busy", "scaled")
    until("all workers to be busy", lambda: running(airflow, "busy", "scaled") == 4, seconds=150, every=0.5)

    celery.sql(
        "UPDATE armillary.components SET replicas = 1 WHERE deployment = 'demo/hello' AND component = 'worker'"
    )

    ends_well(airflow, "busy", "scaled")
    assert Counter(one["try_number"] for one in instances(airflow, "busy", "scaled")) == {1: 4}
    until("the second worker to be gone", lambda: "worker-1" not in pids(celery), seconds=60)
    celery.settle(PATIENCE_SECONDS)
    assert pids(celery) == {name: pid for name, pid in before.items() if name != "worker-1"}


def test_celery_to_local_to_celery_keeps_history_and_leaves_nothing_running(celery: World):
    airflow = celery.airflow()
    airflow.trigger("many", "before")
    ends_well(airflow, "many", "before")

    change(celery, {"executor": "LocalExecutor"})
    until("Celery's parts to be gone", lambda: set(pids(celery)) == {f"{one}-0" for one in AIRFLOW}, seconds=60)
    airflow = celery.airflow()
    airflow.trigger("many", "local")
    ends_well(airflow, "many", "local")
    change(celery, CELERY)
    airflow = celery.airflow()
    airflow.trigger("many", "again")
    ends_well(airflow, "many", "again")

    assert [airflow.run("many", run) for run in ("before", "local")] == ["success", "success"]
    assert set(ran_on(airflow, "many", "again")) == {"worker-0", "worker-1"}

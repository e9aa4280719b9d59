"""An Airflow in real pods: made from two rows, a DAG run in it, its log read; then Celery, with a worker drained.

The images are the product's own recipe. Run by `make test-pods`: some minutes, and some more the first time, when
the images are built. What a machine lacks for it is named, and the tests are skipped.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from state.embedded import prepare
from tests.clusters import OwnCluster
from tests.conformance.kubernetes_rig import Hands
from tests.conftest import running
from tests.image.builder import missing
from tests.image.runtimes import ENVIRONMENT, USER, root_filesystems

from .daemon import Daemon
from .world import AIRFLOW, ARMILLARY, AirflowApi, until

pytestmark = [
    pytest.mark.pods,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(missing()), reason=f"NO IMAGE: {missing()}"),
]

PATIENCE_SECONDS = 300.0
"""For anything that needs Airflow to start."""
_RUNTIMES = {"airflow:3.3.2": "airflow-3.3.2", "valkey:9.1.2": "valkey-9.1.2"}
_DAGS = '''"""One task that says where it runs, and four that take their time."""

import socket
import time

from airflow.sdk import dag, task


@dag(schedule=None)
def hello():
    @task
    def greet():
        print("Hello from", socket.gethostname())
        return socket.gethostname()

    greet()


@dag(schedule=None)
def busy():
    @task
    def work(number):
        time.sleep(25)
        return socket.gethostname()

    work.expand(number=list(range(4)))


hello()
busy()
'''
_ASK = """
INSERT INTO armillary.workspaces (name) VALUES ('demo');
INSERT INTO armillary.deployments (workspace, name, cluster, airflow_version, dags_folder)
VALUES ('demo', 'hello', 'east', '3.3.2', '/opt/airflow/dags');
"""


@dataclass(frozen=True, kw_only=True)
class Pods:
    """A real node with the deployment's pods on it, and the daemon that keeps it."""

    cluster: OwnCluster
    daemon: Daemon

    def service(self, name: str, port: str) -> str:
        """The address of a Service's port; this machine reaches it."""
        spec = next(
            one["spec"]
            for one in self.daemon.hands.listed("Service")
            if (one["metadata"]["namespace"], one["metadata"]["name"]) == (self.daemon.namespace, name)
        )
        return f"http://{spec['clusterIP']}:{next(one['port'] for one in spec['ports'] if one['name'] == port)}"

    def airflow(self) -> AirflowApi:
        found = self.daemon.there("Secret")["login"]["data"]["passwords.json"]
        return AirflowApi(
            self.service("api-server", "http"), "admin", json.loads(base64.b64decode(found))["admin"]
        )

    def pods(self, component: str = "") -> dict[str, dict[str, Any]]:
        """The deployment's pods that have not ended, those on their way out too."""
        labels = f"release=demo-hello{',component=' + component if component else ''}"
        found = self.daemon.hands.listed("Pod", labels)
        return {one["metadata"]["name"]: one for one in found if one["status"]["phase"] == "Running"}

    def restarts(self) -> dict[str, int]:
        return {
            name: sum(each["restartCount"] for each in one["status"]["containerStatuses"])
            for name, one in self.pods().items()
        }


@pytest.fixture(scope="module")
def pods(scratch: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    folder = tmp_path_factory.mktemp("pods")
    dags = folder / "layer" / "opt" / "airflow" / "dags"
    dags.mkdir(parents=True)
    dags.joinpath("some.py").write_text(_DAGS)
    with OwnCluster.started("real") as cluster:
        files = root_filesystems(*_RUNTIMES.values())
        for name, file in zip(_RUNTIMES, files, strict=True):
            cluster.image(name, file, folder / "layer", environment=ENVIRONMENT, user=USER)
        server = prepare(scratch / "pods")
        with server.data.joinpath("pg_hba.conf").open("a") as access:
            access.write("host all all 10.0.0.0/8 scram-sha-256\n")
        listen = f"listen_addresses=127.0.0.1,{cluster.host}"
        with running(server, folder / "postgres.log", "-c", listen):
            subprocess.run(
                [ARMILLARY, "migrate", "--database", server.url_of("postgres")], check=True, timeout=120
            )
            yield from _kept(cluster, server.url_of("postgres"), folder)


def _kept(cluster: OwnCluster, database: str, folder: Path) -> Iterator[Pods]:
    hands = Hands(cluster.kubeconfig)
    daemon = Daemon(home=folder, database=database, hands=hands)
    daemon.configure(cluster.kubeconfig, database_host="host.internal")
    try:
        daemon.start()
        daemon.sql(_ASK)
        yield Pods(cluster=cluster, daemon=daemon)
    finally:
        daemon.end()
        hands.close()


def ends_well(airflow: AirflowApi, dag: str, run: str) -> None:
    ended = until("the run to end", lambda: _ended(airflow, dag, run), seconds=PATIENCE_SECONDS, every=0.5)
    assert ended == "success", Counter((one["state"], one["try_number"]) for one in tasks(airflow, dag, run))


def _ended(airflow: AirflowApi, dag: str, run: str) -> str:
    try:
        state = airflow.run(dag, run)
    except TimeoutError:  # what starts on two cores leaves an api-server little
        return ""
    return state if state in ("success", "failed") else ""


def tasks(airflow: AirflowApi, dag: str, run: str) -> list[dict[str, Any]]:
    """The tasks of a run."""
    return airflow.get(f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]


def log_of(airflow: AirflowApi, dag: str, run: str, task: str) -> str:
    """What a task logged, as Airflow's own page asks the api-server for it."""
    place = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/1?full_content=true"
    return json.dumps(airflow.get(place))


def test_two_rows_become_an_airflow_whose_dag_runs_and_whose_log_is_read(pods: Pods):
    pods.daemon.settle(PATIENCE_SECONDS)
    airflow = pods.airflow()
    airflow.trigger("hello", "first")
    ends_well(airflow, "hello", "first")

    scheduler = next(iter(pods.pods("scheduler")))
    assert {one["metadata"]["labels"]["component"] for one in pods.pods().values()} == set(AIRFLOW)
    assert f"Hello from {scheduler}" in log_of(airflow, "hello", "first", "greet")
    assert set(pods.restarts().values()) == {0}


def test_celery_runs_tasks_in_its_workers_and_their_logs_are_read(pods: Pods):
    pods.daemon.sql(
        "UPDATE armillary.deployments SET executor = 'CeleryExecutor';"
        "UPDATE armillary.components SET replicas = 2, settings = '{\"concurrency\": 2}', grace_seconds = 300"
        " WHERE component = 'worker'"
    )
    pods.daemon.settle(PATIENCE_SECONDS)
    airflow = pods.airflow()
    airflow.trigger("hello", "celery")
    ends_well(airflow, "hello", "celery")

    assert Counter(one["metadata"]["labels"]["component"] for one in pods.pods().values()) == Counter(
        [*AIRFLOW, "redis", "flower", "worker", "worker"]
    )
    log = log_of(airflow, "hello", "celery", "greet")
    assert [name for name in pods.pods("worker") if f"Hello from {name}" in log]


def test_a_worker_that_is_scaled_away_while_busy_loses_no_task(pods: Pods):
    pods.daemon.settle(PATIENCE_SECONDS)
    airflow, before = pods.airflow(), set(pods.pods("worker"))
    airflow.trigger("busy", "scaled")
    until(
        "both workers to be busy",
        lambda: sum(one["state"] == "running" for one in tasks(airflow, "busy", "scaled")) == 4,
        seconds=PATIENCE_SECONDS,
        every=0.5,
    )

    pods.daemon.sql("UPDATE armillary.components SET replicas = 1 WHERE component = 'worker'")

    ends_well(airflow, "busy", "scaled")
    assert {one["try_number"] for one in tasks(airflow, "busy", "scaled")} == {1}
    until("one worker to be gone", lambda: len(pods.pods("worker")) == 1, seconds=120)
    pods.daemon.settle(PATIENCE_SECONDS)
    assert set(pods.pods("worker")) < before

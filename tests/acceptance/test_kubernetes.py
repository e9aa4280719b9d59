"""A deployment on a real Kubernetes, asked for in SQL alone: made, repaired, changed and deleted by a real daemon.

The nodes are simulated: pods are ready at once and jobs succeed. The API server is real, and so is all of ours.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.kubernetes_rig import Hands

from .daemon import Daemon
from .world import until

pytestmark = pytest.mark.cluster

_ASK = """
INSERT INTO armillary.workspaces (name) VALUES ('demo');
INSERT INTO armillary.deployments (workspace, name, cluster, airflow_version, dags_folder)
VALUES ('demo', 'hello', 'east', '3.3.2', '/opt/airflow/dags');
"""
_MADE = {
    "Namespace": 1,
    "ServiceAccount": 1,
    "NetworkPolicy": 1,
    "ConfigMap": 1,
    "PersistentVolumeClaim": 2,
    "Service": 2,
    "Deployment": 4,
}


@pytest.fixture(scope="module")
def daemon(
    kubeconfig: Path,
    make_database: Callable[..., Any],
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Daemon]:
    home = tmp_path_factory.mktemp("kubernetes-home")
    hands = Hands(kubeconfig)
    with make_database(template=template_database) as database:
        one = Daemon(home=home, database=database, hands=hands)
        one.configure(kubeconfig, images="example.org/")
        try:
            one.start()
            one.sql(_ASK)
            one.settle()
            yield one
        finally:
            one.end()
            hands.forget(one.namespace)
            hands.close()


def test_a_row_becomes_an_airflow_on_the_cluster(daemon: Daemon):
    assert {kind: len(daemon.there(kind)) for kind in _MADE} == _MADE
    images = {
        container["image"]
        for one in daemon.there("Deployment").values()
        for container in one["spec"]["template"]["spec"]["containers"]
    }
    assert images == {"example.org/airflow:3.3.2"}


def test_whatever_is_removed_comes_back_and_the_rest_is_not_touched(daemon: Daemon):
    before = daemon.there("Deployment")
    daemon.hands.remove("Deployment", daemon.namespace, "triggerer")
    old = before["triggerer"]["metadata"]["uid"]
    until("the triggerer to be another", lambda: _uid(daemon, "triggerer") not in (None, old))
    daemon.settle()

    after = daemon.there("Deployment")
    others = before.keys() - {"triggerer"}
    assert after.keys() == before.keys()
    assert {name: after[name]["metadata"]["generation"] for name in others} == {
        name: before[name]["metadata"]["generation"] for name in others
    }


def test_a_change_of_one_variable_rolls_only_what_reads_it(daemon: Daemon):
    before = _templates(daemon)
    daemon.sql(
        "INSERT INTO armillary.variables (deployment, key, value, components)"
        " VALUES ('demo/hello', 'REGION', 'eu', '{scheduler}')"
    )
    until("the change to be seen", lambda: _templates(daemon) != before)
    daemon.settle()

    after = _templates(daemon)
    assert {name for name in after if after[name] != before[name]} == {"scheduler"}


def test_a_daemon_that_is_killed_and_started_again_writes_nothing(daemon: Daemon):
    daemon.settle()
    before = _versions(daemon)
    daemon.end(signal.SIGKILL)
    daemon.start()
    until("the new daemon to lead", lambda: daemon.led() == 2)
    time.sleep(2.0)  # to be wrong in
    daemon.settle()

    assert _versions(daemon) == before


def test_a_deletion_keeps_what_holds_data_until_it_is_purged(daemon: Daemon):
    daemon.sql("DELETE FROM armillary.deployments WHERE deployment = 'demo/hello'")
    until("everything that runs to be gone", lambda: not _pods(daemon), seconds=90)
    assert daemon.there("PersistentVolumeClaim")


def _uid(daemon: Daemon, name: str) -> str | None:
    found = daemon.there("Deployment").get(name)
    return found and found["metadata"]["uid"]


def _templates(daemon: Daemon) -> dict[str, Any]:
    return {name: one["spec"]["template"] for name, one in daemon.there("Deployment").items()}


def _versions(daemon: Daemon) -> dict[str, str]:
    """Of everything that only a write of ours would change."""
    kinds = ("Namespace", "ServiceAccount", "NetworkPolicy", "ConfigMap", "Secret", "Service")
    return {
        f"{kind}/{name}": one["metadata"]["resourceVersion"]
        for kind in kinds
        for name, one in daemon.there(kind).items()
    }


def _pods(daemon: Daemon) -> list[str]:
    found = daemon.hands.listed("Pod")
    running = [one for one in found if (one.get("status") or {}).get("phase") == "Running"]
    return [one["metadata"]["name"] for one in running if one["metadata"]["namespace"] == daemon.namespace]

"""What the CeleryExecutor adds to a deployment: its parts, their order, and who knows the broker's password."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers.kubernetes.settings import Settings as Cluster
from drivers.kubernetes.translate import translate as to_kubernetes
from drivers.local.runtime import read_locks, shipped_locks
from drivers.local.translate import UNITS as LOCAL
from drivers.local.translate import translate as to_local
from drivers.simulation.translate import translate as to_simulation
from model.digest import digest
from model.names import PathRef
from model.objects import Site
from model.spec import ComponentSpec, Spec
from model.units import Credentials, Database, Exchange, Need, Process, Task, secrets_of
from reconciler.components import render
from reconciler.components.component import Facts
from reconciler.render import secrets_to_mint

from .sketch import OWNER, snapshot, spec

FACTS = Facts(owner=OWNER)
PARTS = ("redis", "worker", "flower")
LOCKS = read_locks(shipped_locks())
NUMBERS = (("api-server", "http"), ("scheduler", "health"), ("scheduler", "logs"), ("triggerer", "logs"))
SITE = Site(
    installation="i",
    cluster="local",
    owner=OWNER,
    release="demo-hello",
    root="/home/deployments/demo-hello",
    ports={name: 20000 + n for n, name in enumerate((*NUMBERS, ("redis", "broker"), ("flower", "http")))},
)


def celery(**changes) -> Spec:
    usual = spec()
    parts = {name: ComponentSpec() for name in PARTS}
    return replace(usual, executor="CeleryExecutor", components={**usual.components, **parts, **changes})


def rendered(what: Spec, facts: Facts = FACTS):
    return {unit.name: unit for unit in render(what, facts)}


def test_celery_adds_its_parts_and_takes_none_away():
    local, with_celery = rendered(spec()), rendered(celery())

    added = {"redis", "broker", "broker-data", "results", "worker", "flower"}
    assert with_celery.keys() - local.keys() == added
    assert local.keys() <= with_celery.keys()


def test_who_sends_or_takes_tasks_waits_for_the_broker_and_for_the_tables_of_results():
    units = rendered(celery())
    waiting = {name for name, unit in units.items() if Need("redis", "ready") in unit.needs}

    assert waiting == {"scheduler", "worker", "flower"}
    assert {name for name in waiting if Need("results", "done") in units[name].needs} == {"scheduler", "worker"}
    assert Need("redis", "ready") not in rendered(spec())["scheduler"].needs


@pytest.mark.parametrize("what", [spec(), celery()], ids=lambda one: one.executor)
def test_a_migration_stops_the_workers_also_those_that_left_with_their_executor(what):
    assert Need("worker", "stopped") in rendered(what)["migrate"].needs


def test_keys_are_encrypted_anew_when_the_workers_know_them_too():
    newest = replace(FACTS, secrets={"fernet-key": 2})

    assert Need("worker", "ready") in rendered(celery(), newest)["rotate"].needs
    assert Need("worker", "ready") not in rendered(spec(), newest)["rotate"].needs


def test_the_broker_s_password_is_known_to_whoever_speaks_to_it_and_to_nobody_else():
    knowing = {
        name
        for name, unit in rendered(celery()).items()
        if any(secret.name == "broker-password" for secret in secrets_of(unit))
    }

    assert knowing == {"broker", "scheduler", "worker", "flower"}
    assert isinstance(rendered(celery())["broker"], Credentials)


def test_no_secret_is_in_any_command():
    """A command is plain text: whoever may list processes reads it."""
    told = [unit.command for unit in rendered(celery()).values() if isinstance(unit, Process | Task)]

    assert all(isinstance(part, str) for command in told for part in command)
    assert rendered(celery())["redis"].env == {"BROKER_CONFIGURATION": (PathRef("broker", "valkey.conf"),)}


def test_the_broker_s_password_is_generated_only_where_there_is_a_broker():
    before = snapshot()

    assert "broker-password" not in secrets_to_mint(before)
    assert "broker-password" in secrets_to_mint(replace(before, spec=celery()))


def test_the_tables_of_results_are_made_by_the_role_that_may():
    made = rendered(celery())["results"]

    assert made.env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"][0] == "postgresql+psycopg2://demo-hello-owner:"
    assert Need("migrate", "done") in made.needs


@pytest.mark.parametrize(("persistence", "said"), [(1, "appendonly yes"), (0, "appendonly no")])
def test_what_waits_in_the_broker_survives_its_end_or_not_as_asked(persistence, said):
    parts = rendered(celery(redis=ComponentSpec(settings={"persistence": persistence})))

    told = "".join(one for one in parts["broker"].files["valkey.conf"] if isinstance(one, str))
    assert said in told
    assert parts["redis"].mounts[0].digest == digest(parts["broker"].files)


def test_workers_drain_in_the_grace_they_were_given_and_listen_nowhere():
    worker = rendered(celery(worker=ComponentSpec(replicas=3, grace_seconds=900)))["worker"]

    assert (worker.replicas, worker.stop.signal, worker.stop.grace_seconds) == (3, "SIGTERM", 900.0)
    assert worker.ports == {}


def test_a_worker_takes_from_the_queues_it_was_given_as_many_tasks_as_it_was_told():
    settings = {"queues": "default,heavy", "concurrency": 7}
    worker = rendered(celery(worker=ComponentSpec(settings=settings)))["worker"]

    assert worker.command[-2:] == ("demo-hello", "default,heavy")
    assert worker.env["AIRFLOW__CELERY__WORKER_CONCURRENCY"] == ("7",)


def test_a_hibernated_celery_deployment_runs_nothing():
    units = rendered(replace(celery(), hibernated=True))

    assert {unit.replicas for unit in units.values() if isinstance(unit, Process)} == {0}


@pytest.mark.parametrize("what", [spec(), celery()], ids=lambda one: one.executor)
def test_each_driver_makes_something_of_every_part(what):
    for unit in render(what, FACTS):
        assert to_simulation(unit, SITE)
        if not isinstance(unit, Database):
            assert type(unit) in LOCAL
            assert to_local(unit, SITE, LOCKS)
            assert to_kubernetes(unit, replace(SITE, cluster="east"), Cluster())


def test_in_a_cluster_the_broker_is_never_there_twice_with_one_folder_of_data():
    parts = rendered(celery())
    kinds = {
        name: to_kubernetes(parts[name], SITE, Cluster())[-1].body.manifest["spec"]["strategy"]["type"]
        for name in ("redis", "worker")
    }

    assert kinds == {"redis": "Recreate", "worker": "RollingUpdate"}


def test_a_broker_is_asked_whether_it_answers_wherever_it_runs():
    redis = rendered(celery())["redis"]
    body = to_kubernetes(redis, SITE, Cluster())[-1].body.manifest["spec"]["template"]["spec"]["containers"][0]

    assert isinstance(redis.probe, Exchange)
    assert body["readinessProbe"]["tcpSocket"] == {"port": 20004}
    assert to_local(redis, SITE, LOCKS)[0].body.probe.url == "tcp://127.0.0.1:20004"


def test_references_to_the_password_carry_its_version_so_that_a_new_one_restarts_what_reads_it():
    first, second = (rendered(celery(), replace(FACTS, secrets={"broker-password": n})) for n in (1, 2))
    changed = {name for name in first if digest(first[name]) != digest(second[name])}

    assert changed == {"broker", "redis", "scheduler", "worker", "flower"}

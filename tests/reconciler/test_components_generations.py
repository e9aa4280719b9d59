"""Airflow 2 renders to what Airflow 2 understands, and a change of generation restarts all of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model.digest import canonical, digest
from model.units import Process, Task
from reconciler.components import render
from reconciler.components.component import Facts

from .sketch import OWNER, spec
from .test_components_celery import celery

FACTS = Facts(owner=OWNER)
ONLY_OF_3 = ("AIRFLOW__API__", "AIRFLOW__API_AUTH__", "AIRFLOW__DAG_PROCESSOR__", "AIRFLOW__TRIGGERER__CAPACITY")
ONLY_OF_2 = ("AIRFLOW__WEBSERVER__", "AIRFLOW__TRIGGERER__DEFAULT_CAPACITY")


def rendered(version: str, facts: Facts = FACTS, executor: str = "LocalExecutor"):
    usual = celery() if executor == "CeleryExecutor" else spec()
    return {unit.name: unit for unit in render(replace(usual, airflow_version=version), facts)}


def settings_of(version: str) -> set[str]:
    return {key for unit in rendered(version).values() if isinstance(unit, Process) for key in unit.env}


@pytest.mark.parametrize(("version", "foreign"), [("2.11.2", ONLY_OF_3), ("3.3.2", ONLY_OF_2)])
def test_no_generation_is_told_settings_of_the_other(version, foreign):
    assert [key for key in settings_of(version) if key.startswith(foreign)] == []


def test_the_second_generation_has_the_same_units_and_its_user():
    assert rendered("2.11.2").keys() - rendered("3.3.2").keys() == {"user"}
    assert rendered("2.11.2")["api-server"].command == ("airflow", "webserver")


@pytest.mark.parametrize("executor", ["LocalExecutor", "CeleryExecutor"])
def test_every_need_of_the_second_generation_names_a_unit_that_is_rendered(executor):
    units = rendered("2.11.2", executor=executor)
    needs = {need for unit in units.values() for need in unit.needs if need.state != "stopped"}

    assert {need.unit for need in needs} <= units.keys()


@pytest.mark.parametrize("executor", ["LocalExecutor", "CeleryExecutor"])
def test_no_process_of_the_second_generation_serves_logs_to_the_network(executor):
    units = rendered("2.11.2", executor=executor)
    servers = [canonical(units[name].command) for name in ("scheduler", "triggerer", "worker") if name in units]

    assert all("--skip-serve-logs" in str(one) for one in servers)


def test_another_generation_restarts_every_process():
    before, after = rendered("2.11.2"), rendered("3.3.2")
    processes = [name for name, unit in before.items() if isinstance(unit, Process)]

    assert processes
    assert [name for name in processes if digest(before[name]) == digest(after[name])] == []


def test_a_new_password_is_given_to_the_user_and_stands_in_no_command():
    first, second = (
        rendered("2.11.2", Facts(owner=OWNER, secrets={"admin-password": version}))["user"] for version in (1, 2)
    )

    assert isinstance(first, Task)
    assert isinstance(second, Task)
    assert (first.key, second.key) == ("user/1", "user/2")
    assert [one for one in first.command if not isinstance(one, str)] == []

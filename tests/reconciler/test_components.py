"""What a deployment renders to: complete, deterministic, without secrets; restarting only what reads a change."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from model.digest import canonical, digest
from model.names import SecretRef
from model.spec import ComponentSpec, PlainVariable, SecretVariable
from model.status import Milestone
from model.units import Process, Task, secrets_of
from reconciler.components import CATALOG, render
from reconciler.components.component import Facts
from reconciler.mint import mint
from reconciler.render import secrets_to_mint

from .sketch import OWNER, snapshot, spec

FACTS = Facts(owner=OWNER)
PROCESSES = {"api-server", "scheduler", "dag-processor", "triggerer"}


def rendered(facts=FACTS, **changes):
    return {unit.name: unit for unit in render(spec(**changes), facts)}


def restarted(**changes) -> set[str]:
    """The processes whose units differ after a change of the spec."""
    before, after = rendered(), rendered(**changes)
    return {name for name in PROCESSES if digest(before[name]) != digest(after[name])}


def test_every_airflow_3_component_is_there_and_names_are_unique():
    units = render(spec(), FACTS)

    assert {unit.name for unit in units} >= PROCESSES
    assert len({unit.name for unit in units}) == len(units)
    assert list(CATALOG) == [
        "environment",
        "database",
        "migrate",
        "redis",
        "results",
        "user",
        "api-server",
        "scheduler",
        "dag-processor",
        "triggerer",
        "worker",
        "flower",
        "rotate",
    ]


def test_rendering_is_deterministic():
    assert render(spec(), FACTS) == render(spec(), FACTS)


def test_every_need_names_a_unit_that_is_rendered():
    units = rendered()

    needs = {need for unit in units.values() for need in unit.needs}

    assert {need.unit for need in needs if need.state != "stopped"} <= units.keys()
    assert {need.unit for need in needs} - units.keys() == {"worker"}  # what left with its executor may still run


def test_every_secret_that_is_referred_to_is_minted():
    wanted = {ref.name for unit in rendered().values() for ref in secrets_of(unit)}

    assert wanted == secrets_to_mint(snapshot())
    assert len({mint(name) for name in wanted}) == len(wanted)


def test_secrets_are_minted_once_and_never_for_what_keeps_nothing_any_more():
    everything = dict.fromkeys(secrets_to_mint(snapshot()), 1)

    assert secrets_to_mint(snapshot(secrets=everything)) == frozenset()
    assert secrets_to_mint(snapshot(stage="retaining")) == everything.keys()
    assert secrets_to_mint(snapshot(stage="purging")) == frozenset()


def test_a_fernet_key_is_what_airflow_demands():
    assert len(mint("fernet-key")) == 44


def test_a_plain_variable_restarts_every_airflow_process():
    assert restarted(variables={"GREETING": PlainVariable(value="hello")}) == PROCESSES


def test_a_variable_for_one_component_restarts_that_one_alone():
    extra = {"GREETING": PlainVariable(value="hi"), "POLL": PlainVariable(value="1", components=("triggerer",))}

    assert restarted(variables=extra) == {"triggerer"}


def test_a_new_version_of_a_secret_variable_restarts_what_reads_it():
    first = rendered(variables={"KEY": SecretVariable(version=1, components=("scheduler",))})
    second = rendered(variables={"KEY": SecretVariable(version=2, components=("scheduler",))})

    assert {name for name in PROCESSES if digest(first[name]) != digest(second[name])} == {"scheduler"}
    assert first["scheduler"].env["KEY"] == (SecretRef("deployment/7", "variable/KEY", 1),)


@pytest.mark.parametrize(
    ("component", "key", "value", "expected"),
    [
        ("triggerer", "capacity", 5, {"triggerer"}),
        ("dag-processor", "refresh_interval_seconds", 60, {"dag-processor"}),
        ("api-server", "workers", 2, {"api-server"}),
        ("scheduler", "parallelism", 8, {"scheduler"}),
    ],
)
def test_a_setting_restarts_exactly_what_reads_it(component, key, value, expected):
    components = {**spec().components, component: ComponentSpec(settings={key: value})}

    assert restarted(components=components) == expected


def test_scaling_changes_only_the_scaled_component():
    components = {**spec().components, "triggerer": ComponentSpec(replicas=0)}

    assert restarted(components=components) == {"triggerer"}


def test_a_restart_that_was_asked_for_concerns_every_process_and_nothing_else():
    before, after = rendered(), rendered(restarted_at="2026-11-22T12:00:00+00:00")

    assert {name for name in before if digest(before[name]) != digest(after[name])} == PROCESSES


def test_a_hibernated_deployment_keeps_everything_and_runs_nothing():
    units = rendered(hibernated=True)

    assert {unit.replicas for unit in units.values() if isinstance(unit, Process)} == {0}
    assert set(units) == set(rendered())


def test_the_stages_of_a_deletion_leave_less_and_less():
    stopping = rendered(replace(FACTS, stage="stopping"))
    retaining = rendered(replace(FACTS, stage="retaining"))

    assert {unit.replicas for unit in stopping.values() if isinstance(unit, Process)} == {0}
    assert not [unit for unit in stopping.values() if isinstance(unit, Task)]
    assert set(retaining) == {"environment", "database", "logs"}
    assert render(spec(), replace(FACTS, stage="purging")) == ()


def test_the_role_that_airflow_runs_as_is_not_the_one_that_migrates():
    units = rendered()
    key = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"

    assert units["migrate"].env[key][0] == "postgresql+psycopg2://demo-hello-owner:"
    assert units["scheduler"].env[key][0] == "postgresql+psycopg2://demo-hello:"


def test_a_percent_sign_in_a_path_does_not_break_the_configuration():
    config = "".join(str(part) for part in rendered(dags_folder="/dags/100%")["settings"].files["airflow.cfg"])

    assert "dags_folder = /dags/100%%\n" in config


def test_digests_hold_references_and_no_values():
    shown = json.dumps(canonical(rendered()["api-server"]))

    assert '"": "SecretRef"' in shown


def migrate(version: str, *, achieved: str = "", begun: tuple[str, ...] = ()) -> Task:
    facts = replace(FACTS, milestones={"migrate": Milestone(name="migrate", key=achieved, begun=begun)})
    unit = rendered(facts, airflow_version=version)["migrate"]
    assert isinstance(unit, Task)
    return unit


def stopped_for(unit: Task) -> set[str]:
    return {need.unit for need in unit.needs if need.state == "stopped"}


def test_an_upgrade_migrates_with_the_new_image_while_what_writes_is_stopped():
    unit = migrate("3.10.0", achieved="schema/3.9.1")

    assert (unit.image, unit.command, unit.key) == (
        "airflow:3.10.0",
        ("airflow", "db", "migrate"),
        "schema/3.10.0",
    )
    assert stopped_for(unit) == {"scheduler", "dag-processor", "triggerer", "worker"}


def test_going_back_migrates_with_the_image_that_knows_how():
    unit = migrate("3.3.2", achieved="schema/3.4.0")

    assert unit.image == "airflow:3.4.0"
    assert unit.command == ("airflow", "db", "downgrade", "--to-version", "3.3.2", "--yes")
    assert unit.key == "schema/3.3.2"


def test_a_patch_release_stops_nothing_for_its_migration():
    assert stopped_for(migrate("3.3.3", achieved="schema/3.3.2")) == set()


def test_a_newer_fernet_key_is_known_to_all_before_it_is_the_only_one():
    first = rendered(FACTS)
    both = rendered(
        replace(FACTS, secrets={"fernet-key": 3}, milestones={"rotate": Milestone(name="rotate", key="fernet/2")})
    )
    only = rendered(
        replace(FACTS, secrets={"fernet-key": 3}, milestones={"rotate": Milestone(name="rotate", key="fernet/3")})
    )

    def keys(units) -> list[int]:
        value = units["scheduler"].env["AIRFLOW__CORE__FERNET_KEY"]
        return [part.version for part in value if isinstance(part, SecretRef)]

    assert "rotate" not in first
    assert (keys(first), keys(both), keys(only)) == ([1], [3, 2], [3])
    assert both["rotate"].key == "fernet/3"
    assert {need.unit for need in both["rotate"].needs if need.state == "ready"} >= PROCESSES


def test_going_back_from_a_migration_that_was_begun_takes_the_image_that_began_it():
    unit = migrate("3.3.2", achieved="schema/3.3.2", begun=("schema/3.3.2", "schema/3.4.0"))

    assert (unit.image, unit.command[2]) == ("airflow:3.4.0", "downgrade")

"""Documents: complete, validated with the place of each mistake, and the same in effect as plain SQL."""

from __future__ import annotations

import json

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.state.fleet import (
    DOCUMENT,
    INSERT,
    PLAIN,
    SEAL,
    SECRET,
    everything,
    fleet,
    generation,
    get,
    one,
    places,
    put,
    rows,
)

DESIRED = ("workspaces", "deployments", "components", "variables", "secret_inbox", "revisions", "audit")


@pytest.fixture
def sql(database_url):
    with fleet(database_url) as sql:
        yield sql


def test_reading_a_document_and_writing_it_back_writes_nothing(sql):
    sql.execute(SECRET, ("KEY", "x"))
    sql.execute(PLAIN, ("PLAIN", "x"))
    sql.execute(SEAL)
    sql.execute("SELECT armillary.restart('demo/hello')")
    before = places(sql, DESIRED)

    document = get(sql)
    assert put(sql, document) == document
    assert put(sql, document, expected=document["generation"]) == document
    assert places(sql, DESIRED) == before


def test_the_same_document_twice_changes_no_row(sql):
    put(sql, {**DOCUMENT, "variables": {"A": {"value": "1"}}, "components": {"triggerer": {"replicas": 0}}})
    before = everything(sql)
    put(sql, {**DOCUMENT, "variables": {"A": {"value": "1"}}, "components": {"triggerer": {"replicas": 0}}})

    assert everything(sql) == before


def test_a_document_is_complete_what_it_leaves_out_falls_to_its_default(sql):
    full = {
        "hibernated": True,
        "drift_policy": "report",
        "components": {"triggerer": {"replicas": 0, "memory_mib": 512, "settings": {"capacity": 9}}},
        "variables": {"A": {"value": "1"}},
    }
    put(sql, {**DOCUMENT, **full})
    after = put(sql, DOCUMENT)

    assert (after["hibernated"], after["drift_policy"], after["variables"]) == (False, "repair", {})
    assert after["components"]["triggerer"] == {
        "replicas": 1,
        "cpu_millicores": None,
        "memory_mib": None,
        "grace_seconds": 20,
        "settings": {},
    }


def test_null_means_the_default(sql):
    nothing = dict.fromkeys(("hibernated", "drift_policy", "executor", "components", "variables", "paused_until"))
    put(sql, {**DOCUMENT, "hibernated": True})

    assert put(sql, {**DOCUMENT, **nothing})["hibernated"] is False
    assert put(sql, {**DOCUMENT, "components": {"triggerer": None}})["components"]["triggerer"]["replicas"] == 1


def test_a_new_document_makes_a_deployment_at_generation_1(sql):
    parts = {"variables": {"A": {"value": "1"}}, "components": {"triggerer": {"replicas": 0}}}
    made = put(sql, {**DOCUMENT, **parts}, "new")

    assert (made["generation"], made["release"], made["variables"]["A"]["value"]) == (1, "demo-new", "1")
    assert one(sql, "SELECT spec FROM armillary.history WHERE deployment = 'demo/new'") == made


@pytest.mark.parametrize(
    ("expected", "message"), [(7, "is at generation 1, not 7"), (0, "There is a deployment demo/hello already")]
)
def test_a_document_for_another_generation_is_refused(sql, expected, message):
    before = everything(sql)
    with pytest.raises(psycopg.Error, match=message) as caught:
        put(sql, {**DOCUMENT, "hibernated": True}, expected=expected)

    assert caught.value.sqlstate == "AR002"
    assert everything(sql) == before


def test_a_document_that_must_not_exist_yet_is_made_once(sql):
    assert put(sql, DOCUMENT, "new", expected=0)["generation"] == 1
    with pytest.raises(psycopg.Error, match="There is a deployment demo/new already"):
        put(sql, DOCUMENT, "new", expected=0)
    with pytest.raises(psycopg.Error, match="at generation 0, not 3"):
        put(sql, DOCUMENT, "other", expected=3)


WRONG = {
    "/colour": {"colour": "blue"},
    "/name": {"name": "other"},
    "/workspace": {"workspace": "other"},
    "/airflow_version": {"airflow_version": "1.0"},
    "/dags_folder": {"dags_folder": 7},
    "/hibernated": {"hibernated": "yes"},
    "/executor": {"executor": "MagicExecutor"},
    "/release": {"release": "mine"},
    "/cluster": {"cluster": "moon"},
    "/paused_until": {"paused_until": "tomorrow-ish", "pause_reason": "x"},
    "/pause_reason": {"paused_until": "2030-01-01T00:00:00Z"},
    "/restarted_at": {"restarted_at": "infinity"},
    "/retain_until": {
        "deletion_requested_at": "2030-01-01T00:00:00Z",
        "delete_after": "2030-01-02T00:00:00Z",
        "retain_until": "2030-01-01T00:00:00Z",
    },
    "/components": {"components": [1]},
    "/components/worker": {"components": {"worker": {}}},
    "/components/scheduler": {"components": {"scheduler": 3}},
    "/components/scheduler/size": {"components": {"scheduler": {"size": 3}}},
    "/components/scheduler/replicas": {"components": {"scheduler": {"replicas": 1.5}}},
    "/components/scheduler/settings": {"components": {"scheduler": {"settings": []}}},
    "/components/scheduler/settings/a~1b~0c": {"components": {"scheduler": {"settings": {"a/b~c": 1}}}},
    "/components/triggerer/settings/capacity": {"components": {"triggerer": {"settings": {"capacity": 0}}}},
    "/variables": {"variables": "x"},
    "/variables/A": {"variables": {"A": "x"}},
    "/variables/A/colour": {"variables": {"A": {"value": "x", "colour": "blue"}}},
    "/variables/A/value": {"variables": {"A": {"value": 7}}},
    "/variables/A~1B": {"variables": {"A/B": {"value": "x"}}},
    "/variables/A/secret": {"variables": {"A": {"value": "x", "secret": "yes"}}},
    "/variables/A/components": {"variables": {"A": {"value": "x", "components": ["worker"]}}},
    "/variables/AIRFLOW__CORE__FERNET_KEY": {"variables": {"AIRFLOW__CORE__FERNET_KEY": {"value": "x"}}},
}


@pytest.mark.parametrize("pointer", WRONG)
def test_a_mistake_is_told_with_its_place_and_nothing_is_changed(sql, pointer):
    before = everything(sql)
    with pytest.raises(psycopg.Error) as caught:
        put(sql, {**DOCUMENT, **WRONG[pointer]})

    said = caught.value.diag
    assert (said.sqlstate, said.column_name) == ("AR003", pointer)
    assert said.message_hint
    assert everything(sql) == before


def test_a_deletion_is_taken_back_by_null_and_kept_by_silence(sql):
    sql.execute("DELETE FROM armillary.deployments")
    deleted = get(sql)

    assert put(sql, deleted) == deleted
    assert put(sql, {**deleted, "deletion_requested_at": None})["delete_after"] is None
    sql.execute("DELETE FROM armillary.deployments")
    assert put(sql, DOCUMENT)["release"] == "demo-hello-2"


def test_a_document_can_ask_for_a_deletion_with_its_times(sql):
    times = {"deletion_requested_at": "2030-01-01T00:00:00Z", "retain_until": "2090-01-01T00:00:00Z"}
    after = put(sql, {**DOCUMENT, **times})

    assert after["retain_until"] == "2090-01-01T00:00:00+00:00"
    assert after["deletion_requested_at"] < after["delete_after"] < after["retain_until"]
    with pytest.raises(psycopg.Error, match="cannot be one that is being deleted"):
        put(sql, {**DOCUMENT, **times}, "new")


def test_a_bulk_of_documents_must_be_meant_too(sql):
    for number in range(4):
        sql.execute(INSERT, ("demo", f"d{number}"))

    def all_of_them() -> None:
        with sql.transaction():
            for number in range(4):
                put(sql, {**DOCUMENT, "hibernated": True}, f"d{number}")

    with pytest.raises(psycopg.Error, match="touches 4 deployments"):
        all_of_them()
    assert generation(sql, "d0") == 1


def test_workspaces_are_documents_too(sql):
    place = "SELECT core.put_workspace(%s, %s, %s)"
    made = one(sql, place, "team", json.dumps({"description": "Ours."}), 0)
    before = places(sql, ("workspaces", "audit"))

    assert (made["generation"], one(sql, place, "team", json.dumps(made), 1)) == (1, made)
    assert places(sql, ("audit",))["audit"] == before["audit"]
    assert one(sql, place, "team", "{}", 1)["generation"] == 2
    with pytest.raises(psycopg.Error, match="is at generation 2, not 1"):
        one(sql, place, "team", "{}", 1)
    with pytest.raises(psycopg.Error, match="no field 'colour'"):
        one(sql, place, "team", '{"colour": "blue"}', None)
    with pytest.raises(psycopg.Error, match="is at generation 2, not 1"):
        one(sql, "SELECT core.delete_workspace('team', 1)")
    assert one(sql, "SELECT core.delete_workspace('team', 2)")["name"] == "team"


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)
KEYS = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True).filter(
    lambda key: key not in {"PYTHONPATH", "PYTHONHOME"}
)
READERS = st.lists(st.sampled_from(["scheduler", "triggerer"]), unique=True).map(sorted)
COMPONENT = st.fixed_dictionaries(
    {},
    optional={
        "replicas": st.integers(0, 1),
        "memory_mib": st.none() | st.integers(64, 4096),
        "grace_seconds": st.integers(0, 600),
    },
)
DOCUMENTS = st.fixed_dictionaries(
    {
        "airflow_version": st.just("3.3.2"),
        "dags_folder": TEXT.map(lambda path: "/" + path.replace("\u2028", "")),
    },
    optional={
        "hibernated": st.booleans(),
        "drift_policy": st.sampled_from(["repair", "report"]),
        "components": st.dictionaries(st.sampled_from(["scheduler", "triggerer"]), COMPONENT),
        "variables": st.dictionaries(
            KEYS, st.fixed_dictionaries({"value": TEXT, "components": READERS}), max_size=3
        ),
    },
)


@given(document=DOCUMENTS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_put_is_got_and_put_again_writes_nothing(sql, document):
    stored = put(sql, document)
    before = places(sql, DESIRED)

    assert get(sql) == stored
    assert {key: stored[key] for key in ("airflow_version", "dags_folder")} == {
        key: document[key] for key in ("airflow_version", "dags_folder")
    }
    assert stored["variables"] == document.get("variables", {})
    assert stored["hibernated"] == document.get("hibernated", False)
    for name, component in document.get("components", {}).items():
        assert stored["components"][name].items() >= component.items()
    assert (put(sql, document), put(sql, stored)) == (stored, stored)
    assert places(sql, DESIRED) == before


@given(document=DOCUMENTS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sql_and_a_document_are_the_same_in_effect(sql, document):
    wanted = put(sql, {**DOCUMENT, **document})
    sql.execute("DELETE FROM armillary.deployments WHERE deployment = 'demo/twin'")
    sql.execute("SELECT core.put_deployment('demo', 'twin', %s)", (json.dumps(DOCUMENT),))
    with sql.transaction():
        sql.execute(
            "UPDATE armillary.deployments SET dags_folder = %s, hibernated = %s, drift_policy = %s"
            " WHERE deployment = 'demo/twin' AND deletion_requested_at IS NULL",
            (wanted["dags_folder"], wanted["hibernated"], wanted["drift_policy"]),
        )
        for name, component in wanted["components"].items():
            sql.execute(
                "UPDATE core.components SET replicas = %s, memory_mib = %s, grace_seconds = %s"
                " WHERE deployment_id = core.find('demo', 'twin') AND component = %s",
                (component["replicas"], component["memory_mib"], component["grace_seconds"], name),
            )
        for key, variable in wanted["variables"].items():
            sql.execute(
                "INSERT INTO armillary.variables (deployment, key, value, components)"
                " VALUES ('demo/twin', %s, %s, %s)",
                (key, variable["value"], variable["components"]),
            )

    twin = get(sql, "twin")
    own = {"name", "release", "generation", "created_at"}
    assert {key: twin[key] for key in twin.keys() - own} == {key: wanted[key] for key in wanted.keys() - own}


def test_documents_are_listed_by_workspace_and_name(sql):
    sql.execute("INSERT INTO armillary.workspaces (name) VALUES ('another')")
    sql.execute(INSERT, ("another", "z"))
    listed = rows(sql, "SELECT d->>'workspace', d->>'name' FROM core.list_deployments() AS d")

    assert listed == [("another", "z"), ("demo", "hello")]
    assert one(sql, "SELECT count(*) FROM core.list_deployments('another')") == 1

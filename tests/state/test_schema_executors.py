"""Executors: the components that come and go with another one, and what a deployment with it cannot have."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.state.fleet import DOCUMENT, fleet, generation, one, rows

OF_ALL = {"api-server", "dag-processor", "scheduler", "triggerer"}
OF_CELERY = {"redis", "worker", "flower"}
TO = "UPDATE armillary.deployments SET executor = %s WHERE deployment = 'demo/hello'"
SETTINGS = "UPDATE armillary.components SET settings = %s WHERE deployment = 'demo/hello' AND component = 'worker'"


@pytest.fixture
def sql(database_url):
    with fleet(database_url) as sql:
        yield sql


@pytest.fixture
def celery(sql):
    sql.execute(TO, ("CeleryExecutor",))
    return sql


def components(sql) -> set[str]:
    found = rows(sql, "SELECT component FROM armillary.components WHERE deployment = 'demo/hello'")
    return {name for (name,) in found}


def document(sql):
    return one(sql, "SELECT core.document(core.find('demo', 'hello'))")


def put(sql, **changes):
    sql.execute("SELECT core.put_deployment('demo', 'hello', %s)", (json.dumps({**document(sql), **changes}),))


def test_with_another_executor_components_come_and_go_in_one_generation(sql):
    before = generation(sql)
    sql.execute(TO, ("CeleryExecutor",))
    with_celery = components(sql)
    sql.execute(TO, ("LocalExecutor",))

    assert with_celery == OF_ALL | OF_CELERY
    assert components(sql) == OF_ALL
    assert generation(sql) == before + 2
    assert rows(sql, "SELECT core.untold()") == []
    assert one(sql, "SELECT core.load(owner)->>'held' FROM core.deployments") is None


def test_what_came_and_went_is_in_the_audit_and_in_the_revisions(celery):
    celery.execute(TO, ("LocalExecutor",))
    told = rows(
        celery,
        "SELECT operation, count(*) FROM core.audit WHERE relation = 'components' AND deployment = 'demo/hello'"
        " AND coalesce(before, after)->>'component' IN ('redis', 'worker', 'flower') GROUP BY 1 ORDER BY 1",
    )
    kept = rows(
        celery,
        "SELECT r.spec->'components' ? 'worker' FROM core.revisions r ORDER BY r.revision",
    )

    assert told == [("DELETE", 3), ("INSERT", 3)]
    assert [known for (known,) in kept] == [False, True, False]


def test_what_was_set_of_a_component_that_stays_is_kept(sql):
    sql.execute(
        "UPDATE armillary.components SET replicas = 0 WHERE deployment = 'demo/hello' AND component = 'triggerer'"
    )
    sql.execute(TO, ("CeleryExecutor",))

    assert document(sql)["components"]["triggerer"]["replicas"] == 0


def test_workers_have_long_to_end_what_they_run_where_nobody_says(celery):
    put(celery, components={"worker": {"replicas": 2}})
    parts = document(celery)["components"]

    assert (parts["worker"]["replicas"], parts["worker"]["grace_seconds"]) == (2, 600)
    assert parts["redis"]["grace_seconds"] == 20


def test_a_document_that_was_read_may_be_given_another_executor(celery):
    put(celery, executor="LocalExecutor")
    local = components(celery)
    put(celery, executor="CeleryExecutor")

    assert local == OF_ALL
    assert components(celery) == OF_ALL | OF_CELERY


def test_a_document_that_asks_for_workers_of_an_executor_without_them_is_refused(celery):
    parts = {**document(celery)["components"], "worker": {"replicas": 5}}
    with pytest.raises(psycopg.Error, match="worker") as caught:
        put(celery, executor="LocalExecutor", components=parts)

    assert caught.value.sqlstate == "AR003"
    assert components(celery) == OF_ALL | OF_CELERY


def test_a_worker_under_the_local_executor_is_refused_with_what_there_is(sql):
    with pytest.raises(psycopg.Error) as caught:
        put(sql, components={"worker": {"replicas": 1}})

    assert "worker" in str(caught.value)
    assert "triggerer" in str(caught.value.diag.message_hint)


def test_a_new_deployment_may_begin_with_celery(sql):
    said = {**DOCUMENT, "executor": "CeleryExecutor", "components": {"worker": {"replicas": 3}}}
    sql.execute("SELECT core.put_deployment('demo', 'new', %s)", (json.dumps(said),))

    made = one(sql, "SELECT core.document(core.find('demo', 'new'))")
    assert made["components"].keys() == OF_ALL | OF_CELERY
    assert made["components"]["worker"]["replicas"] == 3


def test_a_rollback_goes_back_to_the_former_executor_too(celery):
    before = one(celery, "SELECT spec FROM core.revisions WHERE revision = 1")
    celery.execute(
        "SELECT core.put_deployment('demo', 'hello', %s::jsonb - 'generation' - 'created_at')",
        (json.dumps(before),),
    )

    assert components(celery) == OF_ALL


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"queues": "a b"}, "queues of worker cannot be"),
        ({"queues": ""}, "queues of worker cannot be"),
        ({"queues": "x" * 1001}, "queues of worker cannot be"),
        ({"queues": 3}, "queues of worker cannot be 3"),
        ({"queues": ["a"]}, "queues of worker cannot be"),
        ({"queues": "a;rm -rf /"}, "queues of worker cannot be"),
        ({"concurrency": 0}, "concurrency of worker cannot be 0"),
        ({"concurrency": "4"}, 'concurrency of worker cannot be "4"'),
    ],
)
def test_settings_that_cannot_be_are_refused(celery, settings, said):
    with pytest.raises(psycopg.Error, match=said):
        celery.execute(SETTINGS, (json.dumps(settings),))


def test_queues_are_names_with_commas_between(celery):
    celery.execute(SETTINGS, (json.dumps({"queues": "default,heavy-1", "concurrency": 8}),))

    assert document(celery)["components"]["worker"]["settings"] == {"queues": "default,heavy-1", "concurrency": 8}


@pytest.mark.parametrize(("component", "most"), [("redis", 1), ("flower", 1), ("worker", 64)])
def test_there_is_one_broker_one_flower_and_many_workers(celery, component, most):
    change = "UPDATE armillary.components SET replicas = %s WHERE deployment = 'demo/hello' AND component = %s"
    celery.execute(change, (most, component))

    with pytest.raises(psycopg.Error, match=f"replicas of {component}"):
        celery.execute(change, (most + 1, component))


def test_pods_are_not_made_on_one_machine_and_the_refusal_says_so(sql):
    with pytest.raises(psycopg.Error, match="one machine without pods") as caught:
        sql.execute(TO, ("KubernetesExecutor",))

    assert caught.value.diag.message_hint == "Executors: CeleryExecutor, LocalExecutor"


def test_a_variable_for_workers_keeps_them_and_says_what_to_do(celery):
    celery.execute(
        "INSERT INTO armillary.variables (deployment, key, value, components)"
        " VALUES ('demo/hello', 'POOL', '1', '{worker}')"
    )
    with pytest.raises(psycopg.Error, match="POOL is for worker") as caught:
        celery.execute(TO, ("LocalExecutor",))

    assert "who reads it" in str(caught.value.diag.message_hint)
    assert components(celery) == OF_ALL | OF_CELERY


def test_the_broker_s_address_is_nobody_s_variable(celery):
    with pytest.raises(psycopg.Error, match="Armillary's own"):
        celery.execute(
            "INSERT INTO armillary.variables (deployment, key, value)"
            " VALUES ('demo/hello', 'AIRFLOW__CELERY__BROKER_URL', 'redis://')"
        )


def test_many_deployments_may_be_given_another_executor_at_once(database_url):
    with fleet(database_url, others=2) as sql:
        sql.execute("UPDATE armillary.deployments SET executor = 'CeleryExecutor'")

        counted = rows(sql, "SELECT deployment, count(*) FROM armillary.components GROUP BY 1")
        assert {count for _, count in counted} == {7}
        assert len(counted) == 3


def test_each_deployment_has_a_port_for_its_broker_and_one_for_flower(sql):
    found = rows(sql, "SELECT unit, number FROM armillary.ports WHERE unit IN ('redis', 'flower') ORDER BY number")

    assert found == [("redis", 20004), ("flower", 20005)]

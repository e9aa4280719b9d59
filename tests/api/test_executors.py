"""Another executor by HTTP: what a patch leaves out, what comes and goes, what is refused."""

from tests.api.conftest import HELLO

OF_CELERY = {"redis", "worker", "flower"}


async def test_a_patch_to_celery_brings_its_components_as_they_usually_are(api, hello):
    patch = {
        "executor": "CeleryExecutor",
        "components": {"worker": {"replicas": 2, "settings": {"queues": "a,b"}}},
    }

    changed = (await api.patch(HELLO, patch)).json

    assert changed["components"].keys() == hello["components"].keys() | OF_CELERY
    worker = changed["components"]["worker"]
    assert (worker["replicas"], worker["grace_seconds"], worker["settings"]) == (2, 600, {"queues": "a,b"})


async def test_a_patch_back_takes_them_away_and_both_are_in_the_addresses(api, hello):
    await api.patch(HELLO, {"executor": "CeleryExecutor"})
    with_celery = (await api.get(f"{HELLO}/status")).json["addresses"]

    back = await api.patch(HELLO, {"executor": "LocalExecutor"})

    assert (back.status, back.json["components"]) == (200, hello["components"])
    assert with_celery.keys() == {"airflow", "flower"}
    assert (await api.get(f"{HELLO}/status")).json["addresses"].keys() == {"airflow"}


async def test_a_document_that_was_read_can_be_put_back_after_a_switch(api, hello):
    await api.patch(HELLO, {"executor": "CeleryExecutor"})
    read = (await api.get(HELLO)).json

    again = await api.put(HELLO, {name: value for name, value in read.items() if name != "generation"})

    assert (again.status, again.json) == (200, read)


async def test_workers_without_celery_are_refused_where_they_stand(api, hello):
    refused = await api.patch(HELLO, {"components": {"worker": {"replicas": 2}}})

    assert refused.status == 422
    assert refused.json["pointer"] == "/components/worker"


async def test_pods_on_one_machine_are_refused_with_the_reason(api, hello):
    refused = await api.patch(HELLO, {"executor": "KubernetesExecutor"})

    assert (refused.status, refused.json["pointer"]) == (422, "/executor")
    assert "one machine without pods" in refused.json["detail"]

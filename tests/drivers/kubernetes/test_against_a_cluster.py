"""The client against a real API server: what it answers to each call, and what of that reaches a person."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client as official
from kubernetes import config

from drivers.base import Conflict, Refused, Unavailable
from drivers.kubernetes.client import Client, WatchEvent
from drivers.kubernetes.credentials import by_kubeconfig
from drivers.kubernetes.kinds import RESOURCES
from tests.clusters import with_token

pytestmark = pytest.mark.cluster

NAMESPACE, CONFIG_MAP, SECRET, DEPLOYMENT = (
    RESOURCES[kind] for kind in ("Namespace", "ConfigMap", "Secret", "Deployment")
)
_NUMBERS = itertools.count(1)


@pytest.fixture
async def client(kubeconfig: Path) -> AsyncIterator[Client]:
    one = Client(by_kubeconfig(str(kubeconfig)), field_manager="armillary-test")
    await one.open()
    yield one
    await one.close()


@pytest.fixture
async def namespace(client: Client) -> AsyncIterator[str]:
    """A new one for each test, removed after it."""
    name = f"client-{time.time_ns() % 10**9}-{next(_NUMBERS)}"
    made = await client.apply(
        NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"of": name}}}
    )
    yield name
    await client.delete(NAMESPACE, None, name, uid=made["metadata"]["uid"])


def manifest(namespace: str, name: str, kind: str = "ConfigMap", **rest: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": {"of": namespace}}
    return {"apiVersion": RESOURCES[kind].api_version, "kind": kind, "metadata": metadata, **rest}


def with_env(namespace: str, *env: dict[str, Any]) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "env": list(env)}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    return manifest(namespace, "web", "Deployment", spec=spec)


async def test_what_was_applied_is_there_and_ours(client: Client, namespace: str):
    made = await client.apply(CONFIG_MAP, manifest(namespace, "a", data={"k": "1"}))
    again = await client.apply(CONFIG_MAP, manifest(namespace, "a", data={"k": "1"}))
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    found = await client.get(CONFIG_MAP, namespace, "a")
    assert found is not None
    assert found["data"] == {"k": "1"}
    assert [one["manager"] for one in found["metadata"]["managedFields"]] == ["armillary-test"]


async def test_a_dry_run_tells_what_would_be_and_changes_nothing(client: Client, namespace: str):
    told = await client.apply(CONFIG_MAP, manifest(namespace, "a", data={"k": "1"}), dry_run=True)
    assert told["data"] == {"k": "1"}
    assert await client.get(CONFIG_MAP, namespace, "a") is None


async def test_the_metadata_of_secrets_is_listed_without_what_is_in_them(client: Client, namespace: str):
    await client.apply(SECRET, manifest(namespace, "a", "Secret", stringData={"k": "hunter2"}))
    whole, bare = [
        await client.pages(SECRET, namespace=namespace, labels=f"of={namespace}", metadata_only=only)
        for only in (False, True)
    ]
    assert [set(one) & {"data"} for one in (*whole.items, *bare.items)] == [{"data"}, set()]


async def test_a_watch_from_a_list_on_misses_nothing(client: Client, namespace: str):
    labels = f"of={namespace}"
    since = await client.pages(CONFIG_MAP, labels=labels, metadata_only=True)
    made = await client.apply(CONFIG_MAP, manifest(namespace, "a", data={"k": "1"}))
    await client.apply(CONFIG_MAP, manifest(namespace, "a", data={"k": "2"}))
    await client.delete(CONFIG_MAP, namespace, "a", uid=made["metadata"]["uid"])
    changes = client.watch(CONFIG_MAP, labels=labels, version=since.version, metadata_only=True)
    async with asyncio.timeout(20):
        seen: list[WatchEvent] = [await anext(changes) for _ in range(3)]
    await changes.aclose()
    assert [one.type for one in seen] == ["ADDED", "MODIFIED", "DELETED"]
    assert all("data" not in one.object for one in seen)


async def test_only_the_object_that_was_known_is_deleted(client: Client, namespace: str):
    made = await client.apply(CONFIG_MAP, manifest(namespace, "a"))
    with pytest.raises(Conflict):
        await client.delete(CONFIG_MAP, namespace, "a", uid="00000000-0000-0000-0000-000000000000")
    assert await client.delete(CONFIG_MAP, namespace, "a", uid=made["metadata"]["uid"])
    assert not await client.delete(CONFIG_MAP, namespace, "a", uid=made["metadata"]["uid"])


@pytest.mark.parametrize("theirs", [{"k": "theirs"}, None])
async def test_another_object_or_none_is_not_written_over(client: Client, namespace: str, theirs: Any):
    if theirs:
        await client.apply(CONFIG_MAP, manifest(namespace, "a", data=theirs))
    ours = manifest(namespace, "a", data={"k": "ours"})
    ours["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(Conflict):
        await client.apply(CONFIG_MAP, ours)
    found = await client.get(CONFIG_MAP, namespace, "a")
    assert (found and found["data"]) == theirs


@pytest.mark.parametrize(
    "env",
    [
        [{"name": "A", "value": 424242}],  # the API server answers 500 to these two
        [{"name": "A", "value": "1"}, {"name": "A", "value": "424242"}],
        [{"name": "A=424242", "value": "1"}],
    ],
)
async def test_what_no_cluster_takes_is_refused_for_good_without_its_values(
    client: Client, namespace: str, env: list[dict[str, Any]]
):
    with pytest.raises(Refused, match="env") as seen:
        await client.apply(DEPLOYMENT, with_env(namespace, *env))
    assert "424242" not in str(seen.value)


async def test_a_template_that_cannot_be_changed_is_not_told_whole(client: Client, namespace: str):
    def job(value: str) -> dict[str, Any]:
        pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
        pod["containers"][0]["env"] = [{"name": "A", "value": value}]
        return manifest(namespace, "once", "Job", spec={"suspend": True, "template": {"spec": pod}})

    await client.apply(RESOURCES["Job"], job("first-424242"))
    changed = job("second-424242")
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "other"
    changed["spec"]["completionMode"] = "Indexed"
    with pytest.raises(Refused, match="immutable") as seen:
        await client.apply(RESOURCES["Job"], changed)
    assert "424242" not in str(seen.value)


async def test_a_namespace_that_is_not_there_is_named(client: Client):
    with pytest.raises(Refused, match="nowhere"):
        await client.apply(CONFIG_MAP, manifest("nowhere", "a"))


async def test_a_namespace_on_its_way_out_is_waited_for(client: Client, namespace: str):
    held = manifest(namespace, "a")
    held["metadata"]["finalizers"] = ["example.com/held"]
    await client.apply(CONFIG_MAP, held)
    found = await client.get(NAMESPACE, None, namespace)
    assert found is not None
    await client.delete(NAMESPACE, None, namespace, uid=found["metadata"]["uid"])
    try:
        with pytest.raises(Unavailable, match="being terminated"):
            await client.apply(CONFIG_MAP, manifest(namespace, "b"))
    finally:
        await client.patch(CONFIG_MAP, namespace, "a", {"metadata": {"finalizers": None}})


async def test_who_may_not_is_told_what_and_where_and_who(client: Client, namespace: str, limited: Client):
    assert await client.may("create", DEPLOYMENT, namespace)
    assert not await limited.may("create", DEPLOYMENT, namespace)
    with pytest.raises(Refused) as seen:
        await limited.apply(CONFIG_MAP, manifest(namespace, "a"))
    for part in ("patch", "configmaps", namespace, f"system:serviceaccount:{namespace}:limited"):
        assert part in str(seen.value)


@pytest.fixture
async def limited(kubeconfig: Path, namespace: str, tmp_path: Path) -> AsyncIterator[Client]:
    """A client of a service account that has no rights, known by a token."""
    token = await asyncio.to_thread(_token, kubeconfig, namespace)
    one = Client(by_kubeconfig(str(with_token(kubeconfig, token, tmp_path / "limited"))), field_manager="limited")
    await one.open()
    yield one
    await one.close()


def _token(kubeconfig: Path, namespace: str) -> str:
    api = config.new_client_from_config(str(kubeconfig))
    try:
        core = official.CoreV1Api(api)
        core.create_namespaced_service_account(namespace, {"metadata": {"name": "limited"}})
        made = core.create_namespaced_service_account_token("limited", namespace, {"spec": {}})
        return str(made.status.token)
    finally:
        api.close()

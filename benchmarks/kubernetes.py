"""The Kubernetes driver on a real API server with 4,000 objects: looks, what it asks at rest, repairs, memory.

The driver alone is measured, with no engine before it. Beside a repair stands its floor: a GET and
an apply by a bare client, which knows beforehand what was edited.
"""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import aclosing

from benchmarks.floor import percentile
from drivers.kubernetes.cache import Cache
from drivers.kubernetes.client import Client
from drivers.kubernetes.credentials import by_kubeconfig
from drivers.kubernetes.driver import KubernetesDriver
from drivers.kubernetes.kinds import RESOURCES
from drivers.kubernetes.names import manager_of, namespace_of
from drivers.kubernetes.settings import Settings as ClusterSettings
from model.names import Owner, SecretRef, text
from model.objects import Object, Site
from model.plan import Cause, Create, Update
from model.units import AnyUnit, Credentials, Environment, Mount, Process, Settings, Volume
from tests.clusters import OwnCluster

_INSTALLATION = "bench"
_DEPLOYMENTS = 444  # of 9 objects
_AT_ONCE = 16
_REST_SECONDS = 30.0
_LISTED_LOOKS = 200
_REPAIRS = 200
_SETTINGS_LINES = 60
_HEARD_SECONDS_MAX = 10.0
_CONFIG_MAP = RESOURCES["ConfigMap"]


def kubernetes() -> dict[str, object]:
    """Start a cluster, fill it, measure; then remove it all."""
    with OwnCluster.started() as cluster:
        return asyncio.run(_measured(cluster))


async def _measured(cluster: OwnCluster) -> dict[str, object]:
    driver, other = _driver(cluster), _client(cluster, "somebody-else")
    await driver.open()
    await other.open()
    try:
        sites = [_site(number) for number in range(_DEPLOYMENTS)]
        objects = {site.owner: _objects(driver, site) for site in sites}
        return {
            "creating": await _creating(driver, objects),
            "at_rest": await _at_rest(cluster),
            "looks": await _looks(driver, objects),
            "repairs": await _repairs(driver, other, objects),
            "memory": await _memory(cluster),
        }
    finally:
        await driver.close()
        await other.close()


async def _creating(driver: KubernetesDriver, objects: Mapping[Owner, Sequence[Object]]) -> dict[str, object]:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def make(owner: Owner) -> None:
        async with turns:
            for one in objects[owner]:
                await driver.apply(owner, Create(object=one, cause=Cause.GENERATION, why="asked"))

    began = time.perf_counter()
    await asyncio.gather(*map(make, objects))
    seconds = time.perf_counter() - began
    count = sum(map(len, objects.values()))
    return {"objects": count, "at_once": _AT_ONCE, "objects_per_second": round(count / seconds, 1)}


async def _at_rest(cluster: OwnCluster) -> dict[str, object]:
    """What the driver asks while nothing changes, from the API server's own log."""
    await asyncio.sleep(5.0)  # the last events of what was made
    since = len(cluster.audit().splitlines())
    await asyncio.sleep(_REST_SECONDS)
    lines = map(json.loads, cluster.audit().splitlines()[since:])
    verbs = Counter(one["verb"] for one in lines if "aiohttp" in one.get("userAgent", ""))
    return {
        "seconds": _REST_SECONDS,
        "requests_but_watches": sum(count for verb, count in verbs.items() if verb != "watch"),
        "watches_renewed": verbs["watch"],
    }


async def _looks(driver: KubernetesDriver, objects: Mapping[Owner, Sequence[Object]]) -> dict[str, object]:
    """Looks one after another, from the watches and by lists."""
    cached = [await _look(driver, owner, objects[owner], fresh=False) for owner in objects]
    listed = [await _look(driver, owner, objects[owner], fresh=True) for owner in list(objects)[:_LISTED_LOOKS]]
    return {"from_watches": _told(cached), "by_lists": _told(listed)}


async def _look(driver: KubernetesDriver, owner: Owner, wanted: Sequence[Object], *, fresh: bool) -> float:
    began = time.perf_counter()
    observed = await driver.observe(owner, frozenset(one.ref for one in wanted), fresh=fresh)
    taken = time.perf_counter() - began
    if len(observed.seen) != len(wanted) or any(one.drift for one in observed.seen.values()):
        raise RuntimeError(f"{owner} is not as it was made: {observed}")
    return taken


def _told(taken: Sequence[float]) -> dict[str, object]:
    ms = sorted(1000 * one for one in taken)
    return {
        "count": len(ms),
        "per_second": round(1000 * len(ms) / sum(ms), 1),
        "p50_ms": round(percentile(ms, 50), 2),
        "p99_ms": round(percentile(ms, 99), 2),
    }


async def _repairs(
    driver: KubernetesDriver, other: Client, objects: Mapping[Owner, Sequence[Object]]
) -> dict[str, object]:
    """From somebody's edit being accepted: until a look after a hint has seen it, until ours is there again."""
    seen, repaired, floor = [], [], []
    async with aclosing(driver.watch()) as news:  # type: ignore[type-var]
        for owner in list(objects)[:_REPAIRS]:
            settings = next(one for one in objects[owner] if one.ref.name.endswith("/settings"))
            namespace = settings.ref.name.partition("/")[0]
            await _edit(other, namespace)
            began = time.perf_counter()
            async with asyncio.timeout(_HEARD_SECONDS_MAX):
                while await anext(news) != owner or not await _has_drifted(driver, owner, settings):
                    pass  # what is told of somebody else, or of something that was before
            seen.append(time.perf_counter() - began)
            await _repair(driver, owner, settings)
            repaired.append(time.perf_counter() - began)
            floor.append(await _floor(other, namespace))
            await _repair(driver, owner, settings)
    return {"seen": _told(seen), "repaired": _told(repaired), "floor_get_and_apply": _told(floor)}


async def _edit(other: Client, namespace: str) -> None:
    await other.patch(_CONFIG_MAP, namespace, "settings", {"data": {"airflow.cfg": "theirs"}})


async def _has_drifted(driver: KubernetesDriver, owner: Owner, one: Object) -> bool:
    return bool((await driver.observe(owner, frozenset({one.ref}))).seen[one.ref].drift)


async def _repair(driver: KubernetesDriver, owner: Owner, one: Object) -> None:
    await driver.apply(owner, Update(object=one, cause=Cause.DRIFT, why="drift"))


async def _floor(other: Client, namespace: str) -> float:
    began = time.perf_counter()
    await other.get(_CONFIG_MAP, namespace, "settings")
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": namespace}}
    await other.apply(_CONFIG_MAP, {**manifest, "data": {"airflow.cfg": "floor"}})
    return time.perf_counter() - began


async def _memory(cluster: OwnCluster) -> dict[str, object]:
    """What a cache of everything takes, by Python's own count of what it allocated."""
    client = _client(cluster, manager_of(_INSTALLATION))
    await client.open()
    cache = Cache(client, _INSTALLATION)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    try:
        await cache.open()
        count, packed = cache.size()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        await cache.close()
        await client.close()
    return {
        "objects": count,
        "packed_bytes_per_object": round(packed / count),
        "all_bytes_per_object": round(taken / count),
    }


# --- what is made -----------------------------------------------------------------------------------------


def _driver(cluster: OwnCluster) -> KubernetesDriver:
    return KubernetesDriver(
        client=_client(cluster, manager_of(_INSTALLATION)),
        cluster="east",
        installation=_INSTALLATION,
        settings=ClusterSettings(),
        reveal=_reveal,
    )


def _client(cluster: OwnCluster, manager: str) -> Client:
    return Client(by_kubeconfig(str(cluster.kubeconfig)), field_manager=manager)


async def _reveal(reference: SecretRef) -> str:
    return f"the value of {reference.name}, which is of a usual length"


def _site(number: int) -> Site:
    return Site(
        installation=_INSTALLATION,
        cluster="east",
        owner=Owner("deployment", str(number)),
        release=f"bench-{number}",
        root="",
        ports={("scheduler", "health"): 8974},
    )


def _objects(driver: KubernetesDriver, site: Site) -> tuple[Object, ...]:
    """Nine objects. Nothing runs: pods would measure the scheduler of the cluster."""
    password = SecretRef(str(site.owner), "password", 1)
    settings = "\n".join(f"option_{line} = {namespace_of(site.release)}/{line}" for line in range(_SETTINGS_LINES))
    units: tuple[AnyUnit, ...] = (
        Environment(name="environment", component="environment", image="airflow:3.3.2"),
        Settings(name="settings", component="environment", files={"airflow.cfg": text(settings)}),
        Credentials(name="login", component="environment", files={"key": text(password)}),
        Volume(name="logs", component="environment", retain=True),
        Process(
            name="scheduler",
            component="scheduler",
            image="airflow:3.3.2",
            command=("airflow", "scheduler"),
            env={"KEY": text("x", password)},
            ports={"health": 8974},
            mounts=(Mount(unit="settings", holds="settings", digest="d"), Mount(unit="logs")),
            replicas=0,
        ),
    )
    return tuple(one for unit in units for one in driver.translate(unit, site))

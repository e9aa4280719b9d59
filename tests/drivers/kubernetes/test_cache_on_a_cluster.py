"""The cache on a real API server that is killed, paused and forgets; whose own log tells what it was asked."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from drivers.kubernetes.names import INSTALLATION
from drivers.kubernetes.watch import Patience
from model.names import Ref
from tests.clusters import OwnCluster
from tests.conformance.kubernetes_rig import KubernetesRig

pytestmark = pytest.mark.cluster

HEARD_SECONDS = 1.0
MANY_LOOKS = 200


@pytest.fixture(scope="module")
def cluster() -> Iterator[OwnCluster]:
    with OwnCluster.started() as one:
        yield one


@pytest.fixture
def silent_seconds() -> float:
    return Patience().silent_seconds


@pytest.fixture
async def rig(cluster: OwnCluster, tmp_path: Path, silent_seconds: float) -> AsyncIterator[KubernetesRig]:
    one = KubernetesRig(cluster.kubeconfig, tmp_path, Patience(silent_seconds=silent_seconds, most_seconds=2.0))
    await one.start()
    await one.driver.open()
    await one.put_and_settle()
    yield one
    await one.clean()


def asked(cluster: OwnCluster, since: int) -> list[dict[str, Any]]:
    """What our client asked the server since a line of its log, but for watches."""
    lines = [json.loads(line) for line in cluster.audit().splitlines()[since:]]
    return [one for one in lines if "aiohttp" in one.get("userAgent", "") and one["verb"] != "watch"]


def lists_of_watches(cluster: OwnCluster, since: int) -> list[dict[str, Any]]:
    """Those of everybody's objects: a look's lists are of one owner."""
    return [one for one in asked(cluster, since) if one["verb"] == "list" and "owner" not in one["requestURI"]]


async def heard(rig: KubernetesRig) -> float:
    """Seconds until the driver says by itself that something of ours changed."""
    began = time.monotonic()
    news = rig.driver.watch()
    async with asyncio.timeout(rig.deadline_seconds), aclosing(news):  # type: ignore[type-var]
        async for owner in news:
            if owner == rig.owner:
                return time.monotonic() - began
    raise AssertionError


async def quiet(rig: KubernetesRig) -> None:
    """Take what is still to be told, until nothing comes for a moment."""
    try:
        while True:
            async with asyncio.timeout(1.5):
                await heard(rig)
    except TimeoutError:
        return


async def test_looks_at_what_is_well_ask_the_server_nothing(rig: KubernetesRig, cluster: OwnCluster):
    await quiet(rig)
    since = len(cluster.audit().splitlines())

    for _ in range(MANY_LOOKS):
        observed = await rig.observe()
        await asyncio.sleep(0.01)

    assert observed.seen.keys() == rig.refs
    assert observed.as_of.keys() == rig.driver.kinds
    assert asked(cluster, since) == []
    await rig.driver.observe(rig.owner, rig.refs, fresh=True)  # as a proof that the log would tell
    assert {one["verb"] for one in asked(cluster, since)} == {"list"}
    assert len(asked(cluster, since)) == len(rig.driver.kinds) + 1  # and pods


async def test_whatever_is_done_behind_our_back_is_heard_within_a_second_and_repaired(rig: KubernetesRig):
    for name, vandalise in rig.vandals.items():
        await quiet(rig)
        await asyncio.to_thread(vandalise)

        assert await heard(rig) < HEARD_SECONDS, name
        began = time.monotonic()
        await rig.repair()
        assert time.monotonic() - began < HEARD_SECONDS, name


async def test_what_only_lost_our_label_is_not_gone_also_when_nobody_wants_it(rig: KubernetesRig):
    here = rig.namespace
    taken = {"metadata": {"labels": {INSTALLATION: None}}}
    await quiet(rig)
    rig.hands.patch("Secret", here, "credentials", taken)
    await heard(rig)
    ref = Ref("east.Secret", f"{here}/credentials")

    for _ in range(3):
        orphaned = await rig.driver.observe(rig.owner, frozenset())
        assert orphaned.seen.keys() == rig.refs

    rig.hands.remove("Secret", here, "credentials")
    gone = await rig.driver.observe(rig.owner, frozenset())  # no watch tells of it any more
    assert gone.seen.keys() == rig.refs - {ref}


@pytest.mark.parametrize("part", ["kube-apiserver", "etcd"])
async def test_a_server_that_is_killed_and_comes_back_is_listened_to_again(
    rig: KubernetesRig, cluster: OwnCluster, part: str
):
    before = (await rig.observe()).seen
    await asyncio.to_thread(cluster.do, "kill", part)
    await asyncio.to_thread(cluster.do, "start", part)
    await asyncio.to_thread(cluster.do, "wait")

    after = await rig.settled()
    assert {ref: one.uid for ref, one in after.seen.items()} == {ref: one.uid for ref, one in before.items()}
    rig.hands.patch("ConfigMap", rig.namespace, "settings", {"data": {"airflow.cfg": "a = 2"}})
    await rig.until(lambda observed: any(one.drift for one in observed.seen.values()))
    await rig.repair()


async def test_what_changed_while_the_server_forgot_the_past_is_found_by_a_new_list(
    rig: KubernetesRig, cluster: OwnCluster
):
    await rig.observe()
    with rig.unreachable():
        rig.hands.patch("ConfigMap", rig.namespace, "settings", {"data": {"airflow.cfg": "a = 2"}})
        rig.hands.remove("Secret", rig.namespace, "credentials")
        await asyncio.to_thread(cluster.do, "kill", "kube-apiserver")
        await asyncio.to_thread(cluster.do, "start", "kube-apiserver")
        await asyncio.to_thread(cluster.do, "wait")
        since = len(cluster.audit().splitlines())

    secret = Ref("east.Secret", f"{rig.namespace}/credentials")
    settings = Ref("east.ConfigMap", f"{rig.namespace}/settings")
    await rig.until(lambda found: secret not in found.seen and bool(found.seen[settings].drift))
    deadline = time.monotonic() + rig.deadline_seconds
    while not lists_of_watches(cluster, since):
        assert time.monotonic() < deadline, "the server still knew the past: nothing was shown by this test"
        await rig.tick()
    await rig.repair()
    await rig.settled()


@pytest.mark.parametrize("silent_seconds", [3.0])
async def test_a_server_that_hangs_is_blind_after_its_silence_and_never_empty(
    rig: KubernetesRig, cluster: OwnCluster
):
    await asyncio.to_thread(cluster.do, "pause", "kube-apiserver")
    try:
        observed = await rig.blinded()
    finally:
        await asyncio.to_thread(cluster.do, "resume", "kube-apiserver")

    assert not observed.seen
    await rig.settled()

"""The driver on a simulated server that fails, lies and forgets: in the end all is equal and nobody is harmed."""

import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from drivers.base import DriverError, Unavailable
from drivers.kubernetes.watch import Patience
from tests.apiserver.faults import Faults
from tests.apiserver.server import Server
from tests.apiserver.store import Key, Manifest
from tests.conformance.kubernetes_rig import KubernetesRig
from tests.conformance.rig import create, delete, update

SEEDS = range(int(os.environ.get("ARMILLARY_TEST_SEEDS", "4")))
IMPATIENT = Patience(silent_seconds=1.5, steady_seconds=0.5, least_seconds=0.01, most_seconds=0.1)
PASSES = 25
TROUBLE = {"share": 0.4, "watch_share": 0.3}


@pytest.fixture
def server() -> Iterator[Server]:
    with Server.started() as one:
        yield one


@pytest.fixture
async def rig(server: Server, tmp_path: Path) -> AsyncIterator[KubernetesRig]:
    (tmp_path / "admin").write_text(server.kubeconfig())
    one = KubernetesRig(tmp_path / "admin", tmp_path, IMPATIENT, timeout_seconds=0.5)
    one.deadline_seconds = 20.0
    await one.start()
    await one.driver.open()
    yield one
    server.faults.heal()
    await one.clean()


def trouble(server: Server, seed: int) -> None:
    server.faults = Faults(seed=seed, **TROUBLE)


async def work(rig: KubernetesRig, passes: int, between: Callable[[], None] = lambda: None) -> None:
    """What passes do, whatever happens: look, write what is wrong, and leave what fails to the next."""
    for _ in range(passes):
        between()
        try:
            observed = await rig.observe()
        except Unavailable:
            continue
        for one in rig.objects:
            seen = observed.seen.get(one.ref)
            if one.ref in observed.foreign or one.ref.kind in observed.blind:
                continue
            if seen is not None and seen.digest == one.digest and not seen.drift:
                continue
            try:
                await rig.apply(create(one) if seen is None else update(one, seen.uid))
            except DriverError:
                break
        await rig.tick()


async def remove(rig: KubernetesRig) -> None:
    """What passes do to what nobody wants any more, whatever happens."""
    for _ in range(PASSES):
        try:
            observed = await rig.observe()
        except Unavailable:
            continue
        for one in reversed(rig.objects):
            if one.ref in observed.seen:
                try:
                    await rig.apply(delete(one, observed.seen[one.ref].uid))
                except DriverError:
                    break
        await rig.tick()


def pods_made(server: Server) -> Counter[str]:
    """How often each thing that has pods started one."""
    changes = [one for one in server.store.changes if one.key.kind == "Pod" and one.before is None]
    return Counter(one.after["metadata"]["ownerReferences"][0]["name"] for one in changes if one.after)


def theirs(rig: KubernetesRig) -> tuple[Key, Manifest]:
    """Something of somebody else's in our namespace, with our labels on it."""
    labels = {"armillary.io/installation": rig.installation, "armillary.io/owner": "deployment.12"}
    metadata = {"name": "theirs", "namespace": rig.namespace, "labels": labels}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"theirs": "1"}}
    return Key(kind="ConfigMap", namespace=rig.namespace, name="theirs"), body


def seen(trouble: Faults) -> None:
    assert sum(trouble.done.values()) > 0, "there was no trouble"


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_is_made_in_trouble_is_made_once_and_started_once(
    server: Server, rig: KubernetesRig, seed: int
):
    trouble(server, seed)
    await work(rig, PASSES)

    seen(server.faults)
    server.faults.heal()
    await rig.repair()
    await rig.settled()

    assert pods_made(server) == {"scheduler": 1, "migrate": 1}
    assert not [one for one in server.requests if one.verb == "delete"]
    wrote = len(server.writes())
    await work(rig, 3)
    assert len(server.writes()) == wrote, "what is equal is left alone"


@pytest.mark.parametrize("seed", SEEDS)
async def test_vandals_in_trouble_are_repaired_and_what_is_others_stays(
    server: Server, rig: KubernetesRig, seed: int
):
    await rig.put_and_settle()
    key, body = theirs(rig)
    planted = server.do(lambda: server.store.make(key, body))
    removing = ("a removed", "no bound")  # such a vandal is heard to delete, too
    random, vandals = Random(seed), [act for name, act in rig.vandals.items() if not name.startswith(removing)]

    def harm() -> None:
        if random.random() < 0.3:
            server.faults, well = Faults(), server.faults  # whoever does harm is served well
            random.choice(vandals)()
            server.faults = well

    trouble(server, seed)
    await work(rig, PASSES, harm)
    seen(server.faults)
    server.faults.heal()
    await rig.repair()
    await rig.settled()

    assert server.store.objects[key] == planted
    assert not [one for one in server.requests if one.verb == "delete"]


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_deletion_in_trouble_ends_with_nothing_of_ours_and_all_of_theirs(
    server: Server, rig: KubernetesRig, seed: int
):
    await rig.put_and_settle()
    key, body = theirs(rig)
    planted = server.do(lambda: server.store.make(key, body))
    trouble(server, seed)
    await remove(rig)
    seen(server.faults)
    server.faults.heal()
    await remove(rig)

    assert server.store.objects[key] == planted
    left = list((await rig.observe()).seen)
    assert [ref.kind.rpartition(".")[2] for ref in left] == ["Namespace"], "it is kept for what is theirs"

    server.do(lambda: server.store.remove(key))
    await rig.delete_all()
    assert await rig.driver.owners() == frozenset()


async def test_a_server_that_went_back_to_an_old_copy_is_believed_and_brought_forward(
    server: Server, rig: KubernetesRig
):
    before = await rig.put_and_settle()
    copy = server.do(server.store.copy)
    rig.hands.patch("Deployment", rig.namespace, "scheduler", {"spec": {"replicas": 2}})
    await rig.repair()
    rig.hands.remove("Secret", rig.namespace, "credentials")
    await rig.repair()
    await rig.settled()

    server.do(lambda: server.store.roll_back(copy))

    deadline = time.monotonic() + 10.0
    wanted = {ref: one.uid for ref, one in before.seen.items()}
    while {ref: one.uid for ref, one in (await rig.observe()).seen.items()} != wanted:
        assert time.monotonic() < deadline, "it still sees what is gone"
        await rig.tick()
    await rig.repair()
    await rig.settled()
    assert not [one for one in server.requests if one.verb == "delete" and one.kind != "Secret"]
    assert pods_made(server) == {}, "nothing was restarted since"


async def test_a_server_that_forgets_all_the_time_is_listed_again_and_lost_nothing(
    server: Server, rig: KubernetesRig
):
    await rig.put_and_settle()
    for vandalise in list(rig.vandals.values())[:6]:
        server.do(server.store.compact)
        vandalise()
        server.do(server.store.compact)
        await rig.until(lambda observed: any(one.drift for one in observed.seen.values()))
        await rig.repair()
        await rig.settled()

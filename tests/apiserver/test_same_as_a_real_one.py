"""The simulated server against a real one: the same writes by the same people leave the same object and owners."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.base import Conflict, DriverError
from drivers.kubernetes.client import Client
from drivers.kubernetes.credentials import by_kubeconfig
from drivers.kubernetes.kinds import RESOURCES
from tests.apiserver.applying import owners_of
from tests.apiserver.server import Server

pytestmark = pytest.mark.cluster

NUMBERS = count(1)
NAMESPACE = "same"
OPENED = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from(["1", "2"])
DATA = st.dictionaries(KEYS, VALUES, max_size=3)
LABELS = st.dictionaries(st.sampled_from(["x", "y"]), VALUES, max_size=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One write by one of two people: what they say of the container's environment, of labels, and of replicas."""

    verb: str
    who: str
    env: dict[str, str]
    labels: dict[str, str]
    replicas: int | None
    force: bool = True


ACTS = st.builds(
    Act,
    verb=st.sampled_from(["apply", "apply", "apply", "create", "patch", "put"]),
    who=st.sampled_from(["us", "them"]),
    env=DATA,
    labels=LABELS,
    replicas=st.sampled_from([None, 0, 2]),
    force=st.booleans(),
)


def manifest(name: str, act: Act) -> dict[str, Any]:
    chosen = {"app": name}
    env = [{"name": key, "value": value} for key, value in sorted(act.env.items())]
    container = {"name": "main", "image": "i:1", **({"env": env} if env else {})}
    template = {"metadata": {"labels": chosen}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": chosen}, "template": template}
    spec |= {} if act.replicas is None else {"replicas": act.replicas}
    metadata = {"name": name, "namespace": NAMESPACE, **({"labels": act.labels} if act.labels else {})}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def patch_of(act: Act) -> dict[str, Any]:
    labels: dict[str, str | None] = dict.fromkeys(("x", "y"))
    spec = {} if act.replicas is None else {"spec": {"replicas": act.replicas}}
    return {"metadata": {"labels": {**labels, **act.labels}}, **spec}


async def carry_out(clients: dict[str, Client], name: str, act: Act) -> str:
    """Do it; the name of the error, or nothing."""
    kind, client = RESOURCES["Deployment"], clients[act.who]
    try:
        match act.verb:
            case "apply":
                await client.apply(kind, manifest(name, act), force=act.force)
            case "create":
                await client.create(kind, manifest(name, act))
            case "patch":
                await client.patch(kind, NAMESPACE, name, patch_of(act))
            case "put":
                await put(client, name, act)
    except DriverError as error:
        return type(error).__name__
    return ""


async def put(client: Client, name: str, act: Act) -> None:
    """Again while the cluster's own controllers write between the look and the write."""
    for _ in range(20):
        live = await client.get(RESOURCES["Deployment"], NAMESPACE, name)
        if live is None:
            return
        with contextlib.suppress(Conflict):
            await client.put(RESOURCES["Deployment"], with_more(live, act))
            return
    raise AssertionError("it was never left alone")


def with_more(live: dict[str, Any], act: Act) -> dict[str, Any]:
    labels = act.labels or {}
    spec = live["spec"] if act.replicas is None else {**live["spec"], "replicas": act.replicas}
    return {**live, "metadata": {**live["metadata"], "labels": labels}, "spec": spec}


async def outcome(clients: dict[str, Client], name: str, acts: list[Act]) -> list[Any]:
    """What each act answered, and the object and whose its fields are after it."""
    told = []
    for act in acts:
        error = await carry_out(clients, name, act)
        live = await clients["us"].get(RESOURCES["Deployment"], NAMESPACE, name)
        told.append((error, shown(live)))
    return told


def shown(live: dict[str, Any] | None) -> Any:
    """What is compared: not the order of an environment, and not who first wrote a map that others are in."""
    if live is None:
        return None
    container = live["spec"]["template"]["spec"]["containers"][0]
    people = ((who, theirs - {("f:metadata", "f:labels")}) for who, theirs in owners_of(live).items())
    return {
        "labels": live["metadata"].get("labels") or {},
        "env": sorted(container.get("env", []), key=str),
        "replicas": live["spec"]["replicas"],
        "generation": live["metadata"]["generation"],
        "owners": {who: sorted(theirs) for who, theirs in people if theirs and who[0] in ("us", "them")},
    }


@asynccontextmanager
async def people(kubeconfig: Path) -> AsyncIterator[dict[str, Client]]:
    clients = {who: Client(by_kubeconfig(str(kubeconfig)), field_manager=who) for who in ("us", "them")}
    for one in clients.values():
        await one.open()
    try:
        await clients["us"].apply(RESOURCES["Namespace"], OPENED)
        yield clients
    finally:
        for one in clients.values():
            await one.close()


async def compare(real: Path, simulated: Path, acts: list[Act]) -> tuple[list[Any], list[Any]]:
    name = f"one-{next(NUMBERS)}"
    async with people(real) as there, people(simulated) as here:
        found = await asyncio.gather(outcome(there, name, acts), outcome(here, name, acts))
        live = await there["us"].get(RESOURCES["Deployment"], NAMESPACE, name)
        if live is not None:
            await there["us"].delete(RESOURCES["Deployment"], NAMESPACE, name, uid=live["metadata"]["uid"])
        return found[0], found[1]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with Server.started() as server:
        path = tmp_path_factory.mktemp("simulated") / "kubeconfig"
        path.write_text(server.kubeconfig())
        yield path


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=st.lists(ACTS, min_size=1, max_size=6))
def test_the_same_writes_leave_the_same_object(kubeconfig: Path, simulated: Path, acts: list[Act]):
    real, ours = asyncio.run(compare(kubeconfig, simulated, acts))

    assert ours == real

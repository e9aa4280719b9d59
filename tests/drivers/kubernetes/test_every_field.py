"""Each field that we apply, of each kind, is edited by somebody else on a real API server: all are repaired."""

import asyncio
import copy
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiException

from drivers.kubernetes.encode import manifest_of
from drivers.kubernetes.translate import KINDS
from model.objects import Object, Observed
from tests.conformance.kubernetes_rig import KubernetesRig

pytestmark = pytest.mark.cluster

Path_ = tuple[str | int, ...]
NAMES = {("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace")}
REFUSED = (403, 422)
"""What the API server answers to an edit that it lets nobody make: that field needs no watch."""


@pytest.fixture
async def rig(kubeconfig: Path, tmp_path: Path) -> AsyncIterator[KubernetesRig]:
    one = KubernetesRig(kubeconfig, tmp_path)
    await one.start()
    await one.driver.open()
    await one.put_and_settle()
    yield one
    await one.clean()


def leaves(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Where a manifest says something: each value that is neither a map nor a list."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from leaves(one, (*path, name))
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from leaves(one, (*path, place))
    elif value is not None and path not in NAMES:
        yield path


def edited(manifest: Any, path: Path_) -> Any:
    """The value at a path made another of its type."""
    changed = copy.deepcopy(manifest)
    inside = changed
    for step in path[:-1]:
        inside = inside[step]
    match inside[path[-1]]:
        case bool() as value:
            inside[path[-1]] = not value
        case int() as value:
            inside[path[-1]] = value + 1
        case str() as value:
            inside[path[-1]] = another(value)
        case value:
            raise AssertionError(value)
    return changed


def another(value: str) -> str:
    words = {"restricted": "privileged", "Never": "OnFailure", "RuntimeDefault": "Unconfined", "TCP": "UDP"}
    if value[:1].isdigit() and value.strip("0123456789GiMm") == "":
        return "3" + value  # a quantity
    return words.get(value, f"{value}x")


def merge_patch(before: Any, after: Any) -> Any:
    """What turns one manifest into the other: lists as a whole."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return after
    return {name: merge_patch(before[name], after[name]) for name in after if before[name] != after[name]}


@pytest.mark.parametrize("kind", KINDS)
async def test_an_edit_of_any_field_that_we_applied_is_seen_and_repaired(rig: KubernetesRig, kind: str):
    seen, refused = 0, list[str]()
    for one in [each for each in rig.objects if each.ref.kind == f"east.{kind}"]:
        manifest = manifest_of(one, rig.owner, rig.installation)
        for path in leaves(manifest):
            if not await edit(rig, one, merge_patch(manifest, edited(manifest, path))):
                refused.append(".".join(map(str, path)))
                continue
            await rig.until(lambda observed, ref=one.ref: is_wrong(observed, ref))
            await rig.repair()
            seen += 1

    assert seen >= 6, refused  # its labels and annotations at least
    assert all(path.startswith("spec") or path == "type" for path in refused), refused


async def edit(rig: KubernetesRig, one: Object, patch: Any) -> bool:
    """Write it; whether the server let us."""
    namespace, _, name = one.ref.name.rpartition("/")
    kind = one.ref.kind.rpartition(".")[2]
    try:
        await asyncio.to_thread(rig.hands.patch, kind, namespace or None, name, patch)
    except ApiException as error:
        if error.status not in REFUSED:
            raise
        return False
    return True


def is_wrong(observed: Observed, ref: Any) -> bool:
    """Whether a pass would do something about it."""
    seen = observed.seen.get(ref)
    return seen is None or bool(seen.drift) or seen.digest is None or seen.digest.endswith("x")

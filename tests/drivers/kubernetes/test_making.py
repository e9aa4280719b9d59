"""Making what was not there a moment ago, on a real API server, while somebody else makes it too."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drivers.base import Conflict
from drivers.kubernetes.names import manager_of
from model.names import SecretRef
from model.objects import Object
from tests.conformance.kubernetes_rig import KubernetesRig
from tests.conformance.rig import create, update

pytestmark = pytest.mark.cluster


class RacingRig(KubernetesRig):
    """Between the driver's look and its write, which needs a secret, something happens."""

    between: Callable[[], Awaitable[None]] | None = None

    async def reveal(self, reference: SecretRef) -> str:
        between, self.between = self.between, None
        if between is not None:
            await between()
        return await super().reveal(reference)

    def object(self, kind: str, name: str) -> Object:
        return next(one for one in self.objects if str(one.ref) == f"east.{kind}/{self.namespace}/{name}")

    def live(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.hands.kind(kind).get(name=name, namespace=self.namespace).to_dict()
        return found


@pytest.fixture
async def rig(kubeconfig: Path, tmp_path: Path) -> AsyncIterator[RacingRig]:
    one = RacingRig(kubeconfig, tmp_path)
    await one.start()
    await one.driver.open()
    await one.apply(create(one.objects[0]))
    yield one
    await one.clean()


async def test_what_somebody_else_made_in_between_is_not_taken_over(rig: RacingRig):
    async def plant() -> None:
        rig.hands.make("Secret", rig.namespace, "credentials", {"data": {"theirs": "eA=="}})

    rig.between = plant
    with pytest.raises(Conflict, match="does not carry our mark"):
        await rig.apply(create(rig.object("Secret", "credentials")))

    live = rig.live("Secret", "credentials")
    assert live["data"] == {"theirs": "eA=="}
    assert "labels" not in live["metadata"]
    assert manager_of(rig.installation) not in {one["manager"] for one in live["metadata"]["managedFields"]}


async def test_what_another_of_us_made_in_between_is_adopted(rig: RacingRig):
    wanted = rig.object("Secret", "credentials")
    other = rig.make_driver()
    await other.open()
    uids: list[str] = []

    async def make() -> None:
        uids.append((await other.apply(rig.owner, create(wanted))).uid)

    rig.between = make
    try:
        assert [await rig.apply(create(wanted))] == uids
    finally:
        await other.close()


async def test_what_was_made_and_then_changed_keeps_nothing_that_is_no_longer_said(rig: RacingRig):
    wanted = rig.object("ConfigMap", "settings")
    more = replace(wanted.body, manifest={**wanted.body.manifest, "metadata": {"labels": {"more": "1"}}})
    uid = await rig.apply(create(replace(wanted, body=more)))
    assert rig.live("ConfigMap", "settings")["metadata"]["labels"]["more"] == "1"

    await rig.apply(update(wanted, uid))

    live = rig.live("ConfigMap", "settings")
    assert "more" not in live["metadata"]["labels"]
    ours = [one for one in live["metadata"]["managedFields"] if one["manager"] == manager_of(rig.installation)]
    assert [one["operation"] for one in ours] == ["Apply"]

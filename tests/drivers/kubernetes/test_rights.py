"""The rights that `armillary cluster rbac` prints are enough, and each one that is missing is named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client as official
from kubernetes import config
from typer.testing import CliRunner

from cli.main import app
from drivers.kubernetes.kinds import RESOURCES
from drivers.kubernetes.rights import binding, cluster_role, rules
from drivers.kubernetes.translate import KINDS
from tests.clusters import with_token
from tests.conformance.kubernetes_rig import KubernetesRig


@pytest.fixture
async def rig(kubeconfig: Path, tmp_path: Path) -> AsyncIterator[KubernetesRig]:
    """A deployment whose driver is a service account that was given what is printed."""
    one = KubernetesRig(kubeconfig, tmp_path)
    await one.start()
    with granted(kubeconfig, one.installation) as token:
        file = tmp_path / "kubeconfig"
        with_token(file, token, file)
        await one.driver.open()
        yield one
        await one.clean()


@contextmanager
def granted(kubeconfig: Path, name: str) -> Iterator[str]:
    """A service account with the rights: its token."""
    api = config.new_client_from_config(str(kubeconfig))
    core, rbac = official.CoreV1Api(api), official.RbacAuthorizationV1Api(api)
    core.create_namespaced_service_account("default", {"metadata": {"name": name}})
    rbac.create_cluster_role(cluster_role(name))
    rbac.create_cluster_role_binding(binding(name, name, "default"))
    try:
        yield str(core.create_namespaced_service_account_token(name, "default", {"spec": {}}).status.token)
    finally:
        rbac.delete_cluster_role_binding(name)
        rbac.delete_cluster_role(name)
        core.delete_namespaced_service_account(name, "default")
        api.close()


@pytest.mark.cluster
async def test_a_deployment_is_made_repaired_and_deleted_with_nothing_but_these_rights(rig: KubernetesRig):
    await rig.put_and_settle()
    for vandalise in rig.vandals.values():
        vandalise()
    await rig.repair()
    await rig.settled()
    assert await rig.driver.owners() == {rig.owner}
    await rig.delete_all()


@pytest.mark.cluster
@pytest.mark.parametrize("kind", ["Secret", "Deployment"])
async def test_a_kind_that_may_not_be_listed_is_blind_by_name_and_the_others_are_seen(
    rig: KubernetesRig, kubeconfig: Path, kind: str
):
    await rig.put_and_settle()
    narrow(kubeconfig, rig.installation, RESOURCES[kind].plural)
    await rig.reopen()  # a watch that stands is not asked for its rights until it is renewed

    observed = await rig.until(lambda found: bool(found.blind))

    assert observed.blind.keys() == {f"east.{kind}"}
    assert RESOURCES[kind].plural in observed.blind[f"east.{kind}"]
    assert {ref.kind for ref in observed.seen} == rig.driver.kinds - {f"east.{kind}"}


def narrow(kubeconfig: Path, name: str, plural: str) -> None:
    """Take the right to list one kind away."""
    role: dict[str, Any] = cluster_role(name)
    kept = [{**one, "resources": [each for each in one["resources"] if each != plural]} for one in role["rules"]]
    role["rules"] = [one for one in kept if one["resources"]]
    api = config.new_client_from_config(str(kubeconfig))
    official.RbacAuthorizationV1Api(api).replace_cluster_role(name, role)
    api.close()


def test_what_is_printed_is_for_the_kinds_that_are_made_and_has_no_wildcard():
    printed = list(yaml.safe_load_all(CliRunner().invoke(app, ["cluster", "rbac", "--account", "us"]).stdout))

    assert [one["kind"] for one in printed] == ["ClusterRole", "ClusterRoleBinding"]
    assert printed[0]["rules"] == rules()
    named = {plural for rule in rules() for plural in rule["resources"]}
    assert named == {RESOURCES[kind].plural for kind in (*KINDS, "Pod")}
    assert "*" not in str(printed)
    assert printed[1]["subjects"][0]["name"] == "us"

"""The rights that a daemon needs on a cluster, from the table of the kinds it makes: no more, and no wildcard."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from drivers.kubernetes.kinds import RESOURCES, Resource
from drivers.kubernetes.translate import KINDS

_MAKE = ("create", "delete", "get", "list", "patch", "update", "watch")
_LOOK = ("get", "list", "watch")


def rules() -> list[dict[str, Any]]:
    """As a ClusterRole says them: namespaces are made as deployments come, so rights are the cluster's."""
    made = [RESOURCES[kind] for kind in KINDS]
    return [*_rules(made, _MAKE), *_rules([RESOURCES["Pod"]], _LOOK)]


def cluster_role(name: str) -> dict[str, Any]:
    """The manifest of a ClusterRole with these rights."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": rules(),
    }


def binding(name: str, account: str, namespace: str) -> dict[str, Any]:
    """The manifest that gives them to a service account."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    }


def _rules(resources: Iterable[Resource], verbs: tuple[str, ...]) -> list[dict[str, Any]]:
    groups = groupby(sorted(resources, key=lambda one: one.group), key=lambda one: one.group)
    return [
        {"apiGroups": [group], "resources": sorted(one.plural for one in some), "verbs": list(verbs)}
        for group, some in groups
    ]

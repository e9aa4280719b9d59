"""What a deployment may take of a cluster, and what may be taken of it at once: manifests, without names. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivers.kubernetes.settings import Settings


def quota(settings: Settings) -> dict[str, Any] | None:
    """A ResourceQuota of the deployment's namespace, where the cluster's settings ask for one."""
    return {"spec": {"hard": dict(sorted(settings.quota.items()))}} if settings.quota else None


def limit_range(settings: Settings) -> dict[str, Any] | None:
    """What a container gets that asks for nothing: under a quota of cpu or memory such a pod is refused."""
    usual = dict(sorted(settings.container.items()))
    return (
        {"spec": {"limits": [{"type": "Container", "default": usual, "defaultRequest": usual}]}} if usual else None
    )


def disruption_budget(chosen: Mapping[str, str]) -> dict[str, Any]:
    """How many pods of a process may be evicted at once, as by a drain of nodes: one, and any that is broken."""
    return {
        "spec": {
            "selector": {"matchLabels": dict(chosen)},
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        }
    }

"""Where the API serves each kind that we write or look at. All of these versions are served from 1.27 on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One kind of the API: `Deployment` is `deployments` of group `apps`, version `v1`."""

    kind: str
    plural: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As a manifest says it: `apps/v1`, or `v1` for the oldest group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str = "") -> str:
        """The path of one object, or of a collection: of a namespace, or of the whole cluster."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        inside = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return f"{root}{inside}/{self.plural}" + (f"/{name}" if name else "")


def _of(kind: str, plural: str, group: str = "", *, namespaced: bool = True) -> Resource:
    return Resource(kind=kind, plural=plural, group=group, namespaced=namespaced)


RESOURCES: Mapping[str, Resource] = {
    one.kind: one
    for one in (
        _of("Namespace", "namespaces", namespaced=False),
        _of("ServiceAccount", "serviceaccounts"),
        _of("NetworkPolicy", "networkpolicies", "networking.k8s.io"),
        _of("ResourceQuota", "resourcequotas"),
        _of("LimitRange", "limitranges"),
        _of("ConfigMap", "configmaps"),
        _of("Secret", "secrets"),
        _of("PersistentVolumeClaim", "persistentvolumeclaims"),
        _of("Service", "services"),
        _of("PodDisruptionBudget", "poddisruptionbudgets", "policy"),
        _of("Deployment", "deployments", "apps"),
        _of("Job", "jobs", "batch"),
        _of("Pod", "pods"),
    )
}

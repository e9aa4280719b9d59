"""What the server says that it serves: what the official client asks before anything else."""

from __future__ import annotations

from typing import Any

from drivers.kubernetes.kinds import RESOURCES

VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.0-simulated"}
_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
_GROUPS = sorted({one.api_version for one in RESOURCES.values() if one.group})


def answer(path: str) -> Any:
    """The answer to a question about the server itself; None when it is about objects."""
    match path.strip("/").split("/"):
        case ["version"]:
            return VERSION
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        case ["apis"]:
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(one) for one in _GROUPS]}
        case ["api", version]:
            return _resources(version)
        case ["apis", group, version]:
            return _resources(f"{group}/{version}")
        case ["apis", "authorization.k8s.io", _, "selfsubjectaccessreviews"]:
            return {"kind": "SelfSubjectAccessReview", "status": {"allowed": True}}
    return None


def _group(api_version: str) -> Any:
    served = {"groupVersion": api_version, "version": api_version.partition("/")[2]}
    return {"name": api_version.partition("/")[0], "versions": [served], "preferredVersion": served}


def _resources(api_version: str) -> Any:
    found = [
        {"name": one.plural, "singularName": "", "namespaced": one.namespaced, "kind": one.kind, "verbs": _VERBS}
        for one in RESOURCES.values()
        if one.api_version == api_version
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": found}

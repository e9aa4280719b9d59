"""What the server says where nobody does: the defaults of the kinds that are written, and what never changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.apiserver.errors import Refusal

Manifest = dict[str, Any]
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_CONTAINER = {
    "imagePullPolicy": "IfNotPresent",
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
_POD = {
    "restartPolicy": "Always",
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "securityContext": {},
    "terminationGracePeriodSeconds": 30,
}


def defaulted(found: Manifest) -> Manifest:
    """The object with what the server fills in."""
    fill = _FILL.get(found["kind"])
    return found if fill is None else fill(found)


def require_kept(before: Manifest, after: Manifest) -> None:
    """Raises Refusal when what can never be changed is."""
    for path in _KEPT.get(before["kind"], ()):
        if _at(before, path) != _at(after, path):
            told = f'{before["kind"]} "{before["metadata"]["name"]}" is invalid: {".".join(path)}: Invalid value: '
            raise Refusal(422, "Invalid", f"{told}field is immutable")


_KEPT: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "Deployment": (("spec", "selector"),),
    "Job": (("spec", "template"), ("spec", "completions")),
    "PersistentVolumeClaim": (("spec", "accessModes"), ("spec", "storageClassName")),
    "RoleBinding": (("roleRef",),),
}


def _at(found: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        found = (found or {}).get(name)
    return found


def _service(found: Manifest) -> Manifest:
    spec = found["spec"]
    ports = [{"protocol": "TCP", "targetPort": one["port"], **one} for one in spec.get("ports", ())]
    own = {"type": "ClusterIP", "sessionAffinity": "None", "clusterIP": "10.0.0.1", "ipFamilies": ["IPv4"]}
    return {**found, "spec": {**own, **spec, "ports": ports}}


def _deployment(found: Manifest) -> Manifest:
    spec = found["spec"]
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
    own = {"replicas": 1, "strategy": rolling, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600}
    return {**found, "spec": {**own, **spec, "template": _template(spec["template"])}}


def _job(found: Manifest) -> Manifest:
    spec, metadata = found["spec"], found["metadata"]
    own = {"parallelism": 1, "completions": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": False}
    label = {"batch.kubernetes.io/job-name": metadata["name"]}
    template = _template(spec["template"])
    labelled = {
        **template.get("metadata", {}),
        "labels": {**template.get("metadata", {}).get("labels", {}), **label},
    }
    chosen = {"selector": {"matchLabels": label}, "template": {**template, "metadata": labelled}}
    return {**found, "spec": {**own, **spec, **chosen}}


def _claim(found: Manifest) -> Manifest:
    own = {"volumeMode": "Filesystem", "storageClassName": "standard"}
    metadata = {"finalizers": ["kubernetes.io/pvc-protection"], **found["metadata"]}
    return {**found, "metadata": metadata, "spec": {**own, **found["spec"]}}


def _namespace(found: Manifest) -> Manifest:
    metadata = found["metadata"]
    labels = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": metadata["name"]}
    return {"spec": {"finalizers": ["kubernetes"]}, **found, "metadata": {**metadata, "labels": labels}}


def _template(found: Manifest) -> Manifest:
    spec = found["spec"]
    lists = {name: [_container(one) for one in spec[name]] for name in _CONTAINERS if name in spec}
    volumes = [_volume(one) for one in spec.get("volumes", ())]
    return {**found, "spec": {**_POD, **spec, **lists, **({"volumes": volumes} if volumes else {})}}


_CONTAINERS = ("containers", "initContainers")


def _container(found: Manifest) -> Manifest:
    probes = {name: {**_PROBE, **found[name]} for name in found if name.endswith("Probe")}
    ports = {"ports": [{"protocol": "TCP", **one} for one in found["ports"]]} if "ports" in found else {}
    return {**_CONTAINER, **found, **probes, **ports}


def _volume(found: Manifest) -> Manifest:
    modes = {name: {"defaultMode": 0o644, **found[name]} for name in ("secret", "configMap") if name in found}
    return {**found, **modes}


_FILL: Mapping[str, Callable[[Manifest], Manifest]] = {
    "Service": _service,
    "Deployment": _deployment,
    "Job": _job,
    "PersistentVolumeClaim": _claim,
    "Namespace": _namespace,
}

"""Pod templates: what a Process or a Task runs, as a pod that the *restricted* security standard lets in.

Whatever must restart a process is in its template: the digest of each file that it reads, the versions of the
secrets in its environment, and when somebody last asked for a restart. Nothing else is.
"""

from __future__ import annotations

import json
from typing import Any

from drivers.addresses import port_of
from drivers.kubernetes.names import RESTARTED_AT, UNIT, labels_of
from drivers.kubernetes.settings import Settings
from drivers.kubernetes.texts import path_of, plain, resolve
from model.digest import digest
from model.names import SecretRef, Text
from model.objects import Site
from model.units import Exchange, Mount, Probe, Process, Resources, Task

READS = "reads.armillary.io/"
ENVIRONMENT = "armillary.io/environment"
SERVICE_ACCOUNT = "airflow"

_PROBE_TIMEOUT_SECONDS = 20
_PROBE = """import json, sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=15) as answer:
    found = json.load(answer)
for pointer, wanted in json.loads(sys.argv[2]).items():
    one = found
    for step in pointer.strip("/").split("/"):
        one = one[step]
    if one != wanted:
        sys.exit(f"{pointer} is {one}")
"""
"""What a pod runs to see how something is that only another unit tells: Airflow's own heartbeats."""

_UNPRIVILEGED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
_SECRET = "-secret"  # noqa: S105 - the end of a volume's name
_SECRETS = path_of("secrets")
_COPY = f'for unit in "$@"; do install -m 600 -t {path_of("")}/"$unit" {_SECRETS}/"$unit"/* || exit 1; done'
_SCRATCH: dict[str, Any] = {"name": "scratch", "emptyDir": {}}
_SCRATCHED: dict[str, Any] = {"name": "scratch", "mountPath": "/tmp"}  # noqa: S108 - a pod's own
"""The one place of a container, beside its volumes, that may be written."""


def environment(unit: Process | Task, site: Site, settings: Settings) -> dict[str, Text]:
    """The environment of a unit, its secrets still references."""
    return {name: resolve(value, site, settings) for name, value in sorted(unit.env.items())}


def is_secret(value: Text) -> bool:
    """Whether a value refers to a secret, and so has to stand in a Secret."""
    return any(isinstance(part, SecretRef) for part in value)


def secret_name(unit: Process | Task) -> str:
    """The Secret that holds the secret part of a unit's environment."""
    return f"{unit.name}-env"


def match_labels(unit: Process | Task, site: Site) -> dict[str, str]:
    """What tells the pods of a unit from all others. It can never be changed in place."""
    return {"tier": "airflow", "component": unit.component, "release": site.release, UNIT: unit.name}


def template(unit: Process | Task, site: Site, settings: Settings) -> dict[str, Any]:
    """The pod template of a unit. Raises Refused for an address that nobody has."""
    labels = labels_of(site.installation, site.owner, unit.name) | match_labels(unit, site)
    copied = [mount.unit for mount in unit.mounts if mount.holds == "credentials"]
    volumes = [*(_volume(mount) for mount in unit.mounts), *map(_copy, copied), _SCRATCH]
    return {
        "metadata": {"labels": labels, "annotations": _annotations(unit, site, settings)},
        "spec": {
            "serviceAccountName": SERVICE_ACCOUNT,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": settings.user_id,
                "fsGroup": 0,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            **({"initContainers": [_copying(unit, copied, settings)]} if copied else {}),
            "containers": [_container(unit, site, settings)],
            "volumes": volumes,
            **_ending(unit),
        },
    }


def _ending(unit: Process | Task) -> dict[str, Any]:
    if isinstance(unit, Task):
        return {"restartPolicy": "Never"}
    return {"terminationGracePeriodSeconds": round(unit.stop.grace_seconds)}


def _annotations(unit: Process | Task, site: Site, settings: Settings) -> dict[str, str]:
    found = {f"{READS}{mount.unit}": mount.digest for mount in unit.mounts if mount.digest}
    secret = {name: value for name, value in environment(unit, site, settings).items() if is_secret(value)}
    if secret:
        found[ENVIRONMENT] = digest(secret)
    if isinstance(unit, Process) and unit.restarted_at:
        found[RESTARTED_AT] = unit.restarted_at
    return found


def _container(unit: Process | Task, site: Site, settings: Settings) -> dict[str, Any]:
    resources = _resources(unit.resources) if isinstance(unit, Process) else {}
    mounts = [_mounted(mount) for mount in unit.mounts]
    container: dict[str, Any] = {
        "name": unit.name,
        "image": settings.images + unit.image,
        "command": list(unit.command),
        "env": [_variable(name, value, unit) for name, value in environment(unit, site, settings).items()],
        "securityContext": _UNPRIVILEGED,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    found = {"volumeMounts": [*mounts, _SCRATCHED], "resources": resources, **_serving(unit, site)}
    return container | {key: value for key, value in found.items() if value}


def _serving(unit: Process | Task, site: Site) -> dict[str, Any]:
    if isinstance(unit, Task):
        return {}
    ports = [
        {"name": name, "containerPort": port_of(unit.name, name, site), "protocol": "TCP"}
        for name in sorted(unit.ports)
    ]
    return {"ports": ports, **({"readinessProbe": _probe(unit.probe, unit, site)} if unit.probe else {})}


def _variable(name: str, value: Text, unit: Process | Task) -> dict[str, Any]:
    if is_secret(value):
        return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret_name(unit), "key": name}}}
    return {"name": name, "value": plain(value)}


def _volume(mount: Mount) -> dict[str, Any]:
    match mount.holds:
        case "credentials":
            secret: dict[str, Any] = {"secretName": mount.unit, "defaultMode": 0o440}
            return {"name": f"{mount.unit}{_SECRET}", "secret": secret}
        case "settings":
            source: dict[str, Any] = {"configMap": {"name": mount.unit, "defaultMode": 0o444}}
        case "volume":
            source = {"persistentVolumeClaim": {"claimName": mount.unit}}
    return {"name": mount.unit, **source}


def _mounted(mount: Mount) -> dict[str, Any]:
    found: dict[str, Any] = {"name": mount.unit, "mountPath": path_of(mount.unit)}
    return {**found, "readOnly": True} if mount.holds == "settings" else found


def _copy(name: str) -> dict[str, Any]:
    return {"name": name, "emptyDir": {"medium": "Memory"}}


def _copying(unit: Process | Task, copied: list[str], settings: Settings) -> dict[str, Any]:
    """What copies files with secrets into the pod's own memory before anything else of it runs.

    A Secret is read-only whatever its mode, and Airflow 3.3.2 opens the file of its logins for writing.
    """
    secrets = [
        {"name": f"{name}{_SECRET}", "mountPath": f"{_SECRETS}/{name}", "readOnly": True} for name in copied
    ]
    return {
        "name": "files",
        "image": settings.images + unit.image,
        "command": ["/bin/sh", "-c", _COPY, "sh", *copied],
        "securityContext": _UNPRIVILEGED,
        "volumeMounts": [*secrets, *({"name": name, "mountPath": path_of(name)} for name in copied)],
    }


def _probe(probe: Probe | Exchange, unit: Process, site: Site) -> dict[str, Any]:
    number = port_of(probe.unit, probe.port, site)
    often = {"periodSeconds": 10, "timeoutSeconds": _PROBE_TIMEOUT_SECONDS, "failureThreshold": 3}
    if isinstance(probe, Exchange):
        return {"tcpSocket": {"port": number}, **often}
    if probe.unit == unit.name and not probe.expect:
        return {"httpGet": {"path": probe.path, "port": number}, **often}
    host = "127.0.0.1" if probe.unit == unit.name else probe.unit
    expected = json.dumps(dict(sorted(probe.expect.items())))
    asked = ["python3", "-c", _PROBE, f"http://{host}:{number}{probe.path}", expected]
    return {"exec": {"command": asked}, **often, "periodSeconds": 30}


def _resources(resources: Resources) -> dict[str, Any]:
    asked = {}
    if resources.cpu_millicores is not None:
        asked["cpu"] = f"{resources.cpu_millicores}m"
    if resources.memory_mib is not None:
        asked["memory"] = f"{resources.memory_mib}Mi"
    return {"requests": asked, "limits": asked} if asked else {}

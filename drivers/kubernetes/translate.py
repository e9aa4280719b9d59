"""From units to Kubernetes objects. Pure: equal arguments, equal objects.

Names inside a deployment's namespace are those of its units, so that a person finds the scheduler under
`scheduler`; the labels `tier`, `component` and `release` are those of the official chart.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from drivers.addresses import port_of
from drivers.base import Refused
from drivers.kubernetes import bounds
from drivers.kubernetes.body import Body
from drivers.kubernetes.names import Place, namespace_of, ref_of
from drivers.kubernetes.pods import (
    SERVICE_ACCOUNT,
    environment,
    is_secret,
    match_labels,
    secret_name,
    template,
)
from drivers.kubernetes.settings import Settings
from drivers.kubernetes.texts import plain, resolve
from model.digest import digest
from model.names import Text
from model.objects import Object, Site
from model.units import AnyUnit, Credentials, Environment, Process, Task, Volume
from model.units import Settings as Files

UNITS: frozenset[type[AnyUnit]] = frozenset({Environment, Files, Credentials, Volume, Process, Task})
KINDS = (
    "Namespace",
    "ServiceAccount",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "ConfigMap",
    "Secret",
    "PersistentVolumeClaim",
    "Service",
    "PodDisruptionBudget",
    "Deployment",
    "Job",
)
"""In the order of their making."""


_ROLLING = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def translate(unit: AnyUnit, site: Site, settings: Settings) -> tuple[Object, ...]:
    """The objects of a unit, in the order of their making. Raises Refused for what no cluster can do."""
    match unit:
        case Environment():
            return _environment(unit, site, settings)
        case Files():
            return (_config_map(unit, site, settings),)
        case Credentials():
            return (_secret(unit, unit.name, _files(unit, site, settings), site),)
        case Volume():
            return (_claim(unit, site, settings),)
        case Process():
            return _process(unit, site, settings)
        case Task():
            return _task(unit, site, settings)
        case _:
            raise Refused(
                f"the Kubernetes driver cannot make a {type(unit).__name__} ({unit.name}); another driver must"
            )


def _environment(unit: Environment, site: Site, settings: Settings) -> tuple[Object, ...]:
    image = settings.images + unit.image
    strict = dict.fromkeys(("enforce", "warn", "audit"), "restricted")
    security = {f"pod-security.kubernetes.io/{mode}": level for mode, level in strict.items()}
    place = Place(kind="Namespace", namespace="", name=namespace_of(site.release))
    namespace = _object(unit, place, {"metadata": {"labels": security}}, site, more=image)
    account = _object(
        unit, _at(site, "ServiceAccount", SERVICE_ACCOUNT), {"automountServiceAccountToken": False}, site
    )
    inside = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": place.name}}}
    policy = {"spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [inside]}]}}
    inside_only = _object(unit, _at(site, "NetworkPolicy", "inside-only"), policy, site)
    return (namespace, account, inside_only, *_bounds(unit, site, settings))


def _bounds(unit: Environment, site: Site, settings: Settings) -> tuple[Object, ...]:
    """What the cluster's settings bound each deployment by."""
    asked = {"ResourceQuota": bounds.quota(settings), "LimitRange": bounds.limit_range(settings)}
    return tuple(
        _object(unit, _at(site, kind, "deployment"), manifest, site)
        for kind, manifest in asked.items()
        if manifest
    )


def _config_map(unit: Files, site: Site, settings: Settings) -> Object:
    texts = _files(unit, site, settings)
    for path, value in texts.items():
        if is_secret(value):
            raise Refused(f"{unit.name}: {path} refers to a secret, and its files are not secret; use Credentials")
    data = {path: plain(value) for path, value in texts.items()}
    return _object(unit, _at(site, "ConfigMap", unit.name), {"data": data}, site)


def _files(unit: Files | Credentials, site: Site, settings: Settings) -> dict[str, Text]:
    for path in unit.files:
        if PurePosixPath(path).name != path:
            raise Refused(f"{unit.name}: {path!r} is not the name of one file; a cluster's files have no folders")
    return {path: resolve(value, site, settings) for path, value in sorted(unit.files.items())}


def _secret(unit: AnyUnit, name: str, texts: Mapping[str, Text], site: Site) -> Object:
    return _object(unit, _at(site, "Secret", name), {"type": "Opaque"}, site, secrets=texts)


def _claim(unit: Volume, site: Site, settings: Settings) -> Object:
    spec: dict[str, Any] = {
        "accessModes": [settings.access_mode],
        "resources": {"requests": {"storage": settings.volume_size}},
        **({"storageClassName": settings.storage_class} if settings.storage_class else {}),
    }
    return _object(unit, _at(site, "PersistentVolumeClaim", unit.name), {"spec": spec}, site)


def _process(unit: Process, site: Site, settings: Settings) -> tuple[Object, ...]:
    chosen = match_labels(unit, site)
    spec: dict[str, Any] = {
        "selector": {"matchLabels": chosen},
        "template": template(unit, site, settings),
        "strategy": {"type": "Recreate"} if unit.alone else _ROLLING,
        "revisionHistoryLimit": 3,
        **({} if unit.replicas is None else {"replicas": unit.replicas}),
    }
    deployment = _object(unit, _at(site, "Deployment", unit.name), {"spec": spec}, site, frozen=chosen)
    budget = _object(unit, _at(site, "PodDisruptionBudget", unit.name), bounds.disruption_budget(chosen), site)
    return (*_secret_environment(unit, site, settings), *_service(unit, chosen, site), budget, deployment)


def _service(unit: Process, chosen: Mapping[str, str], site: Site) -> tuple[Object, ...]:
    if not unit.ports:
        return ()
    numbers = {name: port_of(unit.name, name, site) for name in sorted(unit.ports)}
    ports = [
        {"name": name, "port": number, "targetPort": number, "protocol": "TCP"} for name, number in numbers.items()
    ]
    return (
        _object(unit, _at(site, "Service", unit.name), {"spec": {"selector": dict(chosen), "ports": ports}}, site),
    )


def _secret_environment(unit: Process | Task, site: Site, settings: Settings) -> tuple[Object, ...]:
    secret = {name: value for name, value in environment(unit, site, settings).items() if is_secret(value)}
    return (_secret(unit, secret_name(unit), secret, site),) if secret else ()


def _task(unit: Task, site: Site, settings: Settings) -> tuple[Object, ...]:
    spec: dict[str, Any] = {
        "template": template(unit, site, settings),
        "backoffLimit": 0,
        "activeDeadlineSeconds": round(unit.timeout_seconds),
        "completions": 1,
        "parallelism": 1,
    }
    job = _object(unit, _at(site, "Job", unit.name), {"spec": spec}, site, frozen=spec, more=unit.key)
    return (*_secret_environment(unit, site, settings), job)


def _at(site: Site, kind: str, name: str) -> Place:
    return Place(kind=kind, namespace=namespace_of(site.release), name=name)


def _object(
    unit: AnyUnit,
    place: Place,
    manifest: dict[str, Any],
    site: Site,
    *,
    secrets: Mapping[str, Text] | None = None,
    frozen: object = None,
    more: object = None,
) -> Object:
    """`frozen`: what cannot be changed in place. `more`: what the manifest does not say and is a change."""
    return Object(
        ref=ref_of(place, site.cluster),
        unit=unit.name,
        digest=digest(place.kind, place.name, manifest, secrets or {}, more),
        frozen_digest=digest(frozen) if frozen is not None else "",
        retain=unit.retain,
        body=Body(place=place, manifest=manifest, secrets=secrets or {}),
    )

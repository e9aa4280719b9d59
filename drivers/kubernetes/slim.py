"""What of an object a look needs. All else is dropped first, a Secret's values above all. Pure.

Two slim objects are equal when no look could tell them apart: what moves all the time (versions, times, who wrote
what when) is not in them.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

from drivers.kubernetes.body import Manifest
from drivers.kubernetes.encode import content_of

POD = "Pod"

_METADATA = ("name", "namespace", "uid", "generation", "labels", "annotations", "deletionTimestamp", "finalizers")
_POD_METADATA = ("name", "namespace", "uid", "labels")
_STATUS = ("observedGeneration", "replicas", "updatedReplicas", "availableReplicas", "phase")
_CONDITIONS = frozenset({"Progressing", "ReplicaFailure", "Complete", "Failed"})
_CONDITION = ("type", "status", "message")
_COPIES = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})
"""Annotations that repeat the object whole."""
_DROPPED = frozenset({"apiVersion", "metadata", "status"})
_SECRET_DATA = frozenset({"data", "stringData"})


def slim(live: Manifest) -> dict[str, Any]:
    """The object with what looks need of it. Of a Secret's values only their digest, as `content`, is left."""
    if live["kind"] == POD:
        phase = (live.get("status") or {}).get("phase", "")
        metadata = live["metadata"]
        return {"kind": POD, "metadata": _some(metadata, _POD_METADATA), "status": {"phase": phase}}
    dropped = _DROPPED | _SECRET_DATA if live["kind"] == "Secret" else _DROPPED
    kept = {name: value for name, value in live.items() if name not in dropped}
    if live["kind"] == "Secret":
        kept["content"] = live["content"] if "content" in live else content_of(live.get("data") or {})
    return {**kept, "metadata": _metadata(live["metadata"]), "status": _status(live.get("status") or {})}


def packed(live: Manifest) -> bytes:
    """A slim object as it is kept: some hundreds of bytes. Equal objects are packed equally."""
    return zlib.compress(msgspec.json.encode(live, order="deterministic"), level=6)


def unpacked(kept: bytes) -> dict[str, Any]:
    """The slim object again."""
    found: dict[str, Any] = msgspec.json.decode(zlib.decompress(kept))
    return found


def _metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    kept = _some(metadata, _METADATA)
    annotations = kept.get("annotations") or {}
    kept["annotations"] = {name: value for name, value in annotations.items() if name not in _COPIES}
    entries = {(one["manager"], one["operation"]) for one in metadata.get("managedFields") or ()}
    kept["managedFields"] = [{"manager": who, "operation": how} for who, how in sorted(entries)]
    return kept


def _status(status: Mapping[str, Any]) -> dict[str, Any]:
    conditions = [one for one in status.get("conditions") or () if one.get("type") in _CONDITIONS]
    return {**_some(status, _STATUS), "conditions": [_some(one, _CONDITION) for one in conditions]}


def _some(mapping: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: mapping[name] for name in names if name in mapping}

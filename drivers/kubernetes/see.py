"""What an object on a cluster looks like to the core. Pure: from the answer of the API server to a Seen.

What was applied is compared as far as we say it; what others add beside it is theirs, but for the subtrees that
are ours alone (a pod's containers, the keys of a Secret).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivers.kubernetes.body import Manifest
from drivers.kubernetes.compare import differences, extras
from drivers.kubernetes.names import CONTENT, DIGEST, FROZEN_DIGEST
from model.names import Ref
from model.objects import Drift, Health, Seen


def see(ref: Ref, live: Manifest, applied: Manifest | None, pods: int) -> Seen:
    """One slim object of ours. `applied`: what was applied last, where that is known; `pods`: that still run."""
    metadata = live["metadata"]
    annotations = metadata.get("annotations") or {}
    health, detail = health_of(live, pods)
    is_going = "deletionTimestamp" in metadata
    return Seen(
        ref=ref,
        uid=metadata["uid"],
        digest=None if is_going else annotations.get(DIGEST),
        frozen_digest=annotations.get(FROZEN_DIGEST, ""),
        drift=() if applied is None or is_going else drift_of(live, applied),
        health=Health.PROGRESSING if is_going else health,
        running=pods,
        detail=_going(metadata) if is_going else detail,
    )


def drift_of(live: Manifest, applied: Manifest) -> tuple[Drift, ...]:
    """How it differs from what was applied."""
    kind = live["kind"]
    found = [str(one) for one in (*differences(applied, live, kind), *extras(applied, live, kind))]
    if kind == "Secret":
        content = (live["metadata"].get("annotations") or {}).get(CONTENT)
        found += [] if live["content"] == content else ["its values were changed"]
    return tuple(Drift(what=one) for one in found)


def _going(metadata: Mapping[str, Any]) -> str:
    held = ", ".join(metadata.get("finalizers") or ())
    since = metadata["deletionTimestamp"]
    return f"on its way out since {since}" + (f", held by the finalizers {held}" if held else "")


# --- health ---------------------------------------------------------------------------------------------


def health_of(live: Manifest, pods: int) -> tuple[Health, str]:
    """How well it is, and a sentence where it is not."""
    match live["kind"]:
        case "Deployment":
            return _deployment(live, pods)
        case "Job":
            return _job(live)
        case "PersistentVolumeClaim":
            return _claim(live)
        case "Namespace":
            phase = (live.get("status") or {}).get("phase", "Active")
            return (Health.HEALTHY, "") if phase == "Active" else (Health.PROGRESSING, f"it is {phase}")
        case _:
            return Health.HEALTHY, ""


def _deployment(live: Manifest, pods: int) -> tuple[Health, str]:
    spec, status = live["spec"], live.get("status") or {}
    asked = spec.get("replicas", 1)
    if asked == 0:
        return (Health.STOPPED, "") if pods == 0 else (Health.PROGRESSING, f"{pods} pods are still ending")
    is_seen = status.get("observedGeneration", 0) >= live["metadata"].get("generation", 0)
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if is_seen and updated >= asked and available >= asked and status.get("replicas", 0) == updated:
        return Health.HEALTHY, ""
    for one in status.get("conditions") or ():
        if one["type"] == "ReplicaFailure" and one["status"] == "True":
            return Health.UNHEALTHY, one.get("message", "its pods are refused")
        if one["type"] == "Progressing" and one["status"] == "False":
            return Health.UNHEALTHY, one.get("message", "its rollout does not end")
    return Health.PROGRESSING, f"{available} of {asked} pods are ready, {updated} of them new"


def _job(live: Manifest) -> tuple[Health, str]:
    for one in (live.get("status") or {}).get("conditions") or ():
        if one["status"] != "True":
            continue
        if one["type"] == "Complete":
            return Health.DONE, ""
        if one["type"] == "Failed":
            return Health.FAILED, one.get("message", "its pod failed")
    if live["spec"].get("suspend"):
        return Health.STOPPED, "it was stopped"
    return Health.PROGRESSING, "its pod has not ended yet"


def _claim(live: Manifest) -> tuple[Health, str]:
    """A claim that waits for its first pod is as well as it can be."""
    phase = (live.get("status") or {}).get("phase", "Pending")
    return (Health.UNHEALTHY, "its volume is lost") if phase == "Lost" else (Health.HEALTHY, "")

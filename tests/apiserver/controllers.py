"""What a cluster does by itself: pods of Deployments and Jobs, bound claims, namespaces that end, garbage.

One step takes everything a little further: pods are ready in the step after they are made.
"""

from __future__ import annotations

from typing import Any

from tests.apiserver.store import Key, Manifest, Store

FOREGROUND = "foregroundDeletion"
_CLAIM = "kubernetes.io/pvc-protection"


def advance(store: Store) -> None:
    """One step of everything."""
    for kind, act in (
        ("Namespace", _namespace),
        ("Deployment", _deployment),
        ("Job", _job),
        ("Pod", _pod),
        ("PersistentVolumeClaim", _claim),
    ):
        for one in store.of(kind):
            act(store, key(one), one)


def send_away(store: Store, where: Key, found: Manifest, *, finalizer: str = "") -> None:
    """Begin to delete: at once where nothing holds it."""
    metadata = dict(found["metadata"])
    if finalizer:
        metadata["finalizers"] = sorted({*metadata.get("finalizers", ()), finalizer})
    if not metadata.get("finalizers") and where.kind not in ("Namespace", "Pod"):
        store.remove(where)
    elif "deletionTimestamp" not in metadata:
        metadata |= {"deletionTimestamp": "2026-01-01T00:00:01Z", "deletionGracePeriodSeconds": 0}
        store.change(where, {**found, "metadata": metadata})


def key(found: Manifest) -> Key:
    """Where an object stands, by what it says itself."""
    metadata = found["metadata"]
    return Key(kind=found["kind"], namespace=metadata.get("namespace", ""), name=metadata["name"])


def _is_going(found: Manifest) -> bool:
    return "deletionTimestamp" in found["metadata"]


def _namespace(store: Store, where: Key, found: Manifest) -> None:
    inside = [one for one in store.objects if one.namespace == where.name]
    if not _is_going(found):
        _with_status(store, where, found, {"phase": "Active"})
        for kind, name in (("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")):
            one = Key(kind=kind, namespace=where.name, name=name)
            if one not in store.objects:
                metadata = {"name": name, "namespace": where.name}
                store.make(one, {"apiVersion": "v1", "kind": kind, "metadata": metadata})
        return
    _with_status(store, where, found, {"phase": "Terminating"})
    for one in inside:
        if not _is_going(store.objects[one]):
            send_away(store, one, store.objects[one])
    if not inside and not found["metadata"].get("finalizers"):
        store.remove(where)


def _deployment(store: Store, where: Key, found: Manifest) -> None:
    pods = _pods_of(store, found)
    if _is_going(found):
        _end(store, where, found, pods)
        return
    spec, wanted = found["spec"], found["spec"]["replicas"]
    new = [one for one in pods if one["spec"] == spec["template"]["spec"] and not _is_going(one)]
    for one in [one for one in pods if one not in new] + new[wanted:]:
        send_away(store, key(one), one)
    for _ in range(wanted - len(new)):
        _start(store, found)
    ready = sum(_phase(one) == "Running" for one in new[:wanted])
    status = {
        "observedGeneration": found["metadata"]["generation"],
        **{name: ready for name in ("updatedReplicas", "availableReplicas") if ready},
        **({"replicas": len(pods)} if pods else {}),
    }
    _with_status(store, where, found, status)


def _job(store: Store, where: Key, found: Manifest) -> None:
    pods = _pods_of(store, found)
    if _is_going(found):
        _end(store, where, found, pods)
        return
    status = found.get("status") or {}
    if status.get("conditions"):
        return
    if found["spec"].get("suspend"):
        for one in pods:
            send_away(store, key(one), one)
    elif not pods:
        _start(store, found)
    elif all(_phase(one) == "Succeeded" for one in pods):
        _with_status(store, where, found, {"conditions": [{"type": "Complete", "status": "True"}]})


def _pod(store: Store, where: Key, found: Manifest) -> None:
    owners = found["metadata"].get("ownerReferences", ())
    is_orphan = owners and not any(
        one["metadata"]["uid"] == owners[0]["uid"] for one in store.of(owners[0]["kind"])
    )
    if _is_going(found) or is_orphan:
        store.remove(where)
        return
    phase = _phase(found)
    if phase == "Pending":
        _with_status(store, where, found, {"phase": "Running"})
    elif phase == "Running" and owners and owners[0]["kind"] == "Job":
        _with_status(store, where, found, {"phase": "Succeeded"})


def _claim(store: Store, where: Key, found: Manifest) -> None:
    if not _is_going(found):
        _with_status(store, where, found, {"phase": "Bound"})
        return
    kept = [one for one in found["metadata"].get("finalizers", ()) if one != _CLAIM]
    if not _is_used(store, where):
        _let_go(store, where, found, kept)


def _is_used(store: Store, where: Key) -> bool:
    volumes = (
        volume.get("persistentVolumeClaim", {}).get("claimName")
        for pod in store.of("Pod", where.namespace)
        for volume in pod["spec"].get("volumes", ())
    )
    return where.name in volumes


def _end(store: Store, where: Key, found: Manifest, pods: list[Manifest]) -> None:
    for one in pods:
        send_away(store, key(one), one)
    if not pods:
        _let_go(store, where, found, [one for one in found["metadata"].get("finalizers", ()) if one != FOREGROUND])


def _let_go(store: Store, where: Key, found: Manifest, finalizers: list[str]) -> None:
    if not finalizers:
        store.remove(where)
        return
    store.change(where, {**found, "metadata": {**found["metadata"], "finalizers": finalizers}})


def _start(store: Store, owner: Manifest) -> None:
    template, metadata = owner["spec"]["template"], owner["metadata"]
    name = f"{metadata['name']}-{store.version}"
    reference = {"kind": owner["kind"], "name": metadata["name"], "uid": metadata["uid"], "controller": True}
    said = {
        "name": name,
        "namespace": metadata["namespace"],
        "labels": template["metadata"]["labels"],
        "ownerReferences": [reference],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": said,
        "spec": template["spec"],
        "status": {"phase": "Pending"},
    }
    store.make(Key(kind="Pod", namespace=metadata["namespace"], name=name), pod)


def _pods_of(store: Store, owner: Manifest) -> list[Manifest]:
    uid = owner["metadata"]["uid"]
    return [
        one
        for one in store.of("Pod", owner["metadata"]["namespace"])
        if any(reference["uid"] == uid for reference in one["metadata"].get("ownerReferences", ()))
    ]


def _phase(found: Manifest) -> Any:
    return (found.get("status") or {}).get("phase")


def _with_status(store: Store, where: Key, found: Manifest, status: Manifest) -> None:
    if found.get("status") != status:
        store.change(where, {**found, "status": status})

"""The verbs that write, as the API server understands them. Each gives the object as it is afterwards."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from drivers.kubernetes.kinds import Resource
from tests.apiserver.applying import applied, created, merged, updated
from tests.apiserver.controllers import FOREGROUND, send_away
from tests.apiserver.defaults import defaulted, require_kept
from tests.apiserver.errors import Refusal
from tests.apiserver.store import Key, Manifest, Store, key_of


def create(store: Store, resource: Resource, namespace: str | None, asked: Manifest, manager: str) -> Manifest:
    """POST: what is not there. Raises Refusal when it is."""
    metadata = {**asked["metadata"], **({"namespace": namespace} if namespace else {})}
    where = key_of(resource, namespace, metadata["name"])
    if where in store.objects:
        raise Refusal(409, "AlreadyExists", f'{resource.plural} "{where.name}" already exists')
    _require_open(store, where)
    return store.make(where, created(defaulted(_of_kind({**asked, "metadata": metadata}, resource)), manager))


def apply(store: Store, where: Key, asked: Manifest, manager: str, *, force: bool) -> Manifest:
    """PATCH with a configuration: server-side apply."""
    live = store.objects.get(where)
    _require_uid(live, asked, where)
    if live is None:
        _require_open(store, where)
        return store.make(where, defaulted(applied(None, asked, manager, force=force)))
    return _kept(store, where, live, applied(live, asked, manager, force=force))


def replace(store: Store, where: Key, asked: Manifest, manager: str) -> Manifest:
    """PUT: the whole object. Raises Refusal when it is of another version."""
    live = store.get(where)
    version = asked["metadata"].get("resourceVersion")
    _require_uid(live, asked, where)
    if version not in (None, live["metadata"]["resourceVersion"]):
        raise Refusal(409, "Conflict", f'{where.kind} "{where.name}": the object has been modified')
    asked = _without_nothing(_with_status_of(live, asked))
    return _kept(store, where, live, updated(live, asked, manager))


def patch(store: Store, where: Key, asked: Manifest, manager: str) -> Manifest:
    """PATCH with a merge patch."""
    live = store.get(where)
    _require_uid(live, asked, where)
    after = _without_nothing(merged(live, asked))
    after["metadata"].setdefault("managedFields", [])
    claimed = live if after["metadata"]["managedFields"] == live["metadata"].get("managedFields") else after
    return _kept(store, where, live, updated(claimed, after, manager))


def delete(store: Store, where: Key, options: dict[str, Any]) -> Manifest:
    """DELETE: send an object on its way. Raises Refusal when it is another than was meant."""
    live = store.get(where)
    uid = (options.get("preconditions") or {}).get("uid")
    if uid not in (None, live["metadata"]["uid"]):
        raise Refusal(409, "Conflict", f"Precondition failed: UID in precondition: {uid}")
    is_foreground = options.get("propagationPolicy") == "Foreground"
    send_away(store, where, live, finalizer=FOREGROUND if is_foreground else "")
    return store.objects.get(where, live)


def _kept(store: Store, where: Key, live: Manifest, after: Manifest) -> Manifest:
    after = defaulted(after)
    require_kept(live, after)
    fixed = {name: live["metadata"][name] for name in _FIXED if name in live["metadata"]}
    kept = store.change(where, {**after, "metadata": {**after["metadata"], **fixed}})
    if "deletionTimestamp" in kept["metadata"] and not kept["metadata"].get("finalizers"):
        send_away(store, where, kept)
    return kept


_FIXED = ("name", "namespace", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")


def _require_uid(live: Manifest | None, asked: Manifest, where: Key) -> None:
    uid = asked.get("metadata", {}).get("uid")
    if uid is None or (live is not None and uid == live["metadata"]["uid"]):
        return
    if live is None:
        raise Refusal(409, "Conflict", f'{where.kind} "{where.name}": uid mismatch: the object is not there')
    raise Refusal(
        422, "Invalid", f'{where.kind} "{where.name}" is invalid: metadata.uid: Invalid value: "{uid}": no'
    )


def _require_open(store: Store, where: Key) -> None:
    """Nothing is made in a namespace that is not there, or is ending."""
    if not where.namespace:
        return
    namespace = store.get(Key(kind="Namespace", namespace="", name=where.namespace))
    if "deletionTimestamp" in namespace["metadata"]:
        told = f"unable to create new content in namespace {where.namespace} because it is being terminated"
        raise Refusal(403, "Forbidden", told)


def _with_status_of(live: Manifest, asked: Manifest) -> Manifest:
    """A write of the object is none of its status."""
    kept = {"status": live["status"]} if "status" in live else {}
    return {**{name: value for name, value in deepcopy(asked).items() if name != "status"}, **kept}


def _without_nothing(found: Manifest) -> Manifest:
    """Labels and annotations that are empty are none."""
    empty = [name for name in ("labels", "annotations") if found["metadata"].get(name) == {}]
    return {**found, "metadata": {name: value for name, value in found["metadata"].items() if name not in empty}}


def _of_kind(asked: Manifest, resource: Resource) -> Manifest:
    return {**asked, "apiVersion": resource.api_version, "kind": resource.kind}

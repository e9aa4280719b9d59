"""What the server keeps: every object, one version that each write raises, and the last changes for watches."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from drivers.kubernetes.kinds import Resource
from tests.apiserver.errors import Refusal

Manifest = dict[str, Any]
_BORN = "2026-01-01T00:00:00Z"
_CHANGES_KEPT = 20_000


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Key:
    """Where one object stands."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One object before and after a write; None where there was none, or is none."""

    version: int
    key: Key
    before: Manifest | None
    after: Manifest | None


@dataclass(slots=True)
class Store:
    """etcd, as far as anybody can tell. Every change has a version of its own."""

    version: int = 1
    oldest: int = 1
    """Changes up to here are forgotten: a watch from before is answered with 410."""
    objects: dict[Key, Manifest] = field(default_factory=dict)
    changes: deque[Change] = field(default_factory=lambda: deque(maxlen=_CHANGES_KEPT))
    _uids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def get(self, key: Key) -> Manifest:
        """One object. Raises Refusal when there is none."""
        if key not in self.objects:
            raise Refusal(404, "NotFound", f'{key.kind.lower()} "{key.name}" not found')
        return self.objects[key]

    def of(self, kind: str, namespace: str | None = None) -> list[Manifest]:
        """Everything of a kind, in order."""
        found = ((key, one) for key, one in self.objects.items() if key.kind == kind)
        return [one for key, one in sorted(found, key=lambda it: it[0]) if namespace in (None, key.namespace)]

    def make(self, key: Key, manifest: Manifest) -> Manifest:
        """Keep an object that was not there."""
        own = {"uid": f"uid-{next(self._uids):08d}", "creationTimestamp": _BORN}
        metadata = {**manifest["metadata"], **own}
        metadata |= {"generation": 1} if "spec" in manifest and key.kind not in ("Namespace", "Service") else {}
        return self._write(key, {**manifest, "metadata": metadata})

    def change(self, key: Key, manifest: Manifest) -> Manifest:
        """Keep an object as it is now; a write that changes nothing is none."""
        before = self.objects[key]
        kept = {name: before["metadata"][name] for name in ("uid", "creationTimestamp", "resourceVersion")}
        metadata = {**manifest["metadata"], **kept}
        if "generation" in before["metadata"]:
            is_new = manifest.get("spec") != before.get("spec")
            metadata["generation"] = before["metadata"]["generation"] + is_new
        after = {**manifest, "metadata": metadata}
        return before if after == before else self._write(key, after)

    def remove(self, key: Key) -> None:
        """It is gone."""
        self.version += 1
        before = self.objects.pop(key)
        last = {**before, "metadata": {**before["metadata"], "resourceVersion": str(self.version)}}
        self.changes.append(Change(version=self.version, key=key, before=last, after=None))

    def since(self, version: int) -> list[Change]:
        """Changes after a version. Raises Refusal when they are not kept any more."""
        if version < self.oldest:
            raise Refusal(410, "Expired", f"too old resource version: {version} ({self.oldest})")
        newer = itertools.takewhile(lambda one: one.version > version, reversed(self.changes))
        return list(newer)[::-1]

    def compact(self) -> None:
        """Forget all changes so far, as a server does after five minutes."""
        self.changes.clear()
        self.oldest = self.version

    def copy(self) -> tuple[int, dict[Key, Manifest]]:
        """What a backup of etcd has."""
        return self.version, deepcopy(self.objects)

    def roll_back(self, copy: tuple[int, dict[Key, Manifest]]) -> None:
        """Put a backup back: versions go on from there, and no change is known."""
        self.version, self.objects = copy[0], deepcopy(copy[1])
        self.compact()

    def _write(self, key: Key, manifest: Manifest) -> Manifest:
        self.version += 1
        before = self.objects.get(key)
        after = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": str(self.version)}}
        self.objects[key] = after
        self.changes.append(Change(version=self.version, key=key, before=before, after=after))
        return after


def key_of(resource: Resource, namespace: str | None, name: str) -> Key:
    """Where an object of that name stands."""
    return Key(kind=resource.kind, namespace=(namespace or "") if resource.namespaced else "", name=name)


def labels_of(found: Manifest) -> dict[str, str]:
    """The labels of an object."""
    return found["metadata"].get("labels") or {}
